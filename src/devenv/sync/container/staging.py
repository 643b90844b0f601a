"""Where files are put before they are in place.

A name ends in `~`, which the watchers of dev servers skip. From many files in one folder on, one staging folder and
one `mv` beat a rename each, unless a rename takes no process.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from devenv.sync.container.shell_commands import NO_FOLDER

STAGED = re.compile(r"\.devenv-\w+-\d+~(/?)")
BULK = 12


@dataclass(frozen=True, slots=True)
class Staging:
    """`places`: target -> where it is put first. `folders`: staging folder -> where its entries move to."""

    places: Mapping[str, str]
    folders: Mapping[str, str]

    @property
    def strays(self) -> frozenset[str]:
        """What would be left if all ended now."""
        single = (p for p in self.places.values() if not self.folders or posixpath.dirname(p) not in self.folders)
        return frozenset((*self.folders, *single))


def name(run: str, number: int) -> str:
    """The name of a staging place of this run."""
    return f".devenv-{run}-{number}~"


def plain(reason: str, target: str) -> str:
    """What went wrong, said of the target instead of the place where it was staged."""
    return STAGED.sub(lambda found: "" if found[1] else posixpath.basename(target), reason)


def explain(failed: dict[str, str], unmade: Mapping[str, str]) -> None:
    """Of what has no folder to be in, why that folder could not be made."""
    for target, reason in failed.items():
        if reason == NO_FOLDER:
            failed[target] = next((unmade[above] for above in [*parents(target)][::-1] if above in unmade), reason)


def stage(targets: Iterable[str], name: Callable[[], str], *, alone: bool) -> Staging:
    """A place for every target, each for itself or many of one folder together; `name` gives names for them."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for target in targets:
        by_folder[posixpath.dirname(target)].append(target)
    places: dict[str, str] = {}
    folders: dict[str, str] = {}
    for folder, inside in by_folder.items():
        base = folder.rstrip("/")
        if alone or len(inside) < BULK:
            places.update((target, f"{base}/{name()}") for target in inside)
            continue
        staging = f"{base}/{name()}"
        folders[staging] = folder
        places.update((target, f"{staging}/{posixpath.basename(target)}") for target in inside)
    return Staging(places, folders)


def parents(path: str) -> Iterator[str]:
    """The folders above a container path, nearest first, without the root."""
    folder = posixpath.dirname(path)
    while folder not in ("/", ""):
        yield folder
        folder = posixpath.dirname(folder)
