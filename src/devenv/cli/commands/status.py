"""`devenv` alone; without typer, which would cost a third of the time that it has."""

from __future__ import annotations

import os
from dataclasses import asdict

import anyio

from devenv.inspect.status import here
from devenv.ui.console import Console
from devenv.ui.status import lines


def alone() -> int:
    """The exit code of `devenv` without an argument."""
    try:
        tell((), None, as_json=False, quiet=False)
    except KeyboardInterrupt:
        return 130
    except Exception:  # noqa: BLE001 - whatever it is, the app says it with more care
        from devenv.cli import main  # noqa: PLC0415 - as above

        return main.run([])
    return 0


def tell(files: tuple[str, ...], project_name: str | None, *, as_json: bool, quiet: bool) -> None:
    """Say what stands here, and what can be done about it."""
    found = anyio.run(here, os.getcwd(), files, project_name)
    answer = {**asdict(found), "commands": [asdict(one) for one in found.commands]}
    Console(as_json=as_json).answer(answer, list(lines(found))[: 1 if quiet else None])
