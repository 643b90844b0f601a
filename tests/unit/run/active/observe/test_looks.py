"""Which objects a look asks the engine for."""

from __future__ import annotations

# ruff: noqa: D102 - the methods of a stand-in are those of the engine
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.model.containers import Container, ProjectState
from devenv.run.active.observe.looks import Looks
from devenv.run.active.observe.view import Signal

pytestmark = pytest.mark.anyio


class Asked:
    """An engine with two containers that writes down what it is asked for."""

    def __init__(self) -> None:
        self.shown = {key: Container(key, key, key, "created", ours=True) for key in ("a", "b")}
        self.asked: list[str] = []
        self.is_lost = False
        self.containers = SimpleNamespace(inspect=self.inspect)

    async def project_state(self, _: str) -> ProjectState:
        self.asked.append("project")
        if self.is_lost:
            raise EngineError("no answer")
        return ProjectState(containers=tuple(self.shown.values()))

    async def inspect(self, key: str) -> Container | None:
        self.asked.append(key)
        if self.is_lost:
            raise EngineError("no answer")
        return self.shown.get(key)

    def change(self, key: str, state: str) -> None:
        self.shown[key] = replace(self.shown[key], state=state)

    def taken(self) -> list[str]:
        asked, self.asked = self.asked, []
        return asked


@pytest.fixture
def engine() -> Asked:
    """The engine that is looked at."""
    return Asked()


@pytest.fixture
def signal() -> Signal:
    """The signal that wakes the observer."""
    return Signal()


@pytest.fixture
async def looks(engine: Asked, signal: Signal) -> Looks:
    """Looks of which the first is over."""
    looks = Looks(cast("Engine", engine), signal)
    await looks.look("p")
    assert engine.taken() == ["project"]
    return looks


def event(action: str, key: str = "a", kind: str = "container") -> dict[str, Any]:
    """An event of the engine."""
    return {"Type": kind, "Action": action, "Actor": {"ID": key}}


async def states(looks: Looks) -> list[str]:
    """The states of the containers in the next look."""
    return [container.state for container in (await looks.look("p")).containers]


@pytest.mark.parametrize("action", ["start", "die", "health_status: healthy"])
async def test_events_of_containers_are_followed_by_inspections_of_these(
    engine: Asked, looks: Looks, action: str
) -> None:
    """The other containers are as they were seen last."""
    engine.change("a", "running")
    looks.note(event(action))
    looks.note(event(action))
    assert await states(looks) == ["running", "created"]
    assert engine.taken() == ["a"]
    engine.change("b", "exited")
    looks.note(event(action, "b"))
    assert await states(looks) == ["running", "exited"]
    assert engine.taken() == ["b"]


async def test_known_containers_are_looked_at_again(engine: Asked, looks: Looks) -> None:
    """To see that they still run takes one request for each."""
    looks.again([engine.shown["b"]])
    looks.note(event("start"))
    await looks.look("p")
    assert sorted(engine.taken()) == ["a", "b"]


@pytest.mark.parametrize(
    "other", [event("create", "c"), event("destroy"), event("start", "c"), event("connect", "n", "network"), {}]
)
async def test_other_events_are_followed_by_a_look_at_all(engine: Asked, looks: Looks, other: dict[str, Any]) -> None:
    """So is the event that begins a stream, before which events may have been missed."""
    looks.note(event("start"))
    looks.note(other)
    engine.change("b", "running")
    assert await states(looks) == ["created", "running"]
    assert engine.taken() == ["project"]


async def test_whoever_else_wakes_the_observer_gets_a_look_at_all(
    engine: Asked, signal: Signal, looks: Looks
) -> None:
    """Also if an event comes with it; and a look after a pause without events."""
    looks.note(event("start"))
    signal.send()
    await looks.look("p")
    looks.forget()
    await looks.look("p")
    assert engine.taken() == ["project", "project"]


async def test_after_an_error_all_is_looked_at(engine: Asked, looks: Looks) -> None:
    """An event must not be lost with the answer to it."""
    looks.note(event("start"))
    engine.is_lost = True
    with pytest.raises(EngineError):
        await looks.look("p")
    engine.is_lost = False
    engine.change("a", "running")
    assert await states(looks) == ["running", "created"]
    assert engine.taken() == ["a", "project"]


async def test_a_container_that_is_gone_is_followed_by_a_look_at_all(engine: Asked, looks: Looks) -> None:
    """The event of its removal may come later."""
    looks.note(event("die"))
    del engine.shown["a"]
    assert await states(looks) == ["created"]
    assert engine.taken() == ["a", "project"]
