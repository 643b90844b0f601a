"""`devenv` alone."""

from __future__ import annotations

from dataclasses import asdict

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles, Quiet


def here(
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    quiet: Quiet = False,
) -> None:
    """Say what stands here, and what can be done about it."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.lifecycle.here import here as workflow  # noqa: PLC0415 - as above
    from devenv.ui.here import lines  # noqa: PLC0415 - as above

    found = anyio.run(workflow, options.selection(file, project_name, profile))
    answer = {**asdict(found), "commands": [asdict(one) for one in found.commands]}
    options.console(output).answer(answer, list(lines(found))[: 1 if quiet else None])
