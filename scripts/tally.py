"""Prints the time of each group of tests, what failed, and the closing line, from pytest's JUnit files.

The closing line reads `412 passed, 0 failed`.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

SLOWEST = 12


def failures(*reports: str) -> list[str]:
    """`FAILED tests/file.py::test` for each test that failed or had an error, as in pytest's own summary."""
    return [
        f"FAILED {case.get('file')}::{case.get('name')}"
        for case in _cases(*reports)
        if case.find("failure") is not None or case.find("error") is not None
    ]


def times(reports: Mapping[str, str]) -> list[str]:
    """Name of a job's report -> its text; a line for each job with its seconds, then the slowest test files."""
    files: dict[str, float] = defaultdict(float)
    lines = []
    for name, report in reports.items():
        seconds = 0.0
        for case in _cases(report):
            took = float(case.get("time", "0"))
            seconds += took
            files[str(case.get("file"))] += took
        lines.append(f"{seconds:6.0f} s  {name}")
    slowest = sorted(files.items(), key=lambda file: -file[1])[:SLOWEST]
    return [*lines, *(f"{seconds:6.0f} s  {file}" for file, seconds in slowest if seconds >= 1)]


def closing_line(*reports: str) -> str:
    """The number of tests that passed, failed (with errors) and, if there are any, were skipped."""
    suites = [suite for report in reports for suite in _parsed(report).iter("testsuite")]

    def total(attribute: str) -> int:
        return sum(int(suite.get(attribute, "0")) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    line = f"{max(0, total('tests') - failed - skipped)} passed, {failed} failed"
    return f"{line}, {skipped} skipped" if skipped else line


def _cases(*reports: str) -> list[ET.Element]:
    return [case for report in reports for case in _parsed(report).iter("testcase")]


def _parsed(report: str) -> ET.Element:
    return ET.fromstring(report)  # noqa: S314 - written by our own pytest


if __name__ == "__main__":
    texts = {path.stem: path.read_text(encoding="utf-8") for path in map(Path, sys.argv[1:]) if path.exists()}
    last = closing_line(*texts.values()) if texts else "0 passed, 0 failed: no test ran"
    print(*times(texts), *failures(*texts.values()), last, sep="\n")
