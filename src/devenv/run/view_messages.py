"""What a run sends to a view of it in another process, and gets from it: a line of JSON for each message. Pure."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from devenv import events
from devenv.decoded import decoded
from devenv.lazy_dataclass import dataclass
from devenv.model.graph import Fact, ServiceGraph, ServiceStats, ViewCommand

VERB = "attach"


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event, and its time in seconds since 1970."""

    at: float
    event: events.Event


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """A command for the service is done; `why` it was not carried out, if it was not."""

    service: str
    why: str


Message = TimedEvent | Fact | CommandEnd

_EVENTS: dict[str, type[events.Event]] = {  # no `__subclasses__`: a class with slots is there twice
    kind.event: kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)
}
_OTHERS: dict[str, type] = {kind.__name__: kind for kind in (ServiceGraph, ServiceStats, CommandEnd)}


def encoded(message: Message) -> bytes:
    """The line of a message to a view."""
    if isinstance(message, TimedEvent):
        value = {"event": message.event.event, "at": message.at, "value": message.event.fields()}
    else:
        value = {"other": type(message).__name__, "value": asdict(message)}
    return json.dumps(value, default=sorted, separators=(",", ":")).encode() + b"\n"  # sets


def message_of(line: bytes) -> Message | None:
    """The message of a line; None if this version does not know it. Raises ValueError, TypeError, KeyError."""
    value: dict[str, Any] = json.loads(line)
    if "event" in value:
        kind = _EVENTS.get(value["event"])
        return TimedEvent(value["at"], decoded(kind, value["value"])) if kind else None
    other = _OTHERS.get(value["other"])
    found: Message | None = decoded(other, value["value"]) if other else None
    return found


def event_of(document: Mapping[str, Any]) -> TimedEvent | None:
    """The event that `Event.document` wrote; None if this version does not know it."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        at = dt.datetime.fromisoformat(document["ts"]).timestamp()
        return TimedEvent(at, decoded(_EVENTS[document["event"]], document))
    return None


def command_line(command: ViewCommand) -> bytes:
    """The line of a command of a view."""
    return json.dumps(asdict(command)).encode() + b"\n"


def command_of(line: bytes) -> ViewCommand:
    """The command of a line. Raises ValueError, TypeError, KeyError."""
    return decoded(ViewCommand, json.loads(line))
