"""Concurrent tasks that raise one plain error, and time limits that a sleeping machine does not use up."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

TICK = 1.0
T = TypeVar("T")
R = TypeVar("R")


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group whose first error is raised as it is, not in a group: callers can catch it by type."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error = first(group)
        raise error from error.__cause__


async def each(work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """The results in the order of the items, which are all worked on at the same time.

    The first error cancels the others and is raised as by `task_group`.
    """
    results: dict[int, R] = {}

    async def work_on(index: int, item: T) -> None:
        results[index] = await work(item)

    async with task_group() as tasks:
        for index, item in enumerate(items):
            tasks.start_soon(work_on, index, item)
    return [results[index] for index in sorted(results)]


async def patiently(seconds: float, work: Callable[[], Awaitable[object]]) -> bool:
    """Whether the work ended within so many seconds in which this process ran; if not, it is cancelled.

    A process that was stopped, or a machine that slept, has the rest of its time when it continues.
    """
    is_done = False
    async with task_group() as tasks:

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
    return is_done


async def unless(event: anyio.Event, work: Callable[[], Awaitable[object]]) -> bool:
    """Whether the work ended before the event was set, which cancels it; then it does not even begin."""
    is_done = False
    async with task_group() as tasks:

        async def cancel() -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(cancel)
        if not event.is_set():
            await work()
            is_done = True
        tasks.cancel_scope.cancel()
    return is_done


@contextlib.asynccontextmanager
async def repeated(work: Callable[[], object], seconds: float) -> AsyncIterator[None]:
    """Call `work` after each interval of so many seconds, until the block ends."""

    async def repeat() -> None:
        while True:
            await anyio.sleep(seconds)
            work()

    async with task_group() as tasks:
        tasks.start_soon(repeat)
        yield
        tasks.cancel_scope.cancel()


def throttled(report: Callable[[str], object], seconds: float) -> Callable[[str], None]:
    """A function that passes a text on to `report`, at most once in so many seconds; other texts are dropped."""
    due = time.monotonic() + seconds

    def call(text: str) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + seconds
            report(text)

    return call


def first(error: BaseException) -> BaseException:
    """The first error inside nested groups, or the error itself."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
