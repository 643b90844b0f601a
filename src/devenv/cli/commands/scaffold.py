"""`devenv new`, `devenv add` and `devenv remove`: create a project, and change services and rules in it."""

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
from devenv.errors import StateError, UsageError
from devenv.lazy_imports import LazyImports
from devenv.phrases import counted

with LazyImports():
    import anyio

    from devenv import private_files
    from devenv.scaffold import agent
    from devenv.scaffold.add import proposal as proposals
    from devenv.scaffold.add import remove as removal
    from devenv.scaffold.add import rules as watch_rules
    from devenv.scaffold.add import services
    from devenv.scaffold.new import new as workflow
    from devenv.scaffold.new import template as templates
    from devenv.state import home
    from devenv.ui import cells
    from devenv.ui import console as consoles

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
    console = options.console()
    if listed:
        rows = workflow.rows()
        console.answer({"templates": rows}, cells.columns(rows))
        return
    if source is not None and directory is not None:
        raise UsageError("with --from, the only argument is the directory", hint="devenv new --from FOLDER DIRECTORY")
    answers = _answers(data or [])
    request = workflow.NewRequest(template, source, directory, answers, overwrite=overwrite, dry_run=dry_run)
    asks = not defaults and not console.is_json and sys.stdin.isatty() and sys.stderr.isatty()

    def show(lines: list[str]) -> None:
        for line in () if console.is_json else lines:
            (console.line if dry_run else console.aside)(line)

    ask, confirm = (lambda question: _ask(question, console), options.confirm) if asks else (None, None)
    with _exit_on_abort(console):
        made = workflow.new(request, ask, confirm, show)
    console.answer({"dry_run": dry_run, **asdict(made)}, () if dry_run else _summary(made.folder, len(made.files)))


def _answers(data: list[str]) -> dict[str, str]:
    answers = {}
    for pair in data:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UsageError(f"--data takes KEY=VALUE, not {pair!r}")
        answers[key] = value
    return answers


def _ask(question: templates.Question, console: consoles.Console) -> str:
    choices = f" ({', '.join(question.choices)})" if question.choices else ""
    while True:
        answer = options.prompt(f"{question.prompt}{choices}", question.default or None)
        try:
            return question.checked(answer.strip())
        except UsageError as error:
            console.aside(error.message)


def _summary(folder: str, count: int) -> list[str]:
    path = os.path.relpath(folder)
    return [f"{counted(count, 'file')} in {path}", "  devenv up" if path == "." else f"  cd {path} && devenv up"]


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


def agent_init(
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file with another text.")] = False,
) -> None:
    """Write a skill file for coding agents.

    In .agents/skills, and for each tool that has a folder here (.claude, .cursor, ...).
    """
    written = agent.init(os.getcwd(), overwrite=overwrite)
    options.console().answer({"written": written}, written or ["nothing to write: the skill file is current"])


def remove(
    service: Annotated[str, Argument(help="Service to remove.")], dry_run: DryRun = False, yes: Yes = False
) -> None:
    """Remove a service from the Compose file.

    Also removes what `add` put into other services for it.
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
    """Show the proposal, and write it with `yes` or after a confirmation."""
    console, diff = options.console(), proposal.diff()
    is_empty = not proposal.edits
    asks = not (is_empty or dry_run or yes)
    if asks and (console.is_json or not sys.stdin.isatty()):
        hint = "--dry-run shows the changes, --yes writes them."
        raise UsageError("no terminal to ask on, so nothing was written", hint=hint)
    if not console.is_json:
        console.diff(diff)
        for note in proposal.notes:
            console.aside(note)
    with _exit_on_abort(console):
        written = not (is_empty or dry_run) and (not asks or options.confirm("Write this?", default=True))
    if written:
        proposals.write(proposal)
    if console.is_json:
        console.answer({"written": written, "diff": diff, "notes": proposal.notes}, ())
    elif not is_empty and not written:
        console.aside("nothing was written")


@contextlib.contextmanager
def _exit_on_abort(console: consoles.Console) -> Iterator[None]:
    """Exit if a question is answered with Ctrl-C, before anything is written."""
    try:
        yield
    except typer.Abort:
        console.aside("\nnothing was written")
        raise typer.Exit(130) from None
