"""The recipes in templates/images: the references that each can replace, and what it is built from."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cache
from itertools import product
from typing import Any

from devenv import templates_folder
from devenv.errors import EngineError
from devenv.lazy_dataclass import dataclass
from devenv.model.images import STAND_IN_REGISTRY, canonical, familiar, split
from devenv.model.snapshot import FAMILIES

ALPINE_NOTE = " (Debian in place of Alpine)"
ALPINE = re.compile(r"-?alpine(?:\d[\d.]*)?(?:-slim)?$")  # the end of a tag


@dataclass(frozen=True, slots=True)
class Root:
    """Packages of a Debian suite, installed on its minimal root.

    `inside` describes the result: `{version}` is the version of the first package, `{suite}` the suite. `version` is
    the prefix of that version that the tag promises; empty if it promises none.
    """

    suite: str
    packages: tuple[str, ...]
    inside: str
    version: str = ""

    @property
    def described(self) -> str:
        """`inside` without the versions, which are only known after the build."""
        return " ".join(re.sub(r"\{(?!suite).*?\}", "", self.inside).format(suite=self.suite).split())

    @property
    def base(self) -> str:
        """The reference of the stand-in that is the suite's minimal root."""
        return f"debian:{self.suite}-slim"

    def checked(self, versions: Mapping[str, str]) -> str:
        """The first package's version. Raises EngineError if the tag promises another version."""
        version = versions[self.packages[0]]
        if self.version and not f"{version}.".startswith(f"{self.version}."):
            raise EngineError(f"Debian {self.suite} has {self.packages[0]} {version} today")
        return version


@dataclass(frozen=True, slots=True)
class Package:
    """A package that `npm` or `pip` fetches to `file` in the build context."""

    package: str
    version: str
    file: str
    tool: str = "npm"
    architectures: Mapping[str, str] = field(default_factory=dict)  # npm's word -> the package's word


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to build the stand-in for a reference, on the first available one of `roots`; and what it `lacks`."""

    reference: str
    folder: str
    lacks: str
    roots: tuple[Root, ...]
    fetched: tuple[Package, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    is_alpine: bool = False  # according to its tag, not to its content

    @property
    def image(self) -> str:
        """The name of the stand-in, which differs from the public name."""
        return f"{STAND_IN_REGISTRY}/{familiar(canonical(self.reference)).rsplit('/', 1)[-1]}"

    @property
    def inside(self) -> str:
        """A description, without the versions that are only known after the build."""
        return self.roots[0].described

    @property
    def base(self) -> str | None:
        """The reference of the stand-in that this one is built on; None for a minimal root."""
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


@dataclass(frozen=True, slots=True)
class Offer:
    """What an entry of a recipe can be built for: each of `tags` with each of `variants`; `*` is any number.

    `alpine`: also for an `-alpine` tag, if a service only uses the image. `size` is that of the largest image on the
    engine, in bytes, or 0.
    """

    image: str
    tags: tuple[str, ...]
    variants: tuple[str, ...]
    suite: str
    inside: str
    lacks: str
    alpine: bool
    size: int = 0

    def covers(self, reference: str) -> bool:
        """Whether the offer includes the reference, ignoring `-alpine`."""
        repository, tag, _ = split(canonical(reference))
        patterns = (start + variant for start, variant in product(self.tags, self.variants))
        is_same = repository == split(canonical(self.image))[0]
        return is_same and any(_is_like(pattern, tag or "") for pattern in patterns)


def offers() -> tuple[Offer, ...]:
    """All available stand-ins, in the order of the recipes."""
    return tuple(
        Offer(
            image,
            (*entry["tags"], *entry.get("aliases", ())),
            tuple(entry["variants"]),
            entry["suite"],
            Root(entry["suite"], (), entry["inside"]).described,
            entry["lacks"],
            entry.get("alpine", False),
        )
        for _, entry in entries()
        for image in entry["repositories"]
    )


def common_folder() -> str:
    """The absolute path of the files that all recipes share, the folder `common` in each build context."""
    return os.path.join(templates_folder(), "images", "common")


def find(reference: str, *, plain: bool = False) -> Recipe | None:
    """The recipe for a reference as written (`node:22`); None if there is none for its version.

    `plain`: nothing is built on the image. Then Debian replaces an `-alpine` tag, too, except for a database: musl
    and glibc sort text in different orders, and the indexes on disk would silently be wrong.
    """
    repository, tag, digest = split(canonical(reference))
    if tag is None or digest:
        return None
    for folder, entry in _entries_of(repository):
        wanted = _without_alpine(tag) if plain and entry.get("alpine") else tag
        for start, variant in product([*entry["tags"], *entry.get("aliases", ())], entry["variants"]):
            if _is_like(start + variant, wanted):
                recipe = _recipe(familiar(canonical(reference)), folder, entry, wanted.removesuffix(variant), variant)
                return recipe if wanted == tag else _in_place_of_alpine(recipe)
    return None


def _is_like(pattern: str, tag: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", r"\d+"), tag) is not None


def _entries_of(repository: str) -> list[tuple[str, dict[str, Any]]]:
    return [(f, e) for f, e in entries() if repository in (split(canonical(name))[0] for name in e["repositories"])]


def _without_alpine(tag: str) -> str:
    return ALPINE.sub("", tag) or "latest"


def _in_place_of_alpine(recipe: Recipe) -> Recipe:
    roots = tuple(replace(root, inside=f"{root.inside}, in place of Alpine") for root in recipe.roots)
    return replace(recipe, roots=roots, lacks=f"apk and busybox; {recipe.lacks}", is_alpine=True)


def instead(reference: str, users: Sequence[str], *, plain: bool) -> str:
    """What to use in place of an image that has no stand-in; `users` are those of its `Need`."""
    repository, tag, digest = split(canonical(reference))
    name = familiar(repository).removesuffix(":latest")
    known_versions = versions(reference)
    if not known_versions:
        return f"there is no stand-in of {name}"
    plain = plain and name not in FAMILIES
    is_alpine = _without_alpine(tag or "latest") != (tag or "latest") and not plain
    why, then = "; a digest has none" if digest else "", ""
    if is_alpine and name in FAMILIES:
        why = "; -alpine has none (Debian sorts text in another order, and the indexes of your data would be wrong)"
        then = " with an empty volume"
    elif is_alpine:
        why, then = "; -alpine has none", " and apt in place of apk"
    near = _nearest(name, known_versions, tag or "latest", plain=plain)
    known = f"stand-ins of {name}: {', '.join(known_versions)}{why}{':' if why else ';'}"
    return f"{known} {', '.join(users)} would need {near}{then}"


def versions(reference: str) -> list[str]:
    """The versions of an image that have stand-ins, the oldest first; other tags if there are no numbers."""
    known = [entry for _, entry in _entries_of(split(canonical(reference))[0])]
    numbers = {tag: None for entry in known for tag in _majors(entry)}
    return sorted(numbers or [tag for entry in known for tag in entry.get("aliases", entry["tags"])], key=_numbers)


def _nearest(name: str, versions: Sequence[str], tag: str, *, plain: bool) -> str:
    """The reference of the version nearest to the tag, with the suffix of the tag if there is such a stand-in."""
    wanted = _without_alpine(tag)
    near = min(reversed(versions), key=lambda version: _distance(version, wanted))
    ends = ["-slim"] if wanted != tag and not plain else [f"-{end}" for end in tag.split("-")[1:]]
    offers = [f"{name}:{near}{end}" for end in (*ends, "")]
    return next((offer for offer in offers if find(offer, plain=plain)), offers[-1])


def _majors(entry: Mapping[str, Any]) -> list[str]:
    """The numbers at the beginning of an entry's tags, as precise as the first of them."""
    numbers = [tag for tag in entry["tags"] if tag[0].isdigit() and "*" not in tag]
    return [tag for tag in numbers if tag.count(".") == numbers[0].count(".")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("-")[0])))


def _distance(version: str, wanted: str) -> tuple[bool, list[int]]:
    """The distance of a version from the wanted one; older versions are farther than newer ones."""
    own, other = _numbers(version), _numbers(wanted)
    return own < other[: len(own)], [abs(a - b) for a, b in zip(own, other, strict=False)]


def _recipe(reference: str, folder: str, entry: Mapping[str, Any], tag: str, variant: str) -> Recipe:
    fetched = [("npm", package) for package in entry.get("npm", ())] + [("pip3", p) for p in entry.get("pip", ())]
    version = tag if tag[0].isdigit() and not fetched else ""
    more = () if "slim" in tag + variant else entry.get("full", ())
    root = Root(entry["suite"], (*entry["packages"], *more), entry["inside"], version)
    others = (Root(o["suite"], tuple(o["packages"]), o["inside"]) for o in entry.get("otherwise", ()))
    values = {**entry, "tag": entry.get("aliases", {}).get(tag, tag)}
    packages = tuple(
        Package(p["package"], version, p["file"], tool, p.get("architectures", {}))
        for tool, p in fetched
        if (version := p["version"].format_map(values))
    )
    return Recipe(reference, folder, entry["lacks"], (root, *others), packages, entry.get("args", {}))


@cache
def entries() -> list[tuple[str, dict[str, Any]]]:
    """Folder and content of each entry of each recipe, merged with the values for all tags of the recipe."""
    all_entries: list[tuple[str, dict[str, Any]]] = []
    home = os.path.join(templates_folder(), "images")
    for name in sorted(glob.glob("*/recipe.toml", root_dir=home)):
        with open(os.path.join(home, name), "rb") as file:
            data = tomllib.load(file)
        tags = data.pop("tag")
        all_entries += [(os.path.dirname(file.name), {"variants": [""], **data, **entry}) for entry in tags]
    return all_entries
