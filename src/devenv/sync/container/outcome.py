"""The outcome of a plan in one container, or in all containers of a service."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Counts of what was done, what failed (target -> reason), and whether readers could only see whole files."""

    files: int = 0
    deleted: int = 0
    bytes: int = 0
    atomic: bool = True
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, more: Outcome) -> None:
        """Add the outcome of a further attempt in the same container."""
        self.files += more.files
        self.deleted += more.deleted
        self.bytes += more.bytes
        self._add_failures(more)

    def merge(self, other: Outcome) -> None:
        """Add the outcome of a replica: a file that is in all replicas counts once."""
        self.files = max(self.files, other.files)
        self.deleted = max(self.deleted, other.deleted)
        self.bytes = max(self.bytes, other.bytes)
        self._add_failures(other)

    def _add_failures(self, other: Outcome) -> None:
        self.atomic = self.atomic and other.atomic
        self.failed.update(other.failed)
