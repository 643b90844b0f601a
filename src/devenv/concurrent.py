"""Many things at once, one plain error out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

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


def first(error: BaseException) -> BaseException:
    """The first error inside nested groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
