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
