"""Phrases of messages: counts, and times of day. Pure: times are in seconds since 1970."""

from __future__ import annotations

import datetime as dt


def counted(number: int, kind: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {kind}{'' if number == 1 else 's'}"


def clock(at: float, now: float) -> str:
    """The local time: `14:02:00`, or with the date if that is not today's, `2026-01-31 14:02:00`."""
    moment, today = (dt.datetime.fromtimestamp(seconds).astimezone() for seconds in (at, now))
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M:%S}"
