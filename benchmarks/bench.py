"""What the rows share: who is compared, how much of it is done, and where the figures go."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.figures import Figure


@dataclass(frozen=True)
class Scale:
    """How much is done: rounds of each kind, seconds of each wait, and sizes."""

    saves: int = 20
    lone_saves: int = 200  # devenv's alone, for a 99th percentile
    load_seconds: float = 12.0
    bursts: tuple[tuple[int, int], ...] = ((100, 3), (500, 3), (2_000, 3), (10_000, 3))  # files, rounds
    disk_bursts: tuple[tuple[int, int], ...] = ((2_000, 7), (20_000, 3))
    deletes: int = 3
    switches: int = 2
    edits: int = 15
    idle_seconds: float = 20.0
    starts: int = 2
    rounds: int = 10
    databases: int = 5
    pulls: int = 5
    typed: int = 30
    log_lines: int = 300_000


QUICK = Scale(
    saves=5,
    lone_saves=40,
    load_seconds=4.0,
    bursts=((100, 2), (500, 2), (2_000, 1), (10_000, 1)),
    disk_bursts=((2_000, 1),),
    deletes=1,
    switches=1,
    edits=4,
    idle_seconds=5.0,
    starts=1,
    rounds=1,
    databases=1,
    pulls=1,
    typed=3,
    log_lines=30_000,
)


@dataclass
class Bench:
    """One run; `series` holds what the plots are drawn from."""

    contenders: list[Contender]
    scale: Scale
    rows: frozenset[int]
    tell: Callable[[Figure], None]
    figures: list[Figure] = field(default_factory=list)
    series: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: random.Random = field(default_factory=lambda: random.Random(1))

    def add(self, figure: Figure) -> None:
        """Keep the figure, and show it."""
        self.figures.append(figure)
        self.tell(figure)

    def wants(self, *rows: int) -> bool:
        """Whether any of these rows is asked for."""
        return bool(self.rows & set(rows))
