"""What to read back from a container with unknown content, and which of its files the host no longer has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from devenv.model.sync_plan import Sync
from devenv.paths import below, is_below, relative_to
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.rules.rules import BoundRule

FILE = FileState(FileKind.FILE, -1, 0, 0, 0, 0)
FOLDER = FileState(FileKind.DIR, -1, 0, 0, 0, 0)
READ_WHOLE_FROM = 50  # entries of a rule's folder; from this number on, the folder is read back as a whole


def readback_roots(targets: Iterable[str], bound: Sequence[BoundRule]) -> frozenset[str]:
    """The container paths to read back for these targets: in each rule's target, only the wanted entries.

    Folders that exist only in the container (node_modules next to src) are therefore not read. A rule's own target
    ends with `/` if it is a folder, because a link may lead to it.
    """
    wanted = {target.rstrip("/") for target in targets}
    roots: set[str] = set()
    for base in (rule.top.rstrip("/") for rule in bound if rule.copies):
        first = {f"{base}/{t[len(base) + 1 :].split('/', 1)[0]}" for t in wanted if t.startswith(f"{base}/")}
        roots |= first if len(first) < READ_WHOLE_FROM else {f"{base}/"}
        roots |= wanted & {base}
    whole = tuple(root for root in roots if root.endswith("/"))
    return frozenset(root for root in roots if not any(root.startswith(other) and root != other for other in whole))


def journal_paths(syncs: Iterable[Sync]) -> frozenset[str]:
    """The targets and the folders created with them, as written in the journal: folders end with `/`.

    The folders are those between a file and its rule's own path.
    """
    names: set[str] = set()
    for sync in syncs:
        names.add(f"{sync.target}/" if sync.folder else sync.target)
        folder = sync.target
        inside = relative_to(sync.source, sync.root) if sync.root else None
        for _ in range((inside or "").count("/")):
            folder = folder.rpartition("/")[0]
            if f"{folder}/" in names:
                break
            names.add(f"{folder}/")
    return frozenset(names)


def leftovers(placed: Collection[str], bound: Sequence[BoundRule], now: Mapping[str, FileState]) -> frozenset[str]:
    """The names for which the host no longer has a path of that kind. Names without a rule are not included."""
    return frozenset(name for name in placed if _stale_at(name, bound, now))


def stale_targets(
    placed: Collection[str], bound: Sequence[BoundRule], now: Mapping[str, FileState], kept: Collection[str] = ()
) -> dict[str, FileState]:
    """By host path, what was put into the container and no longer exists on the host, with a state of its kind.

    Includes the folders of such files, except for those in `kept`, and files that are folders now.
    """
    stale: dict[str, FileState] = {}
    for name in placed:
        if at := _stale_at(name, bound, now):
            (root, path), target = at, name.rstrip("/")
            stale[path] = FOLDER if name.endswith("/") else FILE
            while (path := path.rpartition("/")[0]) and is_below(path, root):
                if path in now and now[path].kind is FileKind.DIR:
                    break
                target = target.rpartition("/")[0]
                if f"{target}/" not in kept:
                    stale[path] = FOLDER
    return stale


def _stale_at(name: str, bound: Sequence[BoundRule], now: Mapping[str, FileState]) -> tuple[str, str] | None:
    """The rule's root and the host path of this name, if the host has nothing of that kind there."""
    kinds = (FileKind.DIR,) if name.endswith("/") else (FileKind.FILE, FileKind.LINK)
    sources = ((rule, path) for rule in bound if rule.copies for path in rule.sources_for(name.rstrip("/")))
    hosts = [(rule.rule.path, path) for rule, path in sources if rule.matches(path)]
    if not hosts or any((state := now.get(path)) is not None and state.kind in kinds for _, path in hosts):
        return None
    return hosts[-1]


def split_blocked(syncs: Iterable[Sync], flipped: Collection[str]) -> tuple[list[Sync], list[Sync]]:
    """The syncs that can be done at once, and those at or below host paths that have to be deleted first."""
    roots = frozenset(flipped)
    is_inside = below(roots)
    groups: tuple[list[Sync], list[Sync]] = [], []
    for sync in syncs:
        groups[sync.source in roots or is_inside(sync.source)].append(sync)
    return groups
