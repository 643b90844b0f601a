"""`devenv doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import UsageError

with LazyImports():
    import anyio

    from devenv import events
    from devenv.doctor import catalog
    from devenv.doctor import doctor as workflow
    from devenv.ui import console, tables


def doctor(
    fix: Annotated[bool, Option("--fix", help="Fix what is safe to fix; shows the changes and asks first.")] = False,
    yes: Annotated[bool, Option("--yes", help="With --fix: do not ask.")] = False,
    report: Annotated[
        str | None, Option("--report", metavar="FILE", help="Write a report for an issue, without secrets.")
    ] = None,
) -> None:
    """Find problems of this machine and project, with fixes."""
    window, chosen = options.console(), options.selection()

    def say(what: str) -> None:
        if not window.is_json:
            window.emit(events.Step("doctor", "detail", what))

    outcome = anyio.run(workflow.examine, chosen, say)
    window.close()
    planned = workflow.planned_fixes(outcome.facts, {finding.code for finding in outcome.findings}) if fix else ()
    if planned and _agreed(planned, window, yes=yes):
        outcome = anyio.run(workflow.apply_fixes, planned, chosen, say)
        window.close()
    answer = {
        "findings": [{**asdict(finding), "anchor": finding.anchor} for finding in outcome.findings],
        "errors": outcome.errors,
        "seconds": round(outcome.seconds, 3),
        "fixed": outcome.fixed,
        "backups": outcome.backups,
        "failed": [error.said for error in outcome.failed],
    }
    looked = [area for area in catalog.AREAS if area in outcome.facts.looked]
    window.answer(answer, tables.findings(outcome.findings, looked, outcome.seconds))
    for code in outcome.fixed:
        window.aside(f"fixed: {code}")
    for path in outcome.backups:
        window.aside(f"backup: {path}")
    for error in outcome.failed if not window.is_json else ():
        window.error(error)
    if report:
        workflow.write_report(report, outcome)
        window.aside(f"the report is in {report}: read it before you send it")
    raise typer.Exit(int(outcome.errors > 0))


def _agreed(planned: tuple[workflow.Fix, ...], window: console.Console, *, yes: bool) -> bool:
    for change in planned:
        window.aside(f"{', '.join(change.codes)}: {change.path}{'' if change.after is not None else ' is removed'}")
        for line in (*change.shows, *([f"then: {' '.join(change.then)}"] if change.then else [])):
            window.aside(f"  {line}")
        if change.before is not None:
            window.aside(f"  (kept as {change.backup})")
    if yes:
        return True
    if window.is_json or not sys.stdin.isatty():
        raise UsageError("no terminal to ask on, so nothing was changed", hint="devenv doctor --fix --yes")
    return options.confirm("Change it?")
