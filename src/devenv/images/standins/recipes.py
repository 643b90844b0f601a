"""The recipes in templates/images: the references that each can stand in for, and what it is built from."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

from devenv import templates_folder
from devenv.errors import EngineError
from devenv.model.images import canonical, familiar, split

STAND_IN_REGISTRY = "stand-in.devenv"


@dataclass(frozen=True, slots=True)
class Root:
    """Packages of a Debian suite, installed on its bare root.

    `inside` describes the result: `{version}` is the first package's, `{suite}` the suite. `version` is the
    start of that version that the tag promises; empty if it promises none.
    """

    suite: str
    packages: tuple[str, ...]
    inside: str
    version: str = ""

    @property
    def base(self) -> str:
        """The reference of the stand-in that is the suite's bare root."""
        return f"debian:{self.suite}-slim"

    def checked(self, versions: Mapping[str, str]) -> str:
        """The first package's version. Raises EngineError if the tag promises another version."""
        version = versions[self.packages[0]]
        if self.version and not f"{version}.".startswith(f"{self.version}."):
            raise EngineError(f"Debian {self.suite} has {self.packages[0]} {version} today")
        return version


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """A package that `npm pack` fetches to `file`.tgz in the build context."""

    package: str
    version: str
    file: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build the stand-in for a reference, on the first of `roots` that can be had; and what it `lacks`."""

    reference: str
    folder: str
    lacks: str
    roots: tuple[Root, ...]
    npm: tuple[NpmPackage, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str:
        """The name of the stand-in, which is never the public one."""
        return f"{STAND_IN_REGISTRY}/{familiar(canonical(self.reference)).rsplit('/', 1)[-1]}"

    @property
    def inside(self) -> str:
        """A description, without the versions that are only known once it is built."""
        root = self.roots[0]
        return " ".join(re.sub(r"\{(?!suite).*?\}", "", root.inside).format(suite=root.suite).split())

    @property
    def base(self) -> str | None:
        """The reference of the stand-in that it is built on; None for a bare root."""
        base = self.roots[0].base
        return None if self.image == f"{STAND_IN_REGISTRY}/{base}" else base

    def digest(self, *more: bytes) -> str:
        """A hash of the recipe's files, the common files, and `more`: if it differs, the stand-in is out of date."""
        total = hashlib.sha256()
        for home in (self.folder, common_folder()):
            for name in sorted(glob.glob("**", root_dir=home, recursive=True, include_hidden=True)):
                path = os.path.join(home, name)
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        total.update(name.encode() + b"\0" + file.read())
        for part in more:
            total.update(hashlib.sha256(part).digest())
        return total.hexdigest()


def common_folder() -> str:
    """The absolute path of the files that all recipes share, the folder `common` in each build context."""
    return os.path.join(templates_folder(), "images", "common")


def find(reference: str) -> Recipe | None:
    """The recipe for a reference as written (`node:22`); None if there is none for its version."""
    repository, tag, digest = split(canonical(reference))
    if tag is None or digest:
        return None
    for folder, entry in entries():
        if repository in (split(canonical(name))[0] for name in entry["repositories"]):
            for plain, variant in product(entry["tags"], entry["variants"]):
                if re.fullmatch(re.escape(plain + variant).replace(r"\*", r"\d+"), tag):
                    return _recipe(familiar(canonical(reference)), folder, entry, tag.removesuffix(variant), variant)
    return None


def _recipe(reference: str, folder: str, entry: Mapping[str, Any], tag: str, variant: str) -> Recipe:
    version = tag if tag[0].isdigit() and "npm" not in entry else ""
    more = () if "slim" in variant else entry.get("full", ())
    root = Root(entry["suite"], (*entry["packages"], *more), entry["inside"], version)
    others = (Root(o["suite"], tuple(o["packages"]), o["inside"]) for o in entry.get("otherwise", ()))
    values = {**entry, "tag": tag}
    npm = (NpmPackage(p["package"], p["version"].format_map(values), p["file"]) for p in entry.get("npm", ()))
    return Recipe(reference, folder, entry["lacks"], (root, *others), tuple(npm), entry.get("args", {}))


@cache
def entries() -> list[tuple[str, dict[str, Any]]]:
    """Folder and content of each entry of each recipe, merged with what holds for all tags of the recipe."""
    all_entries: list[tuple[str, dict[str, Any]]] = []
    home = os.path.join(templates_folder(), "images")
    for name in sorted(glob.glob("*/recipe.toml", root_dir=home)):
        with open(os.path.join(home, name), "rb") as file:
            data = tomllib.load(file)
        tags = data.pop("tag")
        all_entries += [(os.path.dirname(file.name), {"variants": [""], **data, **entry}) for entry in tags]
    return all_entries
