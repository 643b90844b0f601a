"""`devenv` without arguments: status without typer, which would take a third of the time."""

from __future__ import annotations

import os
from dataclasses import asdict

import anyio

from devenv.cli.lazy import LazyImports
from devenv.inspect.status import here
from devenv.ui.console import Console
from devenv.ui.tables import status as lines

with LazyImports():
    from devenv.cli import main


def run() -> int:
    """Print the status of the project in this folder, and return the exit code."""
    try:
        print_status((), None, as_json=False, quiet=False)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - main does the same again, and explains each error
        return main.run([])
    return 0


def print_status(files: tuple[str, ...], project_name: str | None, *, as_json: bool, quiet: bool) -> None:
    """Print the status of the project in this folder, or of these files; with `quiet`, its first line."""
    status = anyio.run(here, os.getcwd(), files, project_name)
    answer = {**asdict(status), "commands": [asdict(command) for command in status.commands]}
    Console(as_json=as_json).answer(answer, list(lines(status))[: 1 if quiet else None])
