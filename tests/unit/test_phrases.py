"""Counts and times in messages."""

from __future__ import annotations

import time

import pytest

from devenv.phrases import clock, counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_only_one_is_singular(number: int, text: str) -> None:
    """No file and several are plural."""
    assert counted(number, "file") == text


@pytest.mark.parametrize(
    ("now", "text"),
    [
        ("2026-01-31 23:59:59", "14:02:00"),
        ("2026-02-01 00:00:00", "2026-01-31 14:02:00"),
        ("2027-01-31 14:02:00", "2026-01-31 14:02:00"),
        ("2026-01-30 23:59:59", "2026-01-31 14:02:00"),
    ],
)
def test_the_time_of_another_day_has_its_date(now: str, text: str) -> None:
    """The local day counts."""
    assert clock(local("2026-01-31 14:02:00"), local(now)) == text


def local(text: str) -> float:
    """A local time, in seconds since 1970."""
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
