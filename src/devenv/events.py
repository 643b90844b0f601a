"""Events: what a run and each command report; their fields are those of the JSON that `ui` prints.

`scripts/write-pages` makes the JSON schema and its page from the fields and their annotations.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, field
from typing import Annotated, Any, ClassVar

from devenv.lazy_dataclass import dataclass
from devenv.model.status import Phase

JSON_VERSION = 1  # `v` in each event and document


def iso(seconds: float) -> str:
    """A time in seconds since 1970 as RFC 3339."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `event` is the name in the JSON stream: that of the class in small letters by default."""

    event: ClassVar[str] = "event"

    def __init_subclass__(cls) -> None:
        if "event" not in vars(cls):
            cls.event = cls.__name__.lower()

    def fields(self) -> dict[str, Any]:
        """The event's own fields, ready for JSON."""
        return asdict(self)

    def document(self, at: float) -> dict[str, Any]:
        """The event as a line of JSON has it, with its time (seconds since 1970)."""
        return {"v": JSON_VERSION, "ts": iso(at), "event": self.event, **self.fields()}


STEPS = (
    "load", "check", "before_up", "images", "build", "restore", "create", "sync", "start", "healthy", "after_healthy",
    "before_down", "rebuild", "save", "layers", "doctor",
)  # fmt: skip

KINDS = ("container", "network", "volume")

Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Step(Event):
    """A step of `up` has begun, has ended (with `seconds`), or reports progress (`detail`)."""

    name: Annotated[str, STEPS]
    state: Annotated[str, ("begin", "detail", "end")]
    detail: Annotated[str, "a line of progress, or a reason"] = ""
    seconds: Annotated[float | None, "its duration, at its end, or that of a part that has ended"] = None


@dataclass(frozen=True, slots=True)
class ImageState(Event):
    """The state of an image has changed."""

    event: ClassVar[str] = "image"
    reference: Annotated[str, "as the project names it"]
    state: Annotated[str, ("present", "pulling", "pulled", "failed", "making", "made", "built", "pushing", "pushed")]
    detail: Annotated[
        str, "progress, source, why the pull failed, or the image that it replaces; after a push its digest"
    ] = ""


@dataclass(frozen=True, slots=True)
class ServiceState(Event):
    """The state of a service has changed, or the error in its log, which the next good sync clears."""

    event: ClassVar[str] = "service"
    service: str
    state: Annotated[str, tuple(phase.value for phase in Phase)]
    detail: Annotated[str, "what it waits for, or what failed"] = ""
    check: Annotated[str, "the last line of its last health check if that failed"] = ""
    error: Annotated[str, "of its log, after a sync or a start, or before it failed: `main.py:63: SyntaxError`"] = ""


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """A service is not up yet after 5, 15 and 60 s, then each minute."""

    service: str
    detail: Annotated[str, "why"]
    seconds: Annotated[float, "since the wait began"]
    holds_up: Annotated[tuple[str, ...], "services that wait for it"] = ()
    line: Annotated[str, "the last line of its log"] = ""
    check: Annotated[str, "the last output of its failing health check"] = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A published port of a service."""

    service: str
    target: Annotated[int, "the port in the container"]
    address: Annotated[str, "the host's address, with its port"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a service that has started."""

    service: str
    error: Annotated[str, "of its log, or how it ended"]


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """Every service is up, or has started and has a fault."""

    project: str
    urls: Annotated[tuple[str, ...], "addresses to open"]
    seconds: Annotated[float, "since the command began"]
    ports: Annotated[tuple[Published, ...], "all published TCP ports"] = ()
    faults: Annotated[tuple[Fault, ...], "services that are not up, or whose log has an error"] = ()
    forwarded_from: Annotated[str, "the other machine that has the ports, if ssh forwards them"] = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the time until `ready`."""

    name: Annotated[str, "a part of a step begins with the step's name: `build web dev`"]
    start: Annotated[float, "in seconds from the beginning"]
    end: Annotated[float, "as `start`"]
    critical: Annotated[bool, "whether the whole start waited for it"] = False
    after: Annotated[str, "the service that it waited for"] = ""


@dataclass(frozen=True, slots=True)
class Timings(Event):
    """The parts of the time until `ready`, with `--timings`."""

    seconds: Annotated[float, "until ready"]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Synced(Event):
    """Files were put into, or removed from, all containers of a service."""

    service: str
    files: Annotated[int, "number of files that were put"]
    deleted: Annotated[int, "number of files that were removed"]
    bytes: int
    ms: Annotated[float, "since the save"]
    paths: Annotated[tuple[str, ...], "the first five, relative to the project's folder"] = ()
    atomic: Annotated[bool, "false in an image without a shell"] = True


@dataclass(frozen=True, slots=True)
class Compared(Event):
    """A container was compared with the tree (`sync --verify`)."""

    service: str
    container: str
    files: Annotated[int, "number of files that it should have"]
    different: Annotated[tuple[str, ...], "paths in the container"] = ()


@dataclass(frozen=True, slots=True)
class Rebuilt(Event):
    """A service was built and its containers were replaced."""

    service: str
    cause: Annotated[str, "the file that changed; empty after a command"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Restarted(Event):
    """The containers of a service were restarted."""

    service: str
    cause: Annotated[str, "the file that changed; empty after a command"]
    ms: float


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """Edits of the project's own files were applied."""

    files: tuple[str, ...]
    recreated: Annotated[tuple[str, ...], "services, as in the next three"] = ()
    added: tuple[str, ...] = ()
    scaled: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rules: Annotated[bool, "whether watch rules changed"] = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """The command of a `sync+exec` rule has ended."""

    service: str
    command: str
    exit_code: int
    output: str
    ms: float


@dataclass(frozen=True, slots=True)
class Problem(Event):
    """A problem with a path or a service; everything else continues."""

    message: str
    hint: str | None = None
    service: str | None = None
    path: Annotated[str | None, "absolute, on the host"] = None


@dataclass(frozen=True, slots=True)
class Solved(Event):
    """The cause of a `problem` with this path is gone."""

    path: Annotated[str, "as in the problem"]
    service: Annotated[str | None, "as in the problem"] = None


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A message that is printed once."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Log(Event):
    """A line that a container printed, without escape sequences. All lines of a traceback have the level `error`."""

    service: str
    line: str
    stream: Annotated[str, ("stdout", "stderr")] = "stdout"
    at: Annotated[str | None, "the time by the engine's clock (UTC) in `devenv logs`; otherwise null"] = None
    level: Annotated[str, "`error`, `warn` or empty"] = ""


@dataclass(frozen=True, slots=True)
class HookLine(Event):
    """A line that a command of `x-devenv.hooks` printed."""

    event: ClassVar[str] = "hook"
    hook: Annotated[str, ("before_up", "after_healthy", "before_down")]
    line: str
    service: Annotated[str | None, "null if it runs on the host"] = None
    stream: Annotated[str, ("stdout", "stderr")] = "stdout"
    level: Annotated[str, "as in `log`"] = ""


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The teardown has begun."""

    reason: Annotated[str, "a signal or a cause: INT, TERM, HUP, error, done, down, gc, --fresh"]
    containers: Annotated[int, "number of containers"]


@dataclass(frozen=True, slots=True)
class Removed(Event):
    """A container, network or volume of the run was removed."""

    kind: Annotated[str, KINDS]
    name: str


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """A volume was saved to a snapshot, and the snapshot was verified."""

    volume: str
    snapshot: Annotated[str, "its id"]
    size: Annotated[int, "in bytes"]
    stored: Annotated[int, "in bytes, compressed"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored(Event):
    """A snapshot was restored to a new volume."""

    volume: str
    snapshot: Annotated[str, "its id"]
    age: Annotated[float, "in seconds"]
    size: Annotated[int, "in bytes"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Kept(Event):
    """A container, network or volume was not removed, for a reason."""

    kind: Annotated[str, KINDS]
    name: str
    reason: str
    command: Annotated[str, "removes it; empty if its data are not saved"]


@dataclass(frozen=True, slots=True)
class VolumesStay(Event):
    """Volumes stay on the engine of another machine, or on Podman; the next run uses them."""

    event: ClassVar[str] = "stays"
    machine: Annotated[str, "the name of the other machine, or `Podman`"]
    volumes: tuple[str, ...]
    save: Annotated[str, "command that saves them here and removes them"]
    remove: Annotated[str, "command that removes them without saving them"]


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The teardown has ended."""

    survivors: Annotated[tuple[str, ...], "what could not be removed"] = ()
    seconds: float = 0.0
    removed: Annotated[dict[str, int], "how many of each kind"] = field(default_factory=dict)
    saved: Annotated[dict[str, int], "saved volumes, and the bytes stored of each"] = field(default_factory=dict)
    waiting: Annotated[tuple[str, ...], "volumes that stay for the next run"] = ()


@dataclass(frozen=True, slots=True)
class Traced(Event):
    """A command, or a request to the Engine API, has ended. Printed on stderr with `-v` and `-vv`."""

    kind: Annotated[str, ("command", "call")]
    what: Annotated[str, "one line, without secrets"]
    outcome: Annotated[str, "such as `exit 0` and `200`; `cancelled` or the kind of error without one"]
    ms: float


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The command failed. The last event."""

    event: ClassVar[str] = "error"
    message: str
    where: Annotated[str | None, "`file:line` of the cause"]
    hint: Annotated[str | None, "what to do, often a command"]
    exit_code: int
