"""The current state of the host: lstat and walk, never through a link, never into folders that every rule ignores."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping

from devenv.errors import ConfigError
from devenv.model.project import Build, Project
from devenv.paths import below, is_within
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Fresh, Manifest
from devenv.sync.rules.patterns import BACKSLASH, Patterns, dockerignore_lines

Prune = Callable[[str], bool]
Enter = Callable[[str], object]
Found = Callable[[str, dict[str, FileState]], object]

SILENT = re.compile(r"9p|virtiofs|fuse|fuse\..*|nfs4?|cifs|smb3|smbfs|drvfs|vboxsf|vmhgfs|prl_fs|fakeowner|ceph|afs")
KINDS = {stat.S_IFREG: FileKind.FILE, stat.S_IFDIR: FileKind.DIR, stat.S_IFLNK: FileKind.LINK}
FRESH_NS = 2 * 10**9  # a folder that changed within this time may change again without a new time
GLANCE = 64  # paths between two checks of the clock


def state(path: str) -> FileState | None:
    """The path's own state, without following links; None if it does not exist or cannot be seen."""
    with contextlib.suppress(OSError):
        return _seen(path)
    return None


def scan(roots: Iterable[str], prune: Prune, enter: Enter = lambda _: None) -> Manifest:
    """Read everything at and below the roots; `enter` is called with each folder before it is listed. Blocking."""
    states = Manifest()
    for root in roots:
        now = state(root)
        if now is not None:
            states[root] = now
            _walk(root, now, prune, enter, states.fill)
    return states


def look(paths: Iterable[str], known: Manifest, prune: Prune, enter: Enter = lambda _: None) -> Fresh:
    """Read the touched paths again; a folder is walked, and known paths below it that no longer exist are None.

    Paths in ignored folders are left out, and so are those that cannot be read now (no permission, no free
    descriptor, no network): unseen does not mean deleted. Blocking for folders: call it in a worker thread.
    """
    fresh: Fresh = {}
    unseen: set[str] = set()
    folders: set[str] = set()
    hidden: dict[str, bool] = {}
    gone: dict[str, bool] = {}

    def found(folder: str, content: dict[str, FileState]) -> None:
        fresh.update((os.path.join(folder, name), now) for name, now in content.items())

    def is_gone(folder: str) -> bool:
        # A folder created since the last look is reported by an event and then walked: no path in it is known before.
        # A known folder may be a link now: a look through it would see something else.
        state = fresh.get(folder)
        return (folder in fresh and (state is None or state.kind is not FileKind.DIR)) or (
            folder in known and os.path.islink(folder)
        )

    for path in sorted(paths):
        if path in fresh or _is_any_above(path, prune, hidden):
            continue
        try:
            now = None if _is_any_above(path, is_gone, gone) else _seen(path)
        except OSError:
            continue
        before = known.get(path)
        fresh[path] = now
        if now is not None and now.kind is FileKind.DIR:
            unseen |= _walk(path, now, prune, enter, found)
        if before is not None and before.kind is FileKind.DIR:
            folders.add(path)
    if folders:
        fresh.update(dict.fromkeys(_lost(folders, unseen, known, fresh)))
    return fresh


def _lost(folders: set[str], unseen: set[str], known: Manifest, fresh: Mapping[str, FileState | None]) -> list[str]:
    """Known paths below the folders that were not found; paths at or below `unseen` may still exist."""
    is_unseen = below(unseen)
    lost = [path for path in known.below(below(folders)) if path not in fresh]
    return [path for path in lost if path not in unseen and not is_unseen(path)]


def differing(
    states: list[tuple[str, FileState | None]],
    known: Manifest,
    prune: Prune,
    listed: dict[str, int],
    seconds: float,
) -> set[str]:
    """The paths that differ from their states, and new ones in folders, within a limit of CPU time.

    Removes the paths that were looked at from the end of `states`, in which None stands for a path that is not known.
    `listed` remembers from call to call when a folder last changed; an unchanged folder is not listed again.
    Blocking: call it in a worker thread.
    """
    changed: set[str] = set()
    end = time.thread_time() + seconds
    while states:
        for _ in range(min(GLANCE, len(states))):
            path, before = states.pop()
            try:
                now = os.lstat(path)
            except (FileNotFoundError, NotADirectoryError):
                if before is not None:
                    changed.add(path)
                continue
            except OSError:
                continue
            if before is None or not _is_as(before, path, now):
                changed.add(path)
            elif before.kind is FileKind.DIR and listed.get(path) != now.st_mtime_ns and not prune(path):
                names = known.names_in(path)
                with contextlib.suppress(OSError), os.scandir(path) as listing:
                    changed.update(entry.path for entry in listing if entry.name not in names)
                if now.st_mtime_ns < time.time_ns() - FRESH_NS:
                    listed[path] = now.st_mtime_ns
                break  # a listing takes as long as a look at many paths
        if time.thread_time() >= end:
            break
    return changed


def eventless_filesystem(roots: Iterable[str], mounts: str = "/proc/self/mountinfo") -> str | None:
    """The kind of a file system at or below a root that reports no changes made elsewhere; None if there is none.

    On Linux: folders of another machine, or of the host of a virtual machine. Also None without a list of mounts.
    """
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split(" - ") for line in file]
    except OSError:
        return None
    kinds = {_unescaped(left.split()[4]): right.split()[0] for left, right in lines}
    for root in map(os.path.realpath, roots):
        own = max((m for m in kinds if is_within(root, m)), key=len, default="/")
        for mount in (own, *(m for m in kinds if is_within(m, root))):
            if SILENT.fullmatch(kinds.get(mount, "")):
                return kinds[mount]
    return None


def git_lock(folder: str) -> str | None:
    """The file that exists while git changes the work tree of the folder; None outside of a work tree."""
    while folder != os.path.dirname(folder):
        path = os.path.join(folder, ".git")
        if os.path.isdir(path):
            return os.path.join(path, "index.lock")
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as file:
            elsewhere = file.readline().removeprefix("gitdir:").strip()
            return os.path.join(folder, elsewhere, "index.lock")
        folder = os.path.dirname(folder)
    return None


def dockerignores(project: Project) -> dict[str, tuple[str, ...]]:
    """For each built service, the lines of the `.dockerignore` that its build reads. Blocking."""
    return {s.name: tuple(filter(None, dockerignore(s.build)[1])) for s in project.services if s.build is not None}


def dockerignore(build: Build) -> tuple[str | None, tuple[str, ...]]:
    """The `.dockerignore` of a build, if any, and its lines. Blocking. Raises ConfigError for an invalid pattern."""
    for path in build.dockerignores:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = dockerignore_lines(file.read())
        except OSError:
            continue
        for number, line in enumerate(lines, 1):
            try:
                Patterns.parse([line])
            except ValueError as error:
                raise ConfigError(str(error), hint=BACKSLASH, file=path, line=number) from None
        return path, lines
    return None, ()


def _is_any_above(path: str, is_so: Callable[[str], bool], verdicts: dict[str, bool]) -> bool:
    folder = os.path.dirname(path)
    if folder not in verdicts:
        at_top = folder == os.path.dirname(folder)
        verdicts[folder] = not at_top and (is_so(folder) or _is_any_above(folder, is_so, verdicts))
    return verdicts[folder]


def _seen(path: str) -> FileState | None:
    """Like `state`. Raises OSError if the path may exist but cannot be read."""
    try:
        return _state(path, os.lstat(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _walk(root: str, now: FileState, prune: Prune, enter: Enter, found: Found) -> set[str]:
    """Call `found` with each folder at and below the root and its content. Return paths that cannot be read."""
    unseen: set[str] = set()
    folders = [root] if now.kind is FileKind.DIR and not prune(root) else []
    while folders:
        folder = folders.pop()
        enter(folder)
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            unseen.add(folder)
            continue
        content: dict[str, FileState] = {}
        for entry in entries:
            try:
                content[entry.name] = now = _state(entry.path, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            except OSError:
                unseen.add(entry.path)
                continue
            if now.kind is FileKind.DIR and not prune(entry.path):
                folders.append(entry.path)
        found(folder, content)
    return unseen


def _is_as(before: FileState, path: str, now: os.stat_result) -> bool:
    if before.has_status(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino):
        return True
    return _state(path, now).is_same(before)


def _unescaped(text: str) -> str:
    """The path for its text in /proc/self/mountinfo, with blanks and backslashes in octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _state(path: str, status: os.stat_result) -> FileState:
    mode = status.st_mode
    kind = KINDS.get(stat.S_IFMT(mode), FileKind.OTHER)
    link = os.readlink(path) if kind is FileKind.LINK else None
    times = status.st_mtime_ns, status.st_ctime_ns
    return FileState(kind, mode & 0o777, status.st_size, *times, status.st_ino, link)
