"""The error answers of the engine in memory."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - an answer of the engine, not a failure of the test
    """An error answer: its HTTP status, and the reason in the engine's own words."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
