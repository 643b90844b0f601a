"""`devenv explain`, `devenv config` and `devenv sync`: the watch rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import ConfigError

with LazyImports():
    import anyio

    from devenv.compose import schema as schemas
    from devenv.compose import validate as validation
    from devenv.sync import once
    from devenv.sync.rules import explain as workflow
    from devenv.sync.rules import lint
    from devenv.ui import tables

Paths = Annotated[list[str], Argument(help="Files or folders; they need not exist.")]


def explain(paths: Paths) -> None:
    """Show what saving a path does, and which rule decides."""
    outcomes = anyio.run(workflow.explain, options.selection(), paths)
    window = options.console()
    window.answer({"paths": [asdict(outcome) for outcome in outcomes]}, tables.explained(outcomes))


def config(
    validate: Annotated[bool, Option("--validate", help="Report all mistakes in `x-devenv` and `develop`.")] = False,
    schema: Annotated[bool, Option("--schema", help="Print a JSON schema of the Compose file, for editors.")] = False,
) -> None:
    """Show the watch rules and settings that are in effect.

    With an option that is not listed here, it runs `docker compose config`.
    """
    window, chosen = options.console(), options.selection()
    if schema:
        window.json(schemas.compose_schema())
    elif validate:
        mistakes = anyio.run(validation.validate, chosen, lint.faults)
        errors = sum(mistake.level == "error" for mistake in mistakes)
        window.answer(
            {"errors": errors, "mistakes": [asdict(mistake) for mistake in mistakes]}, tables.mistakes(mistakes)
        )
        raise typer.Exit(ConfigError.exit_code if errors else 0)
    else:
        overview = anyio.run(workflow.overview, chosen)
        window.answer(asdict(overview), tables.rules(overview))


def sync(
    services: Annotated[list[str] | None, Argument(help="Only these services.")] = None,
    verify: Annotated[
        bool, Option("--verify", help="Compare the containers with the source tree and print differences.")
    ] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Print what would be done and do nothing.")] = False,
) -> None:
    """Sync the source tree to the running containers once."""
    selection = options.selection(services)
    chosen = once.SyncRequest(selection, tuple(services or ()), verify=verify, dry_run=dry_run)
    raise typer.Exit(anyio.run(once.sync, chosen, options.console().emit))
