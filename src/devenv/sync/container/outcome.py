"""What attempts to bring deletes and syncs into a container have done, and what failed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field

from devenv.lazy_dataclass import dataclass
from devenv.paths import ancestors
from devenv.sync.container.shell_commands import NO_FOLDER


@dataclass
class SyncOutcome:
    """Counts of completed operations, failures (target -> reason), and whether readers only ever saw whole files."""

    files: int = 0
    deleted: int = 0
    bytes: int = 0
    atomic: bool = True
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, other: SyncOutcome, count: Callable[[int, int], int] = operator.add) -> None:
        """Add another attempt in the same container; with `max`, a replica: a file in all replicas counts once."""
        self.files = count(self.files, other.files)
        self.deleted = count(self.deleted, other.deleted)
        self.bytes = count(self.bytes, other.bytes)
        self.atomic = self.atomic and other.atomic
        self.failed.update(other.failed)

    def take_back(self, targets: Iterable[str]) -> None:
        """Count these files and their failures no more: they are put again."""
        self.files -= sum(1 for target in targets if self.failed.pop(target, None) is None)

    def explain(self, unmade: Mapping[str, str]) -> None:
        """If the reason is a missing folder, replace it by the reason why that folder could not be created."""
        for target, reason in self.failed.items():
            if reason == NO_FOLDER:
                above = [unmade[folder] for folder in ancestors(target) if folder in unmade]
                self.failed[target] = above[-1] if above else reason
