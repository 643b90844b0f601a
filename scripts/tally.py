"""Prints what failed in a test run, and its closing line, from pytest's JUnit files: `412 passed, 0 failed`."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def failures(*reports: str) -> list[str]:
    """`FAILED tests/file.py::test` for every test that failed or had an error, as pytest's own summary says it."""
    return [
        f"FAILED {case.get('file')}::{case.get('name')}"
        for report in reports
        for case in _parsed(report).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def closing_line(*reports: str) -> str:
    """How many tests passed, failed (errors counted) and, where there are any, were skipped."""
    suites = [suite for report in reports for suite in _parsed(report).iter("testsuite")]

    def total(attribute: str) -> int:
        return sum(int(suite.get(attribute, "0")) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    line = f"{max(0, total('tests') - failed - skipped)} passed, {failed} failed"
    return f"{line}, {skipped} skipped" if skipped else line


def _parsed(report: str) -> ET.Element:
    return ET.fromstring(report)  # noqa: S314 - written by our own pytest a moment ago


if __name__ == "__main__":
    found = [path.read_text(encoding="utf-8") for path in map(Path, sys.argv[1:]) if path.exists()]
    print(*failures(*found), closing_line(*found) if found else "0 passed, 0 failed: no test ran", sep="\n")
