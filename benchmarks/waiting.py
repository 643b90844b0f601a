"""Waiting until something is seen, with a cap: a watcher that starves must not hold up the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def until(seen: Callable[[], bool], cap: float, *, rest: float = 0.0002, began: float | None = None) -> float | None:
    """Seconds from `began` (a perf_counter; now) until `seen`, or None after `cap` of them."""
    began = time.perf_counter() if began is None else began
    while not seen():
        if time.perf_counter() - began > cap:
            return None
        time.sleep(rest)
    return time.perf_counter() - began


def until_all(
    items: Sequence[T], seen: Callable[[T], bool], cap: float, *, began: float, stall: float = 10.0
) -> float | None:
    """Seconds from `began` until each item was seen once, or None after `cap`, or when none came for `stall`.

    In order, so that each look costs one question; whatever comes in another order is there when it is its turn.
    """
    moved = time.perf_counter()
    at = 0
    while at < len(items):
        if seen(items[at]):
            at += 1
            moved = time.perf_counter()
            continue
        now = time.perf_counter()
        if now - began > cap or now - max(moved, began) > stall:
            return None
        time.sleep(0.001)
    return time.perf_counter() - began
