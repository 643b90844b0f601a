"""Files put into a folder all at once, or not at all: also where the process is killed in between."""

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
from devenv.scaffold.new import names
from devenv.scaffold.new.template import File

PREFIX = ".devenv-new-"
JOURNAL = "journal.json"


def place(files: Mapping[str, File], target: str) -> None:
    """Nothing: the files are in the folder `target`, made where it is not there; others of these names are replaced.

    Raises RefusedError where a link would lead out of the folder, StateError where it cannot be written. A leftover
    of a killed process is undone first.
    """
    is_there = os.path.isdir(target)
    parent = target if is_there else os.path.dirname(target)
    try:
        with _stage(parent) as (stage, journal):
            for path, file in files.items():
                _write(os.path.join(stage, "new", path), file)
            if is_there:
                _move(stage, target, files, journal)
            else:
                os.rename(os.path.join(stage, "new"), target)
    except OSError as error:
        raise StateError(f"{target} cannot be written: {error.strerror}") from None


def taken(paths: Iterable[str], target: str) -> list[str]:
    """Those of the paths that are there. Raises RefusedError where a link, or what is no folder, is on the way."""
    paths = list(paths)
    for folder in ("", *names.folders(paths)):
        way = os.path.join(target, folder).rstrip("/")
        if os.path.lexists(way) and ((os.path.islink(way) and folder) or not os.path.isdir(way)):
            raise RefusedError(f"{way} is a link, or no folder: nothing is written there")
    there = [path for path in paths if os.path.lexists(os.path.join(target, path))]
    for path in there:
        if os.path.isdir(os.path.join(target, path)):
            raise RefusedError(f"{os.path.join(target, path)} is a folder, and would be a file")
    return there


def sweep(parent: str) -> None:
    """Nothing: what a killed process left in the folder is undone. Raises StateError where one is at work there."""
    with os.scandir(parent) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    for stage in left:
        state = os.lstat(stage)
        is_ours = stat.S_ISDIR(state.st_mode) and stat.S_IMODE(state.st_mode) == stat.S_IRWXU
        if not is_ours or state.st_uid != os.geteuid():
            continue
        with open(os.path.join(stage, JOURNAL), "a+", encoding="utf-8") as journal:
            _lock(journal, parent)
            _undo(stage, parent, journal)
            shutil.rmtree(stage)


@contextlib.contextmanager
def _stage(parent: str) -> Iterator[tuple[str, IO[str]]]:
    sweep(parent)
    stage = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
    with open(os.path.join(stage, JOURNAL), "a+", encoding="utf-8") as journal:
        _lock(journal, parent)
        os.mkdir(os.path.join(stage, "new"))
        try:
            yield stage, journal
        except BaseException:
            _undo(stage, parent, journal)
            raise
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _lock(journal: IO[str], parent: str) -> None:
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(f"another `devenv new` is at work in {parent}") from None


def _write(path: str, file: File) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = 0o777 if file.executable else 0o666  # less what the user's umask takes
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as out:
        out.write(file.content)


def _move(stage: str, target: str, paths: Iterable[str], journal: IO[str]) -> None:
    paths = list(paths)
    taken(paths, target)
    made = [folder for folder in names.folders(paths) if not os.path.isdir(os.path.join(target, folder))]
    times = {path: os.lstat(os.path.join(stage, "new", path)).st_mtime_ns for path in paths}
    json.dump({"files": times, "folders": made}, journal)
    journal.flush()
    for folder in made:
        os.mkdir(os.path.join(target, folder))
    for path in paths:
        there, old = os.path.join(target, path), os.path.join(stage, "old", path)
        if os.path.lexists(there):
            os.makedirs(os.path.dirname(old), exist_ok=True)
            os.rename(there, old)
        os.rename(os.path.join(stage, "new", path), there)
    journal.truncate(0)  # from here on there is nothing to undo


def _undo(stage: str, target: str, journal: IO[str]) -> None:
    """What was moved out of the stage goes, unless somebody has changed it since; what was there before is back."""
    journal.seek(0)
    try:
        told = json.loads(journal.read() or '{"files": {}, "folders": []}')
        names.check(told["files"])
        taken(told["files"], target)
    except (ValueError, KeyError, TypeError, RefusedError):
        return  # torn while it was written: then nothing had been moved
    for path, time in told["files"].items():
        there, old = os.path.join(target, path), os.path.join(stage, "old", path)
        is_moved = os.path.lexists(there) and not os.path.lexists(os.path.join(stage, "new", path))
        if is_moved and os.lstat(there).st_mtime_ns == time:
            os.unlink(there)
        if os.path.lexists(old) and not os.path.lexists(there):
            os.rename(old, there)
    for folder in reversed(told["folders"]):
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(target, folder))
