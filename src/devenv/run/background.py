"""The keeper of a run, seen from other commands: start it at the hand-over, and ask it to end.

The keeper itself is the package `keeper`, which this module starts as a program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import anyio

from devenv import private_files
from devenv.decoded import decoded
from devenv.docker import process
from devenv.errors import StateError
from devenv.lazy_imports import LazyImports
from devenv.state.kept import STARTING, KeeperNote, note_of
from devenv.state.run_dir import Run

if TYPE_CHECKING:
    from devenv.remote.line import Line
    from devenv.run.preload import UpOptions

with LazyImports():  # `end` needs neither
    from devenv.compose import run_model
    from devenv.run import preload

MODULE = "devenv.keeper"
PATIENCE = 10.0  # seconds for the keeper's last work, before it is killed
GRACE = 2.0  # seconds after that
LOOK_EVERY = 0.005
_NEEDED = (
    "watcher", "build", "keep_volumes", "snapshot", "auto_ports", "lan", "timeout", "trust", "selection", "ports",
    "images",
)  # fmt: skip


def encode(options: UpOptions) -> dict[str, Any]:
    """The options that a keeper needs, as a JSON object: it asks nothing, and follows logs for its views."""
    values = asdict(replace(options, ahead=None, login=None, early={}))
    return {name: values[name] for name in _NEEDED}


def decode(data: Mapping[str, Any]) -> UpOptions:
    """The options of a keeper. Raises TypeError, ValueError, KeyError, AttributeError."""
    return decoded(preload.UpOptions, data, run_model.Scale)


def command(folder: str, *words: str) -> list[str]:
    """The command line of a keeper for the run in that folder."""
    return [sys.executable, "-m", MODULE, folder, *words]


def start(run: Run, descriptor: int, note: KeeperNote, line: Line | None = None) -> None:
    """Start a keeper, which gets the lock that this process holds with `descriptor`: no command can be in between.

    It goes on with the line too, so that ports stay forwarded.

    Raises StateError if the state folder cannot be written.
    """
    with private_files.written(run.path):
        log = private_files.create(os.path.join(run.path, "keeper.log"), os.O_WRONLY | os.O_APPEND)
    try:
        left = () if line is None else line.leave()
        words = [str(descriptor), *([line.folder.path] if line is not None and left else ())]
        pid = process.detach(command(run.path, "0", *words), pass_fds=(descriptor, *left), log=log)
    finally:
        os.close(log)
    start_time = process.start_time(pid) or ""
    replace(note, pid=pid, start=start_time, since=time.time(), state=STARTING, problem="").write(run)
    run.lock.pass_on(descriptor, pid)


async def end(run: Run) -> KeeperNote | None:
    """Ask the run's keeper to end, and return its note once it holds the project no longer; None without a keeper.

    It ends without touching a container. Raises StateError if it does not end.
    """
    note, asked, began = None, set[tuple[int, int]](), time.monotonic()
    while run.lock.is_kept():
        note, holder, passed = note_of(run), run.lock.holder(), time.monotonic() - began
        if passed > PATIENCE + GRACE:
            message = f"the background process (pid {holder}) does not end"
            raise StateError(message, hint=f"kill -9 {holder}   (if it is a process of devenv)")
        sign = signal.SIGTERM if passed < PATIENCE else signal.SIGKILL
        # Never a process that got the pid later, and each signal once.
        if note is not None and note.pid == holder and note.is_alive and (holder, sign) not in asked:
            asked.add((holder, sign))
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, sign)
        await anyio.sleep(LOOK_EVERY)
    return note
