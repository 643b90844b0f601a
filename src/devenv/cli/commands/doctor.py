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
from devenv.cli.lazy import LazyImports
from devenv.errors import UsageError

with LazyImports():
    import anyio

    from devenv import events
    from devenv.doctor import doctor as workflow
    from devenv.doctor import mirrors
    from devenv.model import answers, snapshot
    from devenv.ui import console, tables, text


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
    window, chosen = options.console(), options.selection()

    def say(what: str) -> None:
        if not window.is_json:
            window.emit(events.Step("doctor", "detail", what))

    if mirror:
        entries = [entry for given in mirror for entry in re.split(r"[\s,]+", given) if entry]
        raise typer.Exit(_test_mirrors(window, anyio.run(mirrors.ask, chosen, entries, say), fix=fix, yes=yes))
    outcome = anyio.run(workflow.examine, chosen, say)
    window.close()
    planned = workflow.planned_fixes(outcome.facts, {finding.code for finding in outcome.findings}) if fix else ()
    if planned and _agreed(planned, window, yes=yes):
        outcome = anyio.run(workflow.apply_fixes, planned, chosen, say)
        window.close()
    _show(window, outcome)
    if report:
        workflow.write_report(report, outcome)
        window.aside(f"the report is in {report}: read it before you send it")
    raise typer.Exit(int(outcome.errors > 0))


def _show(window: console.Console, outcome: workflow.Examination) -> None:
    """Print the findings and what was done about them."""
    answer = {
        "findings": [{**asdict(finding), "anchor": finding.anchor} for finding in outcome.findings],
        "errors": outcome.errors,
        "seconds": round(outcome.seconds, 3),
        "fixed": outcome.fixed,
        "backups": outcome.backups,
        "failed": [error.said for error in outcome.failed],
    }
    checked = [area for area in answers.AREAS if area in outcome.facts.checked]
    window.answer(answer, tables.findings(outcome.findings, checked, outcome.seconds))
    for code in outcome.fixed:
        window.aside(f"fixed: {code}")
    for path in outcome.backups:
        window.aside(f"backup: {path}")
    for error in outcome.failed if not window.is_json else ():
        window.error(error)


def _test_mirrors(window: console.Console, ranking: Sequence[mirrors.Mirror], *, fix: bool, yes: bool) -> int:
    """Show the ranking, write it if that is wanted, and return the exit code: 0 if a mirror is good."""
    window.close()
    good = [mirror.mirror for mirror in ranking if mirror.is_good]
    if not window.is_json:  # before the question; JSON says what was written, too
        window.answer({}, text.columns([_row(mirror) for mirror in ranking]))
    change = mirrors.planned(ranking) if fix or not window.is_json else None
    written = None
    if fix and change and _agreed([change], window, yes=yes):
        backup, written = anyio.run(workflow.carry_out, change), change.path
        window.aside(f"written: {written}{f'; backup: {backup}' if backup else ''}")
    elif change:
        window.aside(f"to use what is good: devenv doctor --fix {' '.join(f'--mirror {name}' for name in good)}")
    window.answer({"mirrors": [asdict(mirror) for mirror in ranking], "written": written}, ())
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


def _agreed(planned: Sequence[workflow.Fix], window: console.Console, *, yes: bool) -> bool:
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
