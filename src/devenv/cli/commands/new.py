"""`devenv new`."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import UsageError

with LazyImports():
    from devenv.scaffold.new import new as workflow
    from devenv.scaffold.new import template as templates
    from devenv.ui import console, text

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

    try:
        made = workflow.new(
            request,
            (lambda question: _ask(question, window)) if asks else None,
            options.confirm if asks else None,
            show,
        )
    except typer.Abort:
        window.aside("\nnothing was written")
        raise typer.Exit(130) from None
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
