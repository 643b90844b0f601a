"""The container paths where files are staged, before they are renamed to their targets.

A name ends in `~`, which the watchers of dev servers ignore. For many files of one folder, one staging folder and one
`mv` are faster than a rename of each, unless a rename needs no process.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from devenv.paths import ancestors
from devenv.sync.container.shell_commands import NO_FOLDER

STAGED = re.compile(r"\.devenv-\w+-\d+~(/?)")
BULK = 12


@dataclass(frozen=True, slots=True)
class Staging:
    """`places`: target -> path where it is staged. `folders`: staging folder -> folder that its entries move to."""

    places: Mapping[str, str]
    folders: Mapping[str, str]

    @property
    def paths(self) -> frozenset[str]:
        """What could be left if the process ended now: files that are staged alone, and staging folders."""
        single = (p for p in self.places.values() if not self.folders or posixpath.dirname(p) not in self.folders)
        return frozenset((*self.folders, *single))


def name(run: str, number: int) -> str:
    """The name of a staged file or folder of this run."""
    return f".devenv-{run}-{number}~"


def plain(reason: str, target: str) -> str:
    """The reason of a failure, with the name of the target instead of the staged one."""
    return STAGED.sub(lambda match: "" if match[1] else posixpath.basename(target), reason)


def explain(failed: dict[str, str], unmade: Mapping[str, str]) -> None:
    """For targets whose folder is missing, replace the reason by why that folder could not be made."""
    for target, reason in failed.items():
        if reason == NO_FOLDER:
            failed[target] = next((unmade[above] for above in [*ancestors(target)][::-1] if above in unmade), reason)


def stage(targets: Iterable[str], name: Callable[[], str], *, alone: bool) -> Staging:
    """Where to stage each target: `alone` or, if they are many, in one folder; `name` makes new names."""
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
