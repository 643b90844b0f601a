"""Waiting until something is seen, with a cap: a watcher that starves must not hold up the others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
LOOKS = 5


def until(seen: Callable[[], bool], cap: float, *, rest: float = 0.0002, began: float | None = None) -> float | None:
    """Seconds from `began` (a perf_counter; now) until `seen`, or None after `cap` of them."""
    began = time.perf_counter() if began is None else began
    while not seen():
        if time.perf_counter() - began > cap:
            return None
        time.sleep(rest)
    return time.perf_counter() - began


class Waited(NamedTuple):
    """How long it was waited, in seconds, and whether all was seen by then."""

    seconds: float
    complete: bool


def until_all(
    items: Iterable[T], seen: Callable[[T], bool], cap: float, *, began: float, stall: float = 10.0
) -> Waited:
    """From `began` until each item was seen once; given up after `cap` seconds, or when none came for `stall`.

    A look asks for few of those that were not there before: asking for all would take the time that they need.
    """
    moved = time.perf_counter()
    missing = deque(items)
    while missing:
        misses = 0
        while missing and misses < LOOKS:
            if seen(missing[0]):
                missing.popleft()
                moved = time.perf_counter()
            else:
                missing.rotate(-1)
                misses += 1
        now = time.perf_counter()
        if missing and (now - began > cap or now - moved > stall):
            return Waited(now - began, complete=False)
        time.sleep(0.001 if missing else 0)
    return Waited(time.perf_counter() - began, complete=True)
