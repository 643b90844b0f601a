"""What became of a plan in a container, or in all containers of a service."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What arrived, what did not (target -> reason), and whether readers saw only whole files."""

    files: int = 0
    deleted: int = 0
    bytes: int = 0
    atomic: bool = True
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, more: Outcome) -> None:
        """What happened afterwards, in the same container."""
        self.files += more.files
        self.deleted += more.deleted
        self.bytes += more.bytes
        self._also(more)

    def merge(self, other: Outcome) -> None:
        """What happened in a replica. They count once: a file has arrived when it is in all of them."""
        self.files = max(self.files, other.files)
        self.deleted = max(self.deleted, other.deleted)
        self.bytes = max(self.bytes, other.bytes)
        self._also(other)

    def _also(self, other: Outcome) -> None:
        self.atomic = self.atomic and other.atomic
        self.failed.update(other.failed)
