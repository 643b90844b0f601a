"""Containers, networks and volumes of a project, as the engine reports them, and lines of logs."""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

from devenv.lazy_dataclass import dataclass

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
VOLUME_LABEL = "com.docker.compose.volume"
HASH_LABEL = "com.docker.compose.config-hash"
NUMBER_LABEL = "com.docker.compose.container-number"
IMAGE_LABEL = "com.docker.compose.image"
DEPENDS_LABEL = "com.docker.compose.depends_on"
OWNER_LABEL = "devenv.owner"
OLD_LABEL = "devenv.project"  # of devenv 0.1: the project's name
HOLDS_LABEL = "devenv.holds"
# Events of the engine that may change the state of a container.
TELLING = frozenset({"create", "start", "die", "stop", "kill", "destroy", "pause", "unpause", "oom", "rename"})

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z ")
ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, clipboard, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS and the other strings
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[ -/]*[0-~]?"
)


@dataclass(frozen=True, slots=True)
class Container:
    """A container as inspected. `state` is the word of the engine: created, running, exited, ...

    `health` is None without a health check, else starting, healthy or unhealthy. `started_at` and `finished_at` are
    the engine's own texts (RFC 3339); while the container runs, `finished_at` is the end of its previous process.
    `check` is the last line of its last health check if that failed; `checked` is the path that its health check, of
    the Compose file or of the image, requests by HTTP from the container itself. `user` is `Config.User` as written,
    `error` says why the engine could not start the container.

    `ours`: a record on this machine says that devenv created the container. `owner` is the value of its label, which
    an image made from the container has, too; `inherits`: the labels come from the image, not from the Compose
    command that created the container.
    """

    id: str
    name: str
    service: str
    state: str
    ours: bool
    health: str | None = None
    exit_code: int = 0
    out_of_memory: bool = False
    error: str = ""
    started_at: str = ""
    finished_at: str = ""
    user: str = ""
    tty: bool = False
    command: str = ""  # the words of the first process
    image: str = ""  # the id of the image
    reference: str = ""  # the name of the image that the container was created with
    stop_timeout: float = 10.0
    depends_on: tuple[str, ...] = ()
    awaits: tuple[str, ...] = ()  # services in `depends_on` that have to complete
    ports: tuple[tuple[str, int, int], ...] = ()  # (host ip, host port, container port), tcp only
    udp_ports: tuple[tuple[str, int, int], ...] = ()
    volumes: tuple[str, ...] = ()  # real names
    anonymous: tuple[str, ...] = ()  # where its anonymous volumes are mounted
    holds: str = ""  # the volume that the container was created to hold: see `volumes.holders`
    database: str = ""  # in its image, see `snapshot.database`
    restart: str = ""  # the restart policy
    restarts: int = 0  # by the engine, according to the policy
    check: str = ""
    check_every: float = 30.0  # seconds
    checked: str = ""
    publishes: bool = False  # host ports, once it runs
    networks: tuple[str, ...] = ()  # names
    project: str = ""  # the Compose project named by its label
    number: str = ""  # Compose's number of the replica; empty if Compose did not create the container
    created: str = ""  # by the engine's clock (RFC 3339)
    owner: str = ""  # value of the label devenv.owner
    is_old: bool = False  # it has the label of devenv 0.1
    inherits: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Id and start time: a different value after each start."""
        return self.id, self.started_at

    @property
    def running(self) -> bool:
        """Whether commands can be run in the container."""
        return self.state == "running"

    @property
    def lived(self) -> float:
        """Seconds from the start to the end of its last process; 0 while it runs."""
        return max(seconds(self.finished_at) - seconds(self.started_at), 0.0)


@dataclass(frozen=True, slots=True)
class Network:
    """A network; for `ours` and `owner`, see `Container`."""

    id: str
    name: str
    ours: bool
    owner: str = ""
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume; `project` and `key` are the Compose project and the key in its file, if labelled.

    `elsewhere`: the data is in a folder of the host or on a file server, which a removal of the volume does not
    touch, or in memory, which is lost when the last container stops. `created` is the engine's text; for a local
    volume it is the change time of its folder in whole seconds. `owner` is the value of the label devenv.owner.
    """

    name: str
    project: str | None = None
    key: str = ""
    elsewhere: bool = False
    driver: str = ""
    created: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """Everything that exists of a project on the engine at one moment."""

    containers: tuple[Container, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()

    def of(self, service: str) -> tuple[Container, ...]:
        """The containers of a service, lowest number first."""
        return tuple(c for c in self.containers if c.service == service)


class Line(NamedTuple):
    """A line that a container of the service printed, with its escape codes.

    `at` is by the engine's clock, in UTC and with nine digits of fraction, so that texts compare like times; empty if
    the engine did not say.
    """

    at: str
    service: str
    stream: str
    text: str
    level: str = ""


def unix_time(timestamp: str) -> str:
    """The engine's time (RFC 3339, UTC) in Unix seconds with its fraction; empty if the event never happened."""
    match = _TIMESTAMP.fullmatch(timestamp)
    if match is None or timestamp.startswith("0001"):
        return ""
    return f"{dt.datetime.fromisoformat(f'{match[1]}+00:00').timestamp():.0f}{match[2] or ''}"


def is_anonymous(volume: str) -> bool:
    """Whether this is a name that the engine gives to an anonymous volume."""
    return re.fullmatch("[0-9a-f]{64}", volume) is not None


def seconds(timestamp: str) -> float:
    """The engine's time in Unix seconds; 0 if the event never happened."""
    return float(unix_time(timestamp) or 0)


def bare(line: str) -> str:
    """The line without escape sequences."""
    return ESCAPES.sub("", line) if "\x1b" in line else line


def line(service: str, stream: str, timed: str) -> Line:
    """Split a printed text that begins with its time."""
    if timed[19:20] == "." and timed[29:31] == "Z ":  # the engine's own form, quickly: logs are long
        return Line(timed[:30], service, stream, timed[31:])
    if time := _TIME.match(timed):
        return Line(f"{time[1]}.{(time[2] or ''):0<9}Z", service, stream, timed[time.end() :])
    return Line("", service, stream, timed)
