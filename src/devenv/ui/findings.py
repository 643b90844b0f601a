"""What the doctor found -> lines of text. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from devenv.model.finding import PAGE, Finding
from devenv.ui.text import clean_lines

MARKS = {"error": "✗", "warning": "!", "info": "·"}


def lines(findings: Sequence[Finding], areas: Collection[str], seconds: float) -> Iterator[str]:
    """A line for each finding, and one for all areas where there is none."""
    for one in findings:
        yield f"{MARKS[one.severity]} {one.code}: {clean_lines(one.message)}"
        if one.hint:
            yield f"  hint: {clean_lines(one.hint)}"
    bad = {one.area for one in findings if one.severity != "info"}
    if well := [area for area in areas if area not in bad]:
        yield f"✓ {', '.join(well)}"
    explained = f"; {PAGE} explains each" if findings else ""
    yield f"{_count(findings, 'error')}, {_count(findings, 'warning')} ({seconds:.1f} s){explained}"


def _count(findings: Sequence[Finding], severity: str) -> str:
    number = sum(one.severity == severity for one in findings)
    return f"{number or 'no'} {severity}{'' if number == 1 else 's'}"
