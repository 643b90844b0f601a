"""Ends a run only while the engine of another machine answers; if it does not, the guardian ends the run later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.events import Emit, Notice
from devenv.tasks import task_group, unless

WAIT, WAIT_LOST = 6.0, 4.0  # seconds for the first answer; for the only attempt
PAUSE = 0.5  # seconds between two attempts
SAY_AFTER = 2.0  # seconds of waiting that nobody has to be told about
ASK_EVERY, SILENT = 5.0, 10.0  # seconds; an engine that leaves two questions unanswered in turn is lost
ACTION = "ending the run"
T = TypeVar("T")


async def while_reachable(
    engine: Engine, work: Callable[[], Awaitable[T]], emit: Emit, hurry: anyio.Event, *, is_lost: bool
) -> T:
    """The result of the work, which is done as long as the engine answers. An engine on this machine is not asked.

    `is_lost`: the engine has been silent lately, so that it is asked once. `hurry` does the same. Raises EngineError
    if it does not answer, and what the work raises.
    """
    if not (machine := engine.endpoint.machine):
        return await work()
    await engine.drop_connections()  # after a network failure, open connections are silent, but new ones work
    async with task_group() as tasks:
        tasks.start_soon(_say, emit, machine)
        if is_lost or not await unless(hurry, lambda: _first_answer(engine)):
            await _ask(engine, WAIT_LOST)
        tasks.cancel_scope.cancel()
    async with task_group() as tasks:
        tasks.start_soon(_watch, engine)
        result = await work()
        tasks.cancel_scope.cancel()
    return result


async def _say(emit: Emit, machine: str) -> None:
    await anyio.sleep(SAY_AFTER)
    emit(Notice(f"waiting for {machine} to answer; Ctrl-C again leaves the rest to the guardian"))


async def _first_answer(engine: Engine) -> None:
    """Ask until the engine answers. Raises the EngineError of the last attempt after `WAIT` seconds."""
    deadline = anyio.current_time() + WAIT
    while True:
        try:
            await _ask(engine, max(deadline - anyio.current_time(), PAUSE))
        except EngineError:
            if anyio.current_time() + PAUSE >= deadline:
                raise
            await anyio.sleep(PAUSE)
        else:
            return


async def _watch(engine: Engine) -> None:
    """Raise EngineError once the engine does not answer any more."""
    while True:
        await anyio.sleep(ASK_EVERY)
        try:
            await _ask(engine, SILENT)
        except EngineError:
            await _ask(engine, SILENT)


async def _ask(engine: Engine, seconds: float) -> None:
    await engine.call("GET", "_ping", ACTION, total=seconds)
