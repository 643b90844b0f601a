"""Findings of `devenv doctor`."""

from __future__ import annotations

from dataclasses import dataclass

PAGE = "docs/troubleshooting.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem or a fact worth knowing, and the command that fixes it.

    `code` stays the same from version to version; `severity` is error, warning or info; `area` is what was checked.
    """

    code: str
    severity: str
    area: str
    message: str
    hint: str | None = None

    @property
    def anchor(self) -> str:
        """The link to its explanation in the documentation."""
        return f"{PAGE}#{self.code}"


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder that needs free space, what it is for, and what is free: bytes, and a share of all inodes."""

    what: str
    path: str
    free: int
    inodes: float
    meaning: str
    hint: str
