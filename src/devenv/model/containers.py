"""What the engine says is there: containers, networks and volumes of one project, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

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
# What the engine says happens to a container, where that may change its state.
TELLING = frozenset({"create", "start", "die", "stop", "kill", "destroy", "pause", "unpause", "oom", "rename"})


@dataclass(frozen=True, slots=True)
class Container:
    """One container as inspected. `state` is the engine's word: created, running, exited, ...

    `health` is None where there is no health check, else starting, healthy or unhealthy. `started_at` and
    `finished_at` are the engine's own texts (RFC 3339); while it runs, the latter is the end of its last life.
    `user` is `Config.User` as written, `error` why the engine could not start it.

    `ours`: a record of this machine's says that devenv created it. `owner` is what its label says, which a copied
    image may say, too; `inherits`: its labels are those of its image, not of the Compose call that created it.
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
    image: str = ""
    stop_timeout: float = 10.0
    depends_on: tuple[str, ...] = ()
    ports: tuple[tuple[str, int, int], ...] = ()  # (host ip, host port, container port), tcp only
    udp_ports: tuple[tuple[str, int, int], ...] = ()
    volumes: tuple[str, ...] = ()  # real names
    holds: str = ""  # the volume, where it is a holder: see `snapshots`
    database: str = ""  # that its image holds, see `snapshot.database`
    restarts: int = 0  # by the engine, as its restart policy says
    project: str = ""  # the Compose project that its label names
    number: str = ""  # as Compose counts the service's containers; empty if not Compose created it
    created: str = ""  # when, by the engine's clock (RFC 3339)
    owner: str = ""  # the label of devenv's that says for whom
    is_old: bool = False  # it has the label of devenv 0.1
    inherits: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What changes whenever a process begins anew: id and start time."""
        return self.id, self.started_at

    @property
    def running(self) -> bool:
        """Whether a process can be sent into it."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Network:
    """One network; `ours` and `owner` as for containers."""

    id: str
    name: str
    ours: bool
    owner: str = ""
    is_old: bool = False


@dataclass(frozen=True, slots=True)
class Volume:
    """One named volume; `project` is the Compose project that its label names, if any, `key` its key there.

    `elsewhere`: it is but a way to data that lies somewhere else (a folder of the host, a file server), which a
    removal of the volume does not touch, or to memory, which has lost it by then.

    `created` is the engine's text; a local volume's is the change time of its folder in whole seconds.
    """

    name: str
    project: str | None = None
    key: str = ""
    elsewhere: bool = False
    driver: str = ""
    created: str = ""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """Everything of one project on the engine at one moment."""

    containers: tuple[Container, ...] = ()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()

    def of(self, service: str) -> tuple[Container, ...]:
        """The containers of one service, oldest number first."""
        return tuple(c for c in self.containers if c.service == service)
