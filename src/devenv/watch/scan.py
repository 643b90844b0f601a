"""What lies on the host now: lstat and walk, never through a link, never into what every rule ignores."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping

from devenv.model.project import Build, Project
from devenv.watch.changes import FileState, Kind
from devenv.watch.patterns import dockerignore_lines

Prune = Callable[[str], bool]


def state(path: str) -> FileState | None:
    """The path's own state, links not followed; None where there is nothing (or nothing that we may see)."""
    with contextlib.suppress(OSError):
        return _seen(path)
    return None


def scan(roots: Iterable[str], prune: Prune) -> dict[str, FileState]:
    """Everything at and below the roots. Blocking: call it in a worker thread."""
    return {path: now for root in roots for path, now in _walk(root, prune, set())}


def look(paths: Iterable[str], known: Mapping[str, FileState], prune: Prune) -> dict[str, FileState | None]:
    """Fresh states of the touched paths; a folder is walked, and what was known below it and is gone is None.

    Paths in ignored folders are left out, and so is what cannot be looked at just now (no right, no descriptor
    left, a network gone): not seen is not gone. Blocking: call it in a worker thread.
    """
    fresh: dict[str, FileState | None] = {}
    unseen: set[str] = set()
    verdicts: dict[str, bool] = {}
    links: dict[str, bool] = {}
    for path in paths:
        if path in fresh or _hidden(path, prune, verdicts):
            continue
        try:
            now = None if _behind_link(path, known, links) else _seen(path)
        except OSError:
            continue
        before = known.get(path)
        fresh[path] = now
        if now is not None and now.kind is Kind.DIR:
            fresh.update(_walk(path, prune, unseen))
        if before is not None and before.kind is Kind.DIR:
            prefix = f"{path}/"
            lost = [p for p in known if p.startswith(prefix) and p not in fresh]
            fresh.update((p, None) for p in lost if not any(f"{p}/".startswith(f"{u}/") for u in unseen))
    return fresh


def dockerignores(project: Project) -> dict[str, tuple[str, ...]]:
    """For each built service the lines of the `.dockerignore` that its build reads. Blocking.

    `<Dockerfile>.dockerignore` wins over `.dockerignore`, both beside the context (Dockerfile reference).
    """
    return {s.name: _ignore_lines(s.build) for s in project.services if s.build is not None}


def _ignore_lines(build: Build) -> tuple[str, ...]:
    dockerfile = os.path.join(build.context, build.dockerfile)
    for path in (f"{dockerfile}.dockerignore", os.path.join(build.context, ".dockerignore")):
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return dockerignore_lines(file.read())
        except OSError:
            continue
    return ()


def _hidden(path: str, prune: Prune, verdicts: dict[str, bool]) -> bool:
    """Whether a folder above the path is ignored."""
    folder = os.path.dirname(path)
    if folder not in verdicts:
        at_top = folder == os.path.dirname(folder)
        verdicts[folder] = not at_top and (prune(folder) or _hidden(folder, prune, verdicts))
    return verdicts[folder]


def _behind_link(path: str, known: Mapping[str, FileState], verdicts: dict[str, bool]) -> bool:
    """Whether a folder that we knew above the path is a link by now: what is seen through it is something else."""
    folder = os.path.dirname(path)
    if folder not in verdicts:
        at_top = folder == os.path.dirname(folder)
        is_link = folder in known and os.path.islink(folder)
        verdicts[folder] = is_link or (not at_top and _behind_link(folder, known, verdicts))
    return verdicts[folder]


def _seen(path: str) -> FileState | None:
    """As `state`, but OSError where something may be there that cannot be looked at."""
    try:
        return _state(path, os.lstat(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _walk(root: str, prune: Prune, unseen: set[str]) -> Iterator[tuple[str, FileState]]:
    """Everything at and below the root; what is there and cannot be looked at goes into `unseen`."""
    now = state(root)
    if now is None:
        return
    yield root, now
    folders = [root] if now.kind is Kind.DIR and not prune(root) else []
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            unseen.add(folder)
            continue
        for entry in entries:
            try:
                below = _state(entry.path, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            except OSError:
                unseen.add(entry.path)
                continue
            yield entry.path, below
            if below.kind is Kind.DIR and not prune(entry.path):
                folders.append(entry.path)


def _state(path: str, found: os.stat_result) -> FileState:
    link = os.readlink(path) if stat.S_ISLNK(found.st_mode) else None
    return FileState(
        kind=_kind(found.st_mode),
        mode=found.st_mode & 0o777,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        inode=found.st_ino,
        link=link,
    )


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIR
    return Kind.LINK if stat.S_ISLNK(mode) else Kind.OTHER
