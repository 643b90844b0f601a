"""Prints the closing line of a test run from pytest's JUnit file: `412 passed, 0 failed`."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def closing_line(report: str) -> str:
    """How many tests passed, failed (errors counted) and, where there are any, were skipped."""
    suites = list(ET.fromstring(report).iter("testsuite"))  # noqa: S314 - written by our own pytest a moment ago

    def total(attribute: str) -> int:
        return sum(int(suite.get(attribute, "0")) for suite in suites)

    failed, skipped = total("failures") + total("errors"), total("skipped")
    line = f"{max(0, total('tests') - failed - skipped)} passed, {failed} failed"
    return f"{line}, {skipped} skipped" if skipped else line


if __name__ == "__main__":
    path = Path(sys.argv[1])
    print(closing_line(path.read_text(encoding="utf-8")) if path.exists() else "0 passed, 0 failed: no test ran")
