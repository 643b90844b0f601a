"""The engine of a folder whose project runs on another machine. Each command asks, so little is imported."""

from __future__ import annotations

import contextlib
import fcntl
import os

from devenv import state_path

LOCAL = b'"endpoint": "unix://'


def engine_elsewhere(folder: str) -> str:
    """The context or the address of the engine on which the project of the folder runs; empty if it is a local one.

    `folder` is a real path. A run counts while a process holds it; what cannot be read does not count.
    """
    runs = os.path.join(state_path(), "runs")
    for name in with_ledger(runs):
        if chosen := _engine(os.path.join(runs, name), folder):
            return chosen
    return ""


def with_ledger(runs: str) -> list[str]:
    """The names of the folders of runs that have a ledger; most runs have ended, and have none."""
    try:
        folder = os.open(runs, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        return [name for name in os.listdir(folder) if os.access(f"{name}/ledger.json", os.F_OK, dir_fd=folder)]
    finally:
        os.close(folder)


def follow_run() -> None:
    """Use the engine of this folder's run from now on, unless the environment names an engine."""
    if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT"):
        return
    with contextlib.suppress(FileNotFoundError):  # the folder was removed
        if chosen := engine_elsewhere(os.path.realpath(os.curdir)):
            from devenv.docker import context  # noqa: PLC0415 - most people have no such run

            context.select(chosen)


def _engine(run: str, folder: str) -> str:
    try:
        with open(os.path.join(run, "ledger.json"), "rb") as file:
            content = file.read()
        if LOCAL in content or not _is_held(os.path.join(run, "lock")):
            return ""
        import json  # noqa: PLC0415 - most people have no such run

        ledger = json.loads(content)
        directory, chosen = str(ledger["place"]["path"]), str(ledger["context"] or ledger["endpoint"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return chosen if f"{folder}/".startswith(f"{directory}/") else ""


def _is_held(lock: str) -> bool:
    with open(lock, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
