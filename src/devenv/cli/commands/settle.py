"""`devenv settle`: wait until every save is in effect. A running project answers without typer."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.errors import DevenvError, StateError, UsageError
from devenv.lazy_imports import LazyImports

with LazyImports():
    import json

    import anyio

    from devenv.compose import outline
    from devenv.docker import endpoint
    from devenv.inspect import status
    from devenv.run import client
    from devenv.state import kept, run_dir

Services = Annotated[list[str] | None, Argument(help="Only these services.")]
PAUSE = 0.1  # seconds between two tries to reach a run that is starting


def settle(
    services: Services = None,
    timeout: Annotated[int, Option("--timeout", metavar="SECONDS", help="Wait at most this long.")] = 60,
    synced: Annotated[bool, Option("--synced", help="Only until the saves are in the containers.")] = False,
) -> None:
    """Wait until every save is in effect and services work.

    Exits with 0 if files are synced, commands, restarts and rebuilds have ended, and health checks or ports answer;
    else with 1 and the cause.
    """
    selection = options.selection()
    name = outline.sketched(selection).name or ""
    run = run_dir.Run.known(anyio.run(endpoint.resolve), name)
    words = ["settle", *(f"service={service}" for service in services or ()), *(["synced=yes"] if synced else [])]
    deadline = time.monotonic() + timeout
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        if (answer := client.ask(run.path, [*words, f"timeout={left:g}"], left + client.GRACE)) is not None:
            break
        if not (run.lock.is_of_run() or kept.is_returning(run)):
            other = status.options_of_run(name, selection.directory)
            hint = " ".join(["devenv settle", *other]) if other else "devenv up -d"
            raise StateError(f"no process of devenv syncs {name}", hint=hint)
        if not left:
            raise DevenvError(f"{name} is not up after {timeout} s", hint="devenv ps")
        time.sleep(PAUSE)
    code, document, lines = answer
    values = json.loads(document)
    if code > 1:
        raise (UsageError if code == UsageError.exit_code else DevenvError)(values["error"], hint=values["hint"])
    options.console().answer(values, lines.splitlines())
    raise typer.Exit(code)
