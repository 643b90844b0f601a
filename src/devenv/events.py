"""What devenv tells the world: rooms `emit(event)`; only the front window makes text or JSON of events.

What is said beside a field, and the words that it may hold, `scripts/write-pages` puts into the schema and the docs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `event` is the name in the JSON stream."""

    event: ClassVar[str] = "event"

    def fields(self) -> dict[str, Any]:
        """The event's own fields, ready for JSON."""
        return asdict(self)


STEPS = (
    "load", "check", "before_up", "images", "build", "restore", "create", "sync", "start", "healthy", "after_healthy",
    "before_down", "rebuild", "save", "layers", "doctor",
)  # fmt: skip

KINDS = ("container", "network", "volume")

Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Step(Event):
    """A step of `up` began, ended (with `seconds`) or is going on (`detail`)."""

    event: ClassVar[str] = "step"
    name: Annotated[str, STEPS]
    state: Annotated[str, ("begin", "detail", "end")]
    detail: Annotated[str, "a line of progress, or why"] = ""
    seconds: Annotated[float | None, "what it took, once it has ended"] = None


@dataclass(frozen=True, slots=True)
class ImageState(Event):
    """An image is there or on its way."""

    event: ClassVar[str] = "image"
    reference: Annotated[str, "as the project names it"]
    state: Annotated[str, ("present", "pulling", "pulled", "making", "made", "built", "pushing", "pushed")]
    detail: Annotated[str, "how far, from where or in place of what; of a pushed one its digest"] = ""


@dataclass(frozen=True, slots=True)
class ServiceState(Event):
    """A service changed its state."""

    event: ClassVar[str] = "service"
    service: str
    state: Annotated[str, ("absent", "created", "starting", "started", "healthy", "completed", "unhealthy", "exited")]
    detail: Annotated[str, "what it waits for, or what failed"] = ""


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """A service is not up after 5, 15, 60 s, then every minute."""

    event: ClassVar[str] = "waiting"
    service: str
    detail: Annotated[str, "why"]
    seconds: Annotated[float, "so far"]
    holds_up: Annotated[tuple[str, ...], "services that wait for it"] = ()
    line: Annotated[str, "the last of its log"] = ""
    check: Annotated[str, "what its failing health check printed last"] = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A port of a service's containers, and where it is published."""

    service: str
    target: Annotated[int, "the port in the container"]
    address: Annotated[str, "the host's address, with its port"]


@dataclass(frozen=True, slots=True)
class Ready(Event):
    """Every service is up."""

    event: ClassVar[str] = "ready"
    project: str
    urls: Annotated[tuple[str, ...], "addresses to open"]
    seconds: Annotated[float, "since the command began"]
    ports: Annotated[tuple[Published, ...], "those that devenv chose"] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the way up."""

    name: Annotated[str, "a piece of a step begins with the step's name: `build web dev`"]
    start: Annotated[float, "in seconds from the beginning"]
    end: Annotated[float, "as `start`"]
    critical: Annotated[bool, "whether the rest waited for it: without it, all would have been up sooner"] = False
    after: Annotated[str, "the service that it waited for"] = ""


@dataclass(frozen=True, slots=True)
class Timings(Event):
    """Where the time until `ready` went, with `--timings`."""

    event: ClassVar[str] = "timings"
    seconds: Annotated[float, "until ready"]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Synced(Event):
    """Files are in, or gone from, every container of a service."""

    event: ClassVar[str] = "synced"
    service: str
    files: Annotated[int, "how many arrived"]
    deleted: Annotated[int, "how many went"]
    bytes: int
    ms: Annotated[float, "since the save"]
    paths: Annotated[tuple[str, ...], "the first five, relative to the project's folder"] = ()
    atomic: Annotated[bool, "false in an image without a shell"] = True


@dataclass(frozen=True, slots=True)
class Compared(Event):
    """A container was read back (`sync --verify`)."""

    event: ClassVar[str] = "compared"
    service: str
    container: str
    files: Annotated[int, "how many it is to hold"]
    different: Annotated[tuple[str, ...], "paths in the container"] = ()


@dataclass(frozen=True, slots=True)
class Rebuilt(Event):
    """A service runs on a new image."""

    event: ClassVar[str] = "rebuilt"
    service: str
    cause: Annotated[str, "the file that changed; empty where somebody asked for it"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Restarted(Event):
    """The containers of a service were restarted."""

    event: ClassVar[str] = "restarted"
    service: str
    cause: Annotated[str, "the file that changed; empty where somebody asked for it"]
    ms: float


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """Edits of the project's own files are in force."""

    event: ClassVar[str] = "reloaded"
    files: tuple[str, ...]
    recreated: Annotated[tuple[str, ...], "services, as in the next three"] = ()
    added: tuple[str, ...] = ()
    scaled: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rules: Annotated[bool, "whether watch rules changed"] = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Executed(Event):
    """The command of a `sync+exec` rule ended."""

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
    path: Annotated[str | None, "absolute, on the host"] = None


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
    stream: Annotated[str, ("stdout", "stderr")] = "stdout"
    at: Annotated[str | None, "when, by the engine's clock (UTC), in `devenv logs`; elsewhere null"] = None


@dataclass(frozen=True, slots=True)
class HookLine(Event):
    """One line that a command of `x-devenv.hooks` printed."""

    event: ClassVar[str] = "hook"
    hook: Annotated[str, ("before_up", "after_healthy", "before_down")]
    line: str
    service: Annotated[str | None, "null where it runs on the host"] = None
    stream: Annotated[str, ("stdout", "stderr")] = "stdout"


@dataclass(frozen=True, slots=True)
class Stopping(Event):
    """The way down has begun."""

    event: ClassVar[str] = "stopping"
    reason: Annotated[str, "a signal, or what ends it: INT, TERM, HUP, error, done, down, gc, --fresh"]
    containers: Annotated[int, "how many"]


@dataclass(frozen=True, slots=True)
class Removed(Event):
    """Something that a run created is gone."""

    event: ClassVar[str] = "removed"
    kind: Annotated[str, KINDS]
    name: str


@dataclass(frozen=True, slots=True)
class Saved(Event):
    """A volume is in a snapshot, which was read back."""

    event: ClassVar[str] = "saved"
    volume: str
    snapshot: Annotated[str, "its id"]
    size: Annotated[int, "in bytes"]
    stored: Annotated[int, "in bytes, compressed"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Restored(Event):
    """A new volume holds what a snapshot does."""

    event: ClassVar[str] = "restored"
    volume: str
    snapshot: Annotated[str, "its id"]
    age: Annotated[float, "in seconds"]
    size: Annotated[int, "in bytes"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Kept(Event):
    """Something was left in place on purpose."""

    event: ClassVar[str] = "kept"
    kind: Annotated[str, KINDS]
    name: str
    reason: str
    command: Annotated[str, "removes it; empty if its data are not saved"]


@dataclass(frozen=True, slots=True)
class Stopped(Event):
    """The way down has ended."""

    event: ClassVar[str] = "stopped"
    survivors: Annotated[tuple[str, ...], "what could not be removed"] = ()
    seconds: float = 0.0
    removed: Annotated[dict[str, int], "how many of each kind"] = field(default_factory=dict)
    saved: Annotated[dict[str, int], "volumes in a snapshot, and the bytes stored of each"] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Traced(Event):
    """A command that devenv ran, or a call of the Engine API, has ended. Under `-v` and `-vv`, and on stderr."""

    event: ClassVar[str] = "traced"
    kind: Annotated[str, ("command", "call")]
    what: Annotated[str, "one line, without secrets"]
    outcome: Annotated[str, "such as `exit 0` and `200`; `cancelled`, or the kind of error, where there was none"]
    ms: float


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The command failed; the last line."""

    event: ClassVar[str] = "error"
    message: str
    where: Annotated[str | None, "`file:line` of the cause"]
    hint: Annotated[str | None, "what to do, often a command"]
    exit_code: int
