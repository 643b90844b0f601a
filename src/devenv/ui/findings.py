"""Findings of the doctor -> lines of text. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from devenv.model.finding import PAGE, Finding
from devenv.ui.text import clean_lines

MARKS = {"error": "✗", "warning": "!", "info": "·"}


def lines(findings: Sequence[Finding], areas: Collection[str], seconds: float) -> Iterator[str]:
    """A line for each finding, one for all areas without findings, and a summary."""
    for finding in findings:
        yield f"{MARKS[finding.severity]} {finding.code}: {clean_lines(finding.message)}"
        if finding.hint:
            yield f"  hint: {clean_lines(finding.hint)}"
    bad = {finding.area for finding in findings if finding.severity != "info"}
    if well := [area for area in areas if area not in bad]:
        yield f"✓ {', '.join(well)}"
    explained = f"; {PAGE} explains each" if findings else ""
    yield f"{_count(findings, 'error')}, {_count(findings, 'warning')} ({seconds:.1f} s){explained}"


def _count(findings: Sequence[Finding], severity: str) -> str:
    number = sum(finding.severity == severity for finding in findings)
    return f"{number or 'no'} {severity}{'' if number == 1 else 's'}"
