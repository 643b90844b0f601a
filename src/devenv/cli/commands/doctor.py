"""`devenv doctor`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Option

from devenv.cli import options
from devenv.errors import UsageError
from devenv.lazy_imports import LazyImports

with LazyImports():
    import anyio

    from devenv import events
    from devenv.doctor import doctor as workflow
    from devenv.doctor import mirrors
    from devenv.model import answers, snapshot
    from devenv.ui import cells, tables
    from devenv.ui import console as consoles


def doctor(
    fix: Annotated[bool, Option("--fix", help="Fix what is safe to fix; shows the changes and asks first.")] = False,
    yes: Annotated[bool, Option("--yes", help="With --fix: do not ask.")] = False,
    report: Annotated[
        str | None, Option("--report", metavar="FILE", help="Write a report for an issue, without secrets.")
    ] = None,
    mirror: Annotated[
        list[str] | None,
        Option(
            "--mirror",
            metavar="HOST",
            help="Test and rank mirrors of registries; may be repeated. --fix: use them.",
        ),
    ] = None,
) -> None:
    """Find problems of this machine and project, with fixes."""
    console, selection = options.console(), options.selection()

    def report_step(step: str) -> None:
        if not console.is_json:
            console.emit(events.Step("doctor", "detail", step))

    if mirror:
        entries = [entry for value in mirror for entry in re.split(r"[\s,]+", value) if entry]
        ranking = anyio.run(mirrors.ask, selection, entries, report_step)
        raise typer.Exit(_test_mirrors(console, ranking, fix=fix, yes=yes))
    outcome = anyio.run(workflow.examine, selection, report_step)
    console.close()
    planned = workflow.planned_fixes(outcome.facts, {finding.code for finding in outcome.findings}) if fix else ()
    if planned and _agreed(planned, console, yes=yes):
        outcome = anyio.run(workflow.apply_fixes, planned, selection, report_step)
        console.close()
    _show(console, outcome)
    if report:
        workflow.write_report(report, outcome)
        console.aside(f"the report is in {report}: read it before you send it")
    raise typer.Exit(int(outcome.errors > 0))


def _show(console: consoles.Console, outcome: workflow.Examination) -> None:
    """Print the findings, and what was fixed."""
    answer = {
        "findings": [{**asdict(finding), "anchor": finding.anchor} for finding in outcome.findings],
        "errors": outcome.errors,
        "seconds": round(outcome.seconds, 3),
        "fixed": outcome.fixed,
        "backups": outcome.backups,
        "failed": [error.said for error in outcome.failed],
    }
    checked = [area for area in answers.AREAS if area in outcome.facts.checked]
    console.answer(answer, tables.findings(outcome.findings, checked, outcome.seconds))
    for code in outcome.fixed:
        console.aside(f"fixed: {code}")
    for path in outcome.backups:
        console.aside(f"backup: {path}")
    for error in outcome.failed if not console.is_json else ():
        console.error(error)


def _test_mirrors(console: consoles.Console, ranking: Sequence[mirrors.Mirror], *, fix: bool, yes: bool) -> int:
    """Show the ranking, write it with `fix`, and return the exit code: 0 if a mirror is good."""
    console.close()
    good = [mirror.mirror for mirror in ranking if mirror.is_good]
    if not console.is_json:  # before the question; JSON has the written file too
        console.answer({}, cells.columns([_row(mirror) for mirror in ranking]))
    change = mirrors.planned(ranking) if fix or not console.is_json else None
    written = None
    if fix and change and _agreed([change], console, yes=yes):
        backup, written = anyio.run(workflow.carry_out, change), change.path
        console.aside(f"written: {written}{f'; backup: {backup}' if backup else ''}")
    elif change:
        console.aside(f"to use the good mirrors: devenv doctor --fix {' '.join(f'--mirror {name}' for name in good)}")
    console.answer({"mirrors": [asdict(mirror) for mirror in ranking], "written": written}, ())
    return int(not good)


def _row(mirror: mirrors.Mirror) -> dict[str, str]:
    state = "good" if mirror.is_good else mirror.fault or "has none of the images"
    if mirror.differs:
        state = f"another digest: {', '.join(mirror.differs)}"
    elif mirror.is_good and mirror.lacks:
        state = f"good, but lacks {', '.join(mirror.lacks)}"
    return {
        "mirror": mirror.mirror,
        "images": f"{len(mirror.has)} of {len(mirror.has) + len(mirror.lacks)}" if mirror.has or mirror.lacks else "",
        "first byte": f"{mirror.first_byte * 1000:.0f} ms" if mirror.first_byte else "",
        "speed": f"{snapshot.shown(mirror.speed)}/s" if mirror.speed else "",
        "": state,
    }


def _agreed(planned: Sequence[workflow.Fix], console: consoles.Console, *, yes: bool) -> bool:
    for change in planned:
        console.aside(f"{', '.join(change.codes)}: {change.path}{'' if change.after is not None else ' is removed'}")
        for line in (*change.shows, *([f"then: {' '.join(change.then)}"] if change.then else [])):
            console.aside(f"  {line}")
        if change.before is not None:
            console.aside(f"  (kept as {change.backup})")
    if yes:
        return True
    if console.is_json or not sys.stdin.isatty():
        raise UsageError("no terminal to ask on, so nothing was changed", hint="devenv doctor --fix --yes")
    return options.confirm("Change it?")
