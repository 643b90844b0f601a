"""Where files are put before they are in place, and the orders that move them there at once.

A name ends in `~`, which the watchers of dev servers skip. From many files in one folder on, one staging folder and
one `mv` beat a rename each; a folder that the container lacks is renamed as a whole, with all that is in it.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

STAGED = re.compile(r"\.devenv-\w+-\d+~(/?)")
BULK = 12
MV_ARGUMENTS = 500


@dataclass(frozen=True, slots=True)
class Staging:
    """`places`: target -> where it is put first.

    `folders`: staging folder -> the folder that its entries move into; `trees`: -> the new folder that it becomes.
    """

    places: Mapping[str, str]
    folders: Mapping[str, str]
    trees: Mapping[str, str]

    @property
    def strays(self) -> frozenset[str]:
        """What would be left if all ended now."""
        inside = {*self.folders, *self.trees}
        single = {p for p in self.places.values() if not any(above in inside for above in parents(p))}
        return frozenset(inside | single)

    def tree_of(self, place: str) -> str | None:
        """The staging folder of a whole new folder that the staged path is in."""
        return next((above for above in parents(place) if above in self.trees), None) if self.trees else None


def name(run: str, number: int) -> str:
    """The name of a staging place of this run."""
    return f".devenv-{run}-{number}~"


def plain(reason: str, target: str) -> str:
    """What went wrong, said of the target instead of the place where it was staged."""
    return STAGED.sub(lambda found: "" if found[1] else posixpath.basename(target), reason)


def stage(targets: Iterable[str], missing: Collection[str], name: Callable[[], str]) -> Staging:
    """A place for every target; `missing` are the folders to come as a whole, `name` gives names for the staging."""
    trees = {f"{posixpath.dirname(tree).rstrip('/')}/{name()}": tree for tree in missing}
    stages = {tree: staging for staging, tree in trees.items()}
    by_folder: dict[str, list[str]] = defaultdict(list)
    places: dict[str, str] = {}
    for target in targets:
        tree = next((above for above in parents(target) if above in stages), None) if stages else None
        if tree is None:
            by_folder[posixpath.dirname(target)].append(target)
        else:
            places[target] = stages[tree] + target[len(tree) :]
    folders: dict[str, str] = {}
    for folder, inside in by_folder.items():
        base = folder.rstrip("/")
        if len(inside) < BULK:
            places.update((target, f"{base}/{name()}") for target in inside)
            continue
        staging = f"{base}/{name()}"
        folders[staging] = folder
        places.update((target, f"{staging}/{posixpath.basename(target)}") for target in inside)
    return Staging(places, folders, trees)


def to_ask(targets: Iterable[str], there: Collection[str], missing: Collection[str]) -> list[str]:
    """The topmost folders of which nobody knows whether the container has them, where many files are for one."""
    counts: Counter[str] = Counter()
    for target in targets:
        above = [folder for folder in parents(target) if folder not in there]
        if above and not any(folder in missing for folder in above):
            counts[above[-1]] += 1
    return [folder for folder, count in counts.items() if count >= BULK]


def parents(path: str) -> Iterator[str]:
    """The folders above a container path, nearest first, without the root."""
    folder = posixpath.dirname(path)
    while folder not in ("/", ""):
        yield folder
        folder = posixpath.dirname(folder)


def groups(staging: Staging, places: Iterable[str]) -> list[list[str]]:
    """Staged paths that one `mv` each moves: those of one staging folder, as many as a command line takes."""
    found: dict[str, list[str]] = defaultdict(list)
    for place in places:
        if (folder := posixpath.dirname(place)) in staging.folders:
            found[folder].append(place)
    return [chunk for inside in found.values() for chunk in chunked(inside)]


def chunked(paths: list[str]) -> list[list[str]]:
    """The paths in pieces that a command line takes."""
    return [paths[at : at + MV_ARGUMENTS] for at in range(0, len(paths), MV_ARGUMENTS)]


def together(group: Sequence[str], quoted: Callable[[str], bytes]) -> bytes:
    """The order that moves a group."""
    folder = posixpath.dirname(group[0])
    names = b" ".join(quoted(posixpath.basename(place)) for place in group)
    return b"g " + quoted(folder) + b" " + quoted(posixpath.dirname(folder)) + b" " + names
