"""The recipes under templates/images: which reference each can honestly stand in for, and what it is made of."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from devenv.images.references import canonical, familiar, split
from devenv.templates import templates_folder

STAND_IN_REGISTRY = "stand-in.devenv"


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system from Debian packages; `inside` says what it is, `{package}` being its version."""

    suite: str
    packages: tuple[str, ...]
    inside: str


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """A package that `npm pack` fetches; it lies as `file`.tgz in the build context."""

    package: str
    version: str
    file: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make the stand-in for one reference: on `base`, or on the first of `roots` that can be had."""

    reference: str
    folder: str
    inside: str
    base: str | None
    roots: tuple[Root, ...]
    npm: tuple[NpmPackage, ...]

    @property
    def image(self) -> str:
        """The name that the stand-in gets, which is never the public one."""
        repository, tag, _ = split(canonical(self.reference))
        return f"{STAND_IN_REGISTRY}/{repository.rsplit('/', 1)[-1]}:{tag}"

    def digest(self, *more: bytes) -> str:
        """A hash over the recipe's files and `more`; an image with another one is out of date."""
        total = hashlib.sha256()
        for name in sorted(glob.glob("**", root_dir=self.folder, recursive=True, include_hidden=True)):
            path = os.path.join(self.folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    total.update(name.encode() + b"\0" + file.read())
        for part in more:
            total.update(hashlib.sha256(part).digest())
        return total.hexdigest()


def find(reference: str) -> Recipe | None:
    """The recipe for a reference as people write it (`node:22`), None where nothing honest can be made."""
    repository, tag, digest = split(canonical(reference))
    if digest or tag is None:
        return None
    for folder, data in _all():
        if canonical(data["repository"]).rpartition(":")[0] != repository:
            continue
        for entry in data["tag"]:
            if match := re.fullmatch(entry["match"], tag):
                return _recipe(familiar(reference), folder, data, {**entry, **match.groupdict()})
    return None


def _recipe(reference: str, folder: str, data: Mapping[str, Any], values: Mapping[str, Any]) -> Recipe:
    return Recipe(
        reference=reference,
        folder=folder,
        inside=data["inside"],
        base=data.get("base"),
        roots=tuple(
            Root(root["suite"], tuple(root["packages"]), root.get("inside", data["inside"]))
            for root in data.get("root", ())
        ),
        npm=tuple(
            NpmPackage(entry["package"], entry["version"].format_map(values), entry["file"])
            for entry in data.get("npm", ())
        ),
    )


@cache
def _all() -> list[tuple[str, dict[str, Any]]]:
    """Folder and content of every recipe."""
    found = []
    home = os.path.join(templates_folder(), "images")
    for name in sorted(glob.glob("*/recipe.toml", root_dir=home)):
        with open(os.path.join(home, name), "rb") as file:
            found.append((os.path.dirname(file.name), tomllib.load(file)))
    return found
