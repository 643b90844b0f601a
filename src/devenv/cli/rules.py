"""`devenv explain` and `devenv config`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles

Paths = Annotated[list[str], typer.Argument(help="Files or folders, there or not.")]


def explain(
    paths: Paths,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """Say what a save of each path would do, by which rule, and which pattern decides."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.ui import rules  # noqa: PLC0415 - as above
    from devenv.watch.explain import explain as workflow  # noqa: PLC0415 - as above

    found = anyio.run(workflow, options.selection(file, project_name, profile), paths)
    window = options.console(output)
    window.answer({"paths": [asdict(path) for path in found]}, rules.explained(found))


def config(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """Show the watch rules and settings as devenv understands them.

    With any argument that is not named here it is `docker compose config`.
    """
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.ui import rules  # noqa: PLC0415 - as above
    from devenv.watch.explain import overview  # noqa: PLC0415 - as above

    found = anyio.run(overview, options.selection(file, project_name, profile))
    options.console(output).answer(asdict(found), rules.shown(found))
