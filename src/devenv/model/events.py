"""What devenv tells the world: rooms `emit(event)`; only the front window makes text or JSON of events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `event` is the name in the JSON stream."""

    event: ClassVar[str] = "event"

    def fields(self) -> dict[str, Any]:
        """The event's own fields, ready for JSON."""
        return asdict(self)


Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Step(Event):
    """A step of `up` began, ended (with `seconds`) or is going on (`detail`)."""

    event: ClassVar[str] = "step"
    name: str
    state: str  # "begin", "detail" or "end"
    detail: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ImageState(Event):
    """What became of an image: `state` is present, pulling, pulled, making, made, built, pushing or pushed."""

    event: ClassVar[str] = "image"
    reference: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ServiceState(Event):
    """A service changed its state: created, waiting, started, healthy, completed, unhealthy, exited."""

    event: ClassVar[str] = "service"
    service: str
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """A service has not been up for `seconds`, and why; `holds_up` wait for it, `line` is the last of its log.

    `check` is the last line of what its health check printed, where that has failed so far.
    """

    event: ClassVar[str] = "waiting"
    service: str
    detail: str
    seconds: float
    holds_up: tuple[str, ...] = ()
    line: str = ""
    check: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A port of a service's containers, and where it is published: an address with its port."""

    service: str
    target: int
    address: str


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """Every service is up; `urls` are the addresses to open, `ports` are told where devenv chose them."""

    event: ClassVar[str] = "ready"
    project: str
    urls: tuple[str, ...]
    seconds: float
    ports: tuple[Published, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the way up, in seconds from its beginning; `after` is the service that it waited for.

    `critical`: the rest waited for it, so all would have been up sooner without it.
    """

    name: str
    start: float
    end: float
    critical: bool = False
    after: str = ""


@dataclass(frozen=True, slots=True)
class Timings(Event):
    """Where the `seconds` until ready went; pieces of a step (`build web dev`) begin with its name."""

    event: ClassVar[str] = "timings"
    seconds: float
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Synced(Event):
    """Files arrived in (or went from) every container of a service; `ms` counts from the save."""

    event: ClassVar[str] = "synced"
    service: str
    files: int
    deleted: int
    bytes: int
    ms: float
    paths: tuple[str, ...] = ()
    atomic: bool = True


@dataclass(frozen=True, slots=True)
class Compared(Event):
    """A container was read back: how many `files` it is to hold, and the container paths that are `different`."""

    event: ClassVar[str] = "compared"
    service: str
    container: str
    files: int
    different: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rebuilt(Event):
    """A service runs on a new image."""

    event: ClassVar[str] = "rebuilt"
    service: str
    cause: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Restarted(Event):
    """The containers of a service were restarted."""

    event: ClassVar[str] = "restarted"
    service: str
    cause: str
    ms: float


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """Edited files of the project are in force; names of services, and whether the watch rules are others now."""

    event: ClassVar[str] = "reloaded"
    files: tuple[str, ...]
    recreated: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    scaled: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rules: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """The command of a sync+exec rule ended."""

    event: ClassVar[str] = "executed"
    service: str
    command: str
    exit_code: int
    output: str
    ms: float


@dataclass(frozen=True, slots=True)
class Problem(Event):
    """Something went wrong with one thing, and the rest goes on."""

    event: ClassVar[str] = "problem"
    message: str
    hint: str | None = None
    service: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something that deserves one line, once."""

    event: ClassVar[str] = "notice"
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Log(Event):
    """One line that a container printed, escape codes still in it."""

    event: ClassVar[str] = "log"
    service: str
    line: str
    stream: str = "stdout"


@dataclass(frozen=True, slots=True)
class HookLine(Event):
    """One line that a command of `x-devenv.hooks` printed; `service` is None where it runs on the host."""

    event: ClassVar[str] = "hook"
    hook: str
    line: str
    service: str | None = None
    stream: str = "stdout"


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The way down has begun."""

    event: ClassVar[str] = "stopping"
    reason: str
    containers: int


@dataclass(frozen=True, slots=True)
class Removed(Event):
    """Something that this run created is gone; `kind` is container, network or volume."""

    event: ClassVar[str] = "removed"
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """A volume is in a snapshot, verified; `size` and `stored` (compressed) in bytes."""

    event: ClassVar[str] = "saved"
    volume: str
    snapshot: str
    size: int
    stored: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored(Event):
    """A new volume holds what a snapshot does, which is `age` seconds old."""

    event: ClassVar[str] = "restored"
    volume: str
    snapshot: str
    age: float
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Kept(Event):
    """Something was left in place on purpose; `command` removes it."""

    event: ClassVar[str] = "kept"
    kind: str
    name: str
    reason: str
    command: str


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The way down has ended; `survivors` names what is left, `saved` the volumes in a snapshot and its bytes."""

    event: ClassVar[str] = "stopped"
    survivors: tuple[str, ...] = ()
    seconds: float = 0.0
    removed: dict[str, int] = field(default_factory=dict)
    saved: dict[str, int] = field(default_factory=dict)
