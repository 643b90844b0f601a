"""`devenv doctor`: examine the machine, report findings, fix what is safe to fix, and examine again."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio

from devenv import __version__
from devenv.compose.outline import Selection
from devenv.doctor import fixes, probes
from devenv.doctor.catalog import ERROR
from devenv.doctor.diagnose import diagnose
from devenv.doctor.facts import Facts
from devenv.doctor.fixes import Fix
from devenv.doctor.report import report
from devenv.errors import DevenvError, UsageError
from devenv.model.finding import Finding


@dataclass(frozen=True, slots=True)
class Outcome:
    """The findings, after the fixes if there were any: `fixed` are their codes, `failed` the errors of fixes."""

    facts: Facts
    findings: tuple[Finding, ...]
    seconds: float
    fixed: tuple[str, ...] = ()
    backups: tuple[str, ...] = ()
    failed: tuple[DevenvError, ...] = ()

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(finding.severity == ERROR for finding in self.findings)


async def examine(selection: Selection, say: Callable[[str], object]) -> Outcome:
    """Examine this machine, and the selected project if there is one."""
    began = anyio.current_time()
    facts = await probes.gather(selection, say)
    return Outcome(facts, diagnose(facts), anyio.current_time() - began)


def fixable(outcome: Outcome) -> tuple[Fix, ...]:
    """The fixes for its findings."""
    return fixes.planned(outcome.facts, {finding.code for finding in outcome.findings})


async def apply_fixes(planned: Iterable[Fix], selection: Selection, say: Callable[[str], object]) -> Outcome:
    """Apply the fixes and examine again; only a finding that is gone counts as fixed."""
    backups: list[str | None] = []
    failed: list[DevenvError] = []
    codes: list[str] = []
    for fix in planned:
        try:
            backups.append(await fixes.carry_out(fix))
            codes += fix.codes
        except DevenvError as error:
            failed.append(error)
    after = await examine(selection, say)
    left = {finding.code for finding in after.findings}
    fixed = tuple(code for code in codes if code not in left)
    return Outcome(after.facts, after.findings, after.seconds, fixed, tuple(filter(None, backups)), tuple(failed))


def write_report(path: str, outcome: Outcome) -> None:
    """Write the report to a new file. Raises UsageError if the file exists or cannot be written."""
    versions = {"devenv": __version__, "Python": platform.python_version(), "system": platform.platform()}
    text = report(outcome.facts, outcome.findings, versions, os.path.expanduser("~"))
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} already exists, and was left unchanged", hint="--report another-name.md") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
