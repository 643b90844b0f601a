"""Puts files into a folder all at once or not at all, even if the process is killed in between."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from devenv.errors import RefusedError, StateError
from devenv.scaffold.new.template import File, check_paths, folders

PREFIX = ".devenv-new-"
JOURNAL = "journal.json"


def place(files: Mapping[str, File], target: str) -> None:
    """Write all files into the folder `target`, which is created if needed; files of these names are replaced.

    Raises RefusedError if a link would lead out of the folder, StateError if it cannot be written. What a killed
    process left is undone first.
    """
    is_existing = os.path.isdir(target)
    parent = target if is_existing else os.path.dirname(target)
    try:
        with _stage(parent) as (stage, journal):
            for path, file in files.items():
                _write(os.path.join(stage, "new", path), file)
            if is_existing:
                _move(stage, target, list(files), journal)
            else:
                os.rename(os.path.join(stage, "new"), target)
    except OSError as error:
        raise StateError(f"{target} cannot be written: {error.strerror}") from None


def taken(paths: Iterable[str], target: str) -> list[str]:
    """Those of the paths that exist. Raises RefusedError if a link, or a file, is in the place of a folder."""
    paths = list(paths)
    for folder in ("", *folders(paths)):
        way = os.path.join(target, folder).rstrip("/")
        if os.path.lexists(way) and ((os.path.islink(way) and folder) or not os.path.isdir(way)):
            raise RefusedError(f"{way} is a link, or not a folder: nothing is written there")
    existing = [path for path in paths if os.path.lexists(os.path.join(target, path))]
    for path in existing:
        if os.path.isdir(os.path.join(target, path)):
            raise RefusedError(f"{os.path.join(target, path)} is a folder, and would be a file")
    return existing


def sweep(parent: str) -> None:
    """Undo what a killed process left in the folder. Raises StateError if another process is writing there."""
    with os.scandir(parent) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    for stage in left:
        state = os.lstat(stage)
        is_ours = stat.S_ISDIR(state.st_mode) and stat.S_IMODE(state.st_mode) == stat.S_IRWXU
        if is_ours and state.st_uid == os.geteuid():
            with _journal(stage, parent) as journal:
                _undo(stage, parent, journal)
                shutil.rmtree(stage)


@contextlib.contextmanager
def _stage(parent: str) -> Iterator[tuple[str, IO[str]]]:
    sweep(parent)
    stage = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    with _journal(stage, parent) as journal:
        os.mkdir(os.path.join(stage, "new"))
        try:
            yield stage, journal
        finally:
            _undo(stage, parent, journal)  # nothing, if all of it was done
            shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def _journal(stage: str, parent: str) -> Iterator[IO[str]]:
    """The journal of the stage, locked."""
    with open(os.path.join(stage, JOURNAL), "a+", encoding="utf-8") as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"another `devenv new` is at work in {parent}") from None
        yield journal


def _write(path: str, file: File) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = 0o777 if file.executable else 0o666  # less what the user's umask takes
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as out:
        out.write(file.content)


def _move(stage: str, target: str, paths: list[str], journal: IO[str]) -> None:
    taken(paths, target)
    missing = [folder for folder in folders(paths) if not os.path.isdir(os.path.join(target, folder))]
    times = {path: os.lstat(os.path.join(stage, "new", path)).st_mtime_ns for path in paths}
    json.dump({"files": times, "folders": missing}, journal)
    journal.flush()
    for folder in missing:
        os.mkdir(os.path.join(target, folder))
    for path in paths:
        file, old = os.path.join(target, path), os.path.join(stage, "old", path)
        if os.path.lexists(file):
            os.makedirs(os.path.dirname(old), exist_ok=True)
            os.rename(file, old)
        os.rename(os.path.join(stage, "new", path), file)
    journal.truncate(0)  # from here on there is nothing to undo


def _undo(stage: str, target: str, journal: IO[str]) -> None:
    """Remove what was moved out of the stage, unless somebody has changed it since, and put back the old files."""
    journal.seek(0)
    try:
        moved = json.loads(journal.read() or '{"files": {}, "folders": []}')
        check_paths(moved["files"])
        taken(moved["files"], target)
    except (ValueError, KeyError, TypeError, RefusedError):
        return  # torn while it was written: then nothing had been moved
    for path, time in moved["files"].items():
        file, old = os.path.join(target, path), os.path.join(stage, "old", path)
        is_moved = os.path.lexists(file) and not os.path.lexists(os.path.join(stage, "new", path))
        if is_moved and os.lstat(file).st_mtime_ns == time:
            os.unlink(file)
        if os.path.lexists(old) and not os.path.lexists(file):
            os.rename(old, file)
    for folder in reversed(moved["folders"]):
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(target, folder))
