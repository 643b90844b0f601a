"""`devenv new`, and `devenv add` and `devenv remove`: a project, and services and rules in its Compose file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import StateError, UsageError

with LazyImports():
    import anyio

    from devenv import private_files
    from devenv.scaffold.add import proposal as proposals
    from devenv.scaffold.add import remove as removal
    from devenv.scaffold.add import rules as watch_rules
    from devenv.scaffold.add import services
    from devenv.scaffold.new import new as workflow
    from devenv.scaffold.new import template as templates
    from devenv.state import home
    from devenv.ui import console, text

RULES = "rules"
KNOWN = """postgres, mysql, mariadb, valkey, redis, rabbitmq, memcached, adminer, phpmyadmin, nginx, caddy; with
--template fastapi|express, a name that you choose; `rules` for watch rules."""
DryRun = Annotated[bool, Option("--dry-run", help="Show the diff and write nothing.")]
Yes = Annotated[bool, Option("--yes", "-y", help="Write the files without asking.")]
Data = Annotated[
    list[str] | None,
    Option("--data", "-d", metavar="KEY=VALUE", help="An answer to a question of the template; may be repeated."),
]


def new(
    template: Annotated[str | None, Argument(help="A template of `devenv new --list`.")] = None,
    directory: Annotated[str | None, Argument(help="Target folder; by default named after the template.")] = None,
    listed: Annotated[bool, Option("--list", help="List the templates.")] = False,
    source: Annotated[
        str | None,
        Option(
            "--from", metavar="FOLDER|GIT[@TAG]", help="A template elsewhere; the only argument is DIRECTORY then."
        ),
    ] = None,
    data: Data = None,
    defaults: Annotated[bool, Option("--defaults", help="Take the default answers.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Show the tree and write nothing.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Create a project from a template or from existing code."""
    window = options.console()
    if listed:
        rows = workflow.rows()
        window.answer({"templates": rows}, text.columns(rows))
        return
    if source is not None and directory is not None:
        raise UsageError("with --from, the only argument is the directory", hint="devenv new --from FOLDER DIRECTORY")
    answers = _given(data or [])
    request = workflow.NewRequest(template, source, directory, answers, overwrite=overwrite, dry_run=dry_run)
    asks = not defaults and not window.is_json and sys.stdin.isatty() and sys.stderr.isatty()

    def show(lines: list[str]) -> None:
        for line in () if window.is_json else lines:
            (window.line if dry_run else window.aside)(line)

    ask, confirm = (lambda question: _ask(question, window), options.confirm) if asks else (None, None)
    with _nothing_on_abort(window):
        made = workflow.new(request, ask, confirm, show)
    window.answer({"dry_run": dry_run, **asdict(made)}, () if dry_run else _done(made.folder, len(made.files)))


def _given(data: list[str]) -> dict[str, str]:
    answers = {}
    for pair in data:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UsageError(f"--data takes KEY=VALUE, not {pair!r}")
        answers[key] = value
    return answers


def _ask(question: templates.Question, window: console.Console) -> str:
    choices = f" ({', '.join(question.choices)})" if question.choices else ""
    while True:
        answer = options.prompt(f"{question.prompt}{choices}", question.default or None)
        try:
            return question.checked(answer.strip())
        except UsageError as error:
            window.aside(error.message)


def _done(folder: str, count: int) -> list[str]:
    here = os.path.relpath(folder)
    first = [] if here == "." else [f"cd {here}"]
    return [f"{count} files in {here}", "  " + " && ".join([*first, "devenv up"])]


def add(
    what: Annotated[str, Argument(metavar="SERVICE|rules", help=KNOWN)],
    service: Annotated[str | None, Argument(help="With `rules`: the service that gets the rules.")] = None,
    name: Annotated[str | None, Option("--name", help="Name of the new service.")] = None,
    to: Annotated[
        str | None, Option("--to", help="Service that uses the new one, or that a proxy forwards to.")
    ] = None,
    template: Annotated[str | None, Option("--template", help="Template of a service with its own code.")] = None,
    from_mounts: Annotated[
        bool, Option("--from-mounts", help="With `rules`: turn bind mounts of folders into rules.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Add a service or watch rules to the Compose file."""
    selection = options.selection()
    if what == RULES:
        if name or to or template:
            raise UsageError("`add rules` takes a service and --from-mounts", hint="devenv add rules [SERVICE]")
        proposal = anyio.run(lambda: watch_rules.rules(selection, service, from_mounts=from_mounts))
    else:
        if service is not None or from_mounts:
            raise UsageError("a second name and --from-mounts go with `rules`", hint="devenv add rules [SERVICE]")
        records = _records()
        proposal = anyio.run(lambda: services.add(selection, what, records, name=name, to=to, template=template))
    _settle(proposal, dry_run=dry_run, yes=yes)


def remove(
    service: Annotated[str, Argument(help="Service to remove.")], dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Remove a service from the Compose file.

    What `add` put into other services for it is removed too.
    """
    proposal = anyio.run(removal.remove, options.selection(), service, _records())
    _settle(proposal, dry_run=dry_run, yes=yes)


def _records() -> str:
    """Create the folder with the records of `add` if needed, and return it."""
    folder = home.state_folder()
    try:
        return private_files.private_folder(folder, "added")
    except OSError as error:
        raise StateError(f"cannot write {folder}: {error.strerror}") from error


def _settle(proposal: proposals.Proposal, *, dry_run: bool, yes: bool) -> None:
    """Show the proposal, then write it if that is wanted."""
    window, diff = options.console(), proposal.diff()
    is_empty = not proposal.edits
    asks = not (is_empty or dry_run or yes)
    if asks and (window.is_json or not sys.stdin.isatty()):
        hint = "--dry-run shows it, --yes writes it."
        raise UsageError("no terminal to ask on, so nothing was written", hint=hint)
    if not window.is_json:
        window.diff(diff)
        for note in proposal.notes:
            window.aside(note)
    with _nothing_on_abort(window):
        written = not (is_empty or dry_run) and (not asks or options.confirm("Write this?", default=True))
    if written:
        proposals.write(proposal)
    if window.is_json:
        window.answer({"written": written, "diff": diff, "notes": proposal.notes}, ())
    elif not is_empty and not written:
        window.aside("nothing was written")


@contextlib.contextmanager
def _nothing_on_abort(window: console.Console) -> Iterator[None]:
    """Say so, and end, if a question is answered with Ctrl-C."""
    try:
        yield
    except typer.Abort:
        window.aside("\nnothing was written")
        raise typer.Exit(130) from None
