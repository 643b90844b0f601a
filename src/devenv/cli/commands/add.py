"""`devenv add` and `devenv remove`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles
from devenv.cli.prompt import confirm
from devenv.errors import StateError, UsageError

if TYPE_CHECKING:
    from devenv.scaffold.add.proposal import Proposal

RULES = "rules"
KNOWN = """postgres, mysql, mariadb, valkey, redis, rabbitmq, memcached, adminer, phpmyadmin, nginx, caddy; with
--template fastapi|express, a name of your own; `rules` for watch rules."""
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the diff, write nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]


def add(
    what: Annotated[str, typer.Argument(metavar="SERVICE|rules", help=KNOWN)],
    service: Annotated[str | None, typer.Argument(help="With `rules`: the service that gets them.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the new service.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Service that is to use it, or that it stands before.")
    ] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Kind of a service with code of its own.")
    ] = None,
    from_mounts: Annotated[
        bool, typer.Option("--from-mounts", help="With `rules`: make rules of the bind mounts of folders.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """Add a service to the Compose file, or watch rules to a service."""
    selection = options.selection(file, project_name, profile)
    if what == RULES:
        if name or to or template:
            raise UsageError("`add rules` takes a service and --from-mounts", hint="devenv add rules [SERVICE]")
        from devenv.scaffold.add.rules import rules as workflow  # noqa: PLC0415 - `--help` must not pay for it

        _settle(lambda: workflow(selection, service, from_mounts=from_mounts), output, dry_run=dry_run, yes=yes)
        return
    if service is not None or from_mounts:
        raise UsageError("a second name and --from-mounts go with `rules`", hint="devenv add rules [SERVICE]")
    from devenv.scaffold.add.services import add as adding  # noqa: PLC0415 - as above

    records = _records()
    _settle(
        lambda: adding(selection, what, records, name=name, to=to, template=template),
        output,
        dry_run=dry_run,
        yes=yes,
    )


def remove(
    service: Annotated[str, typer.Argument(help="Service to take out.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
) -> None:
    """Take a service out of the Compose file, with what `add` put into others for it."""
    from devenv.scaffold.add.remove import remove as workflow  # noqa: PLC0415 - `--help` must not pay for it

    selection, records = options.selection(file, project_name, profile), _records()
    _settle(lambda: workflow(selection, service, records), output, dry_run=dry_run, yes=yes)


def _records() -> str:
    """The folder of what `add` recorded; it exists then."""
    from devenv import private_files  # noqa: PLC0415 - `--help` must not pay for it
    from devenv.state.home import state_folder  # noqa: PLC0415 - as above

    folder = state_folder()
    try:
        return private_files.private_folder(folder, "added")
    except OSError as error:
        raise StateError(f"cannot write {folder}: {error.strerror}") from error


def _settle(
    workflow: Callable[[], Coroutine[Any, Any, Proposal]], output: Output, *, dry_run: bool, yes: bool
) -> None:
    """The proposal shown, then written if that is wanted."""
    import sys  # noqa: PLC0415 - `--help` must not pay for it

    import anyio  # noqa: PLC0415 - as above

    from devenv.scaffold.add.proposal import write  # noqa: PLC0415 - as above

    proposal = anyio.run(workflow)
    window, diff = options.console(output), proposal.diff()
    ask = bool(proposal.edits) and not dry_run and not yes
    if ask and (output is Output.JSON or not sys.stdin.isatty()):
        hint = "--dry-run shows it, --yes writes it."
        raise UsageError("nobody can be asked here, so nothing was written", hint=hint)
    if output is Output.TEXT:
        window.diff(diff)
        for note in proposal.notes:
            window.aside(note)
    try:
        agreed = yes or (ask and confirm("Write this?", default=True))
    except typer.Abort:
        window.aside("\nnothing was written")
        raise typer.Exit(130) from None
    written = bool(proposal.edits) and not dry_run and agreed
    if written:
        write(proposal)
    if output is Output.JSON:
        window.answer({"written": written, "diff": diff, "notes": proposal.notes}, ())
    elif proposal.edits and not written:
        window.aside("nothing was written")
