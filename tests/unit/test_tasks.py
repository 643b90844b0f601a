"""Concurrent tasks that raise one plain error."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from devenv import tasks
from devenv.errors import EngineError
from devenv.tasks import each, first, patiently, task_group, unless

pytestmark = pytest.mark.anyio


async def test_results_come_in_the_order_of_the_items() -> None:
    """The list has the order of the items, whichever ends first; all run concurrently."""
    together = 0
    most = 0

    async def work(item: int) -> int:
        nonlocal together, most
        together += 1
        most = max(most, together)
        await anyio.sleep(0.01 * item)
        together -= 1
        return item * item

    assert await each(work, iter([3, 1, 2])) == [9, 1, 4]
    assert most == 3
    assert await each(work, []) == []


async def test_the_first_error_ends_the_others_and_comes_plain() -> None:
    """Callers can catch it by its type; there is no group, and no task is left."""
    ended: list[str] = []

    async def work(item: str) -> None:
        if item == "bad":
            await anyio.sleep(0.01)
            raise EngineError("no")
        try:
            await anyio.sleep(60)
        finally:
            ended.append(item)

    with anyio.fail_after(20), pytest.raises(EngineError, match="no"):
        await each(work, ["slow", "bad", "slower"])
    assert sorted(ended) == ["slow", "slower"]


async def test_cancelled_from_outside_it_is_no_error() -> None:
    """A deadline around it stays a deadline."""
    with anyio.move_on_after(0.02) as scope:
        await each(anyio.sleep, [60, 60])
    assert scope.cancelled_caught


def test_first_looks_into_nested_groups() -> None:
    """The innermost first error, or the error itself."""
    error = ValueError("a")
    assert first(error) is error
    assert first(ExceptionGroup("g", [ExceptionGroup("h", [error, KeyError()]), TypeError()])) is error


async def test_patience_limits_the_work() -> None:
    """Work that ends in time, work that does not, work that fails: its error comes plain."""

    async def fail() -> None:
        raise EngineError("no")

    with anyio.fail_after(20):
        assert await patiently(2, anyio.lowlevel.checkpoint)
        assert not await patiently(0.05, anyio.sleep_forever)
        with pytest.raises(EngineError, match="no"):
            await patiently(2, fail)


async def test_a_sleep_of_the_machine_takes_no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the sleep does not count: the wait continues for a while after it."""
    monkeypatch.setattr(tasks, "TICK", 0.4)
    loop = asyncio.get_running_loop()
    clock = loop.time

    async def work() -> None:
        await anyio.sleep(0.02)
        monkeypatch.setattr(loop, "time", lambda: clock() + 100)
        await anyio.sleep(0.02)

    assert await patiently(0.4, work)


async def test_cancelled_from_outside_patience_ends() -> None:
    """A signal does not wait for it."""
    with anyio.move_on_after(0.02) as scope:
        await patiently(60, anyio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_task_group_raises_the_first_error_itself() -> None:
    """The error is not in a group; the value of the block is returned."""

    async def fails() -> None:
        raise EngineError("broken")

    async def block() -> int:
        async with task_group() as tasks:
            tasks.start_soon(anyio.sleep, 0)
            return 3

    async def raises() -> None:
        async with task_group() as tasks:
            tasks.start_soon(fails)
            await anyio.sleep_forever()

    assert await block() == 3
    with pytest.raises(EngineError, match="broken"):
        await raises()


async def test_a_task_group_keeps_the_cause_of_an_error() -> None:
    """The doctor reads it: an engine that is not there has another cause than one that answers wrongly."""
    cause = OSError("refused")

    async def fail() -> None:
        raise ValueError("unreachable") from cause

    with pytest.raises(ValueError, match="unreachable") as caught:
        await each(lambda work: work(), [fail])
    assert caught.value.__cause__ is cause


async def test_work_ends_unless_an_event_is_set() -> None:
    """The event cancels the work, or prevents it; exceptions of the work are raised unchanged."""
    event, calls = anyio.Event(), list[str]()

    async def work() -> None:
        calls.append("begun")
        if len(calls) > 1:
            event.set()
            await anyio.sleep_forever()

    async def fail() -> None:
        raise EngineError("broken")

    assert [await unless(event, work), await unless(event, work), await unless(event, work)] == [True, False, False]
    assert calls == ["begun"] * 2
    with pytest.raises(EngineError, match="broken"):
        await unless(anyio.Event(), fail)


def test_a_throttled_report_drops_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the first texts are dropped: a short step is not reported."""
    reported: list[str] = []
    now = 100.0
    monkeypatch.setattr("devenv.tasks.time.monotonic", lambda: now)
    report = tasks.throttled(reported.append, 0.5)
    for now in (100.0, 100.4, 100.5, 100.9, 101.2):
        report(f"{now}")
    assert reported == ["100.5", "101.2"]
