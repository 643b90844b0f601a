"""Many things at once, one plain error out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

TICK = 1.0
T = TypeVar("T")
R = TypeVar("R")


async def each(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """The results in the order of the items, all worked on at once.

    The first error ends the others and is raised as it is, not in a group: callers can catch it by type.
    """
    things = list(items)
    results: dict[int, R] = {}

    async def one(index: int, item: T) -> None:
        results[index] = await work(item)

    try:
        async with anyio.create_task_group() as tasks:
            for index, item in enumerate(things):
                tasks.start_soon(one, index, item)
    except BaseExceptionGroup as group:
        raise first(group) from None
    return [results[index] for index in range(len(things))]


async def patiently(seconds: float, work: Callable[[], Awaitable[object]]) -> bool:
    """Whether the work came to its end within so many seconds in which we were awake; if not, it is cancelled.

    A process that was stopped, or a machine that slept, must not find all its patience gone when it goes on.
    """
    is_done = False
    try:
        async with anyio.create_task_group() as tasks:

            async def lose_patience() -> None:
                left = seconds
                while left > 0:
                    began, tick = anyio.current_time(), min(TICK, left)
                    await anyio.sleep(tick)
                    left -= tick if anyio.current_time() < began + tick + TICK else 0
                tasks.cancel_scope.cancel()

            tasks.start_soon(lose_patience)
            await work()
            is_done = True
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise first(group) from None
    return is_done


def first(error: BaseException) -> BaseException:
    """The first error inside nested groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
