"""What the doctor says: one finding each."""

from __future__ import annotations

from dataclasses import dataclass

PAGE = "docs/troubleshooting.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, or worth knowing, and the command that mends it.

    `code` stays the same from version to version; `severity` is error, warning or info; `area` is what was looked at.
    """

    code: str
    severity: str
    area: str
    message: str
    hint: str | None = None

    @property
    def anchor(self) -> str:
        """Where the documentation explains it."""
        return f"{PAGE}#{self.code}"


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder that has to have room, what it is for, and what of it is left: bytes, and a share of all inodes."""

    what: str
    path: str
    free: int
    inodes: float
    meaning: str
    hint: str
