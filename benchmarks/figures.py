"""Figures: what was measured for each contender, and what was wished."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

FLOOR = "floor"


@dataclass(frozen=True)
class Wish:
    """What a figure shall be: at most so much; so many times faster than a contender; so many times the floor.

    Or at most so many `times` what the fastest of the others takes, `plus` so much.
    """

    most: float | None = None
    faster: Mapping[str, float] = field(default_factory=dict)
    of_floor: float | None = None
    times: float | None = None
    plus: float = 0.0


@dataclass(frozen=True)
class Figure:
    """One line of the table; `values` by contender's key (and the floor's), `beyond` are the keys that gave up there.

    `ratios` say how many times devenv's value each of them is, unless they do not do the same (`is_alike`).
    """

    row: int
    what: str
    unit: str
    values: dict[str, float]
    beyond: tuple[str, ...] = ()
    wish: Wish = field(default_factory=Wish)
    ratios: dict[str, float] = field(default_factory=dict)
    is_alike: bool = True

    def ratio(self, key: str) -> float | None:
        """How many times devenv's value another one is; None if one of them is missing, or they are not alike."""
        if not self.is_alike:
            return None
        if key in self.ratios:
            return self.ratios[key]
        ours = self.values.get("devenv")
        return self.values[key] / ours if ours and self.values.get(key) else None

    def reached(self) -> bool | None:
        """Whether devenv's value is as wished; None where nothing was wished, or not measured."""
        ours = self.values.get("devenv")
        if ours is None or self.wish == Wish():
            return None
        if "devenv" in self.beyond or (self.wish.most is not None and ours > self.wish.most):
            return False
        floor = self.values.get(FLOOR)
        if self.wish.of_floor is not None and floor is not None and ours > self.wish.of_floor * floor:
            return False
        others = [value for key, value in self.values.items() if key not in ("devenv", FLOOR)]
        if self.wish.times is not None and others and ours > self.wish.times * min(others) + self.wish.plus:
            return False
        ratios = {key: self.ratio(key) for key in self.wish.faster}
        return not any(ratio is not None and ratio < self.wish.faster[key] for key, ratio in ratios.items())

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Figure:
        """The figure that `asdict` made these fields of."""
        return cls(**{**fields, "beyond": tuple(fields["beyond"]), "wish": Wish(**fields["wish"])})

    def fields(self) -> dict[str, Any]:
        """The figure for JSON, rounded to what a measurement can say."""
        found = asdict(self)
        for name in ("values", "ratios"):
            found[name] = {key: significant(value) for key, value in found[name].items()}
        return found


def significant(value: float) -> float:
    """The value with three digits that count."""
    return float(f"{value:.3g}")


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which that part of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def paired(others: Sequence[float], ours: Sequence[float]) -> float:
    """The median of the ratios of each round: neighbours in time share the machine's mood."""
    return statistics.median(a / b for a, b in zip(others, ours, strict=True))
