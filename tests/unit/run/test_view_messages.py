"""Messages between a run and its views: each one comes back as it was."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_type_hints

import pytest

from devenv import events
from devenv.decoded import decoded
from devenv.events import Event, Fault, Notice, Published, Ready, ServiceState, Span, Synced, Timings
from devenv.model.graph import Graph, Node, ServiceGraph, ServiceStats, ViewCommand
from devenv.model.project import Condition, Dependency, Resource
from devenv.model.status import Phase
from devenv.run.view_messages import CommandEnd, Message, TimedEvent, command_line, command_of, encoded, message_of

NODE = Node("web", needs=(Dependency("db", Condition.HEALTHY),), ports=("8080:80",), seconds=1.5)
GRAPH = Graph("shop", (NODE, Node("db")), networks=(Resource("default", "shop_default"),))
MESSAGES: list[Message] = [
    TimedEvent(
        1.5, Ready("shop", ("http://localhost/",), 3.0, (Published("web", 80, "[::]:80"),), (Fault("a", "b"),))
    ),
    TimedEvent(2.0, Timings(2.0, (Span("load", 0.0, 1.0), Span("start web", 1.0, 2.0, critical=True)))),
    TimedEvent(3.0, ServiceState("web", Phase.EXITED, "exit code 1")),
    TimedEvent(4.0, Synced("w\u00e9b\n", 1, 0, 10, 2.0, ("a b", "c"))),
    ServiceGraph(GRAPH, frozenset({"web", "db"})),
    ServiceStats("web", "id", ("http://localhost/",), cpu=3.0, memory=None, pending=2),
    CommandEnd("web", "not yet"),
]

EVENTS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    """In one line, with the types of all parts."""
    line = encoded(message)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert message_of(line) == message


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
)
def test_every_event_can_be_sent(kind: type[Event]) -> None:
    """Whatever fields are added to it."""
    event = kind(**{field.name: _value(get_type_hints(kind)[field.name]) for field in fields(kind)})
    assert message_of(encoded(TimedEvent(1.0, event))) == TimedEvent(1.0, event)


def _value(hint: Any) -> Any:
    """A value of this type which is not its default."""
    plain = {"int": 3, "float": 1.5, "str": "text", "bool": True}
    text = hint.__name__ if isinstance(hint, type) else str(hint)
    if text in plain:
        return plain[text]
    if text.endswith(" | None"):
        return plain[text.removesuffix(" | None")]
    if text.startswith("dict"):
        return {"volume": 3}
    (part, _) = hint.__args__
    if is_dataclass(part):
        return (part(**{f.name: _value(get_type_hints(part)[f.name]) for f in fields(part)}),)  # type: ignore[operator]
    return (_value(part),)


def test_messages_of_another_version() -> None:
    """An unknown event or fact is none, an unknown field is ignored, a missing one is an error."""
    assert message_of(b'{"event": "news", "at": 1, "value": {}}') is None
    assert message_of(b'{"other": "News", "value": {}}') is None
    line = json.dumps({"event": "notice", "at": 1, "value": {"message": "a", "more": 1}}).encode()
    assert message_of(line) == TimedEvent(1, Notice("a"))
    with pytest.raises(TypeError):
        message_of(b'{"event": "synced", "at": 1, "value": {}}')


def test_commands() -> None:
    """A command comes back; anything else is an error."""
    assert command_of(command_line(ViewCommand("restart", "web"))) == ViewCommand("restart", "web")
    for line in (b"", b"[]", b"3", b"{}"):
        with pytest.raises((ValueError, TypeError, KeyError)):
            command_of(line)


def test_enums_are_read_by_value() -> None:
    """An unknown value is an error."""
    assert isinstance(Phase("exited"), Enum)
    assert decoded(Dependency, {"service": "a", "condition": "service_healthy"}) == Dependency("a", Condition.HEALTHY)
    with pytest.raises(ValueError, match="nonsense"):
        decoded(Dependency, {"service": "a", "condition": "nonsense"})
