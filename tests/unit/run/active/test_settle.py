"""Until every save is in effect, on an engine in memory; the last effect on each service."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest

from devenv.errors import UsageError
from devenv.events import Event, Executed, Problem, Rebuilt, Restarted, Synced
from devenv.model.settled import Effect
from devenv.run.active.feed import Feed
from devenv.run.active.requests import Requests
from devenv.run.active.settle import Effects
from support.active import Active, active
from support.memory.machine import Machine

pytestmark = pytest.mark.anyio

CHECKED = {"healthcheck": {"test": ["CMD", "true"]}}
SYNCED = Synced("web", 1, 0, 10, 2.0)


async def test_effects_are_kept_by_service() -> None:
    """The last event counts; a failure stays until the next command, restart or rebuild; all events go on."""
    events: list[Event] = []
    effects = Effects(events.append)
    known: list[tuple[str, str]] = []
    played = (
        Problem("disk full", service="web", path="/src/a"), SYNCED, Problem("cannot build", service="web"), SYNCED,
        Rebuilt("web", "a", 1.0), Executed("web", "make it", 2, "", 1.0), Executed("web", "make it", 0, "", 1.0),
        SYNCED, Problem("no", None), Restarted("web", "a", 1.0),
    )  # fmt: skip
    for event in played:
        effects.emit(event)
        known.append((effects.of("web").kind, effects.of("web").failure))
    assert known == [
        ("", ""), ("synced", ""), ("synced", "cannot build"), ("synced", "cannot build"), ("restarted", ""),
        ("restarted", "`make it` ended with exit code 2"), ("restarted", ""), ("synced", ""), ("synced", ""),
        ("restarted", ""),
    ]  # fmt: skip
    assert (events, effects.of("db")) == ([*played], Effect())


def running(machine: Machine) -> AbstractAsyncContextManager[Active]:
    """A project of two services, of which one has a health check."""
    return active(machine, machine.site("shop", db=CHECKED, web={}))


async def asked(run: Active, *options: tuple[str, str]) -> tuple[int, Any, tuple[str, ...]]:
    """The answer of a run, as its client gets it."""
    effects = Effects(lambda _: None)
    requests = Requests(run.project.volumes.volume_transfer.run, run.project, effects, Feed(effects.emit))
    answer = await requests.answer("settle", [("timeout", "5"), *options])
    return answer.exit_code, json.loads(json.dumps(answer.document))["services"], answer.lines


async def test_each_service_is_proven_in_its_own_way(machine: Machine) -> None:
    """By its check; a process without one cannot be proven. An unknown name is an error."""
    async with running(machine) as run:
        await run.up()
        code, services, lines = await asked(run)
        assert code == 0, services
        assert lines == ("db   healthy", "web  restarted")
        assert (await asked(run, ("service", "db"), ("synced", "yes")))[2] == ("db  synced",)
        with pytest.raises(UsageError, match="there is no service `dbb`") as caught:
            await asked(run, ("service", "dbb"))
        assert caught.value.hint == "Did you mean `db`?"


async def test_a_service_that_goes_on_failing_is_a_failure_in_time(machine: Machine) -> None:
    """The answer says what it waited for."""
    async with running(machine) as run:
        await run.up()
        machine.host.execution = lambda *_: (3, [])
        with anyio.fail_after(10):
            code, services, _ = await asked(run, ("timeout", "0.5"), ("service", "db"))
        assert (code, services[0]["failure"]) == (1, "not settled after 0.5 s: exit code 3")
