"""The status of the project in a folder with the next commands, and what `devenv ps` knows of a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from devenv.model.containers import Container

STATES = ("none", "broken", "down", "starting", "up", "stopped", "ending", "dead", "left", "unreachable")
CONTAINER_STATES = ("absent", "created", "running", "paused", "restarting", "removing", "exited", "dead")
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what an engine says
_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A command, and what it does."""

    command: str
    does: str


@dataclass(frozen=True, slots=True)
class Here:
    """The project of this folder; containers of plain Compose do not count.

    `none`: no Compose file found; `broken`: it cannot be read; `stopped`: left running, and no container runs now;
    `dead`: the process of the run has died, and something of the run still exists; `left`: the run has ended, and
    something that could not be removed, or a volume that could not be saved, still exists; `unreachable`: the engine
    does not answer.
    """

    state: Annotated[str, STATES]
    said: Annotated[str, "the status in one line"]
    project: str | None = None
    services: Annotated[tuple[str, ...], "as written, with all profiles"] = ()
    running: Annotated[int, "running containers of the run"] = 0
    urls: tuple[str, ...] = ()
    others: Annotated[tuple[str, ...], "projects in other folders whose runs have died or left something"] = ()
    guardians: Annotated[tuple[str, ...], "what guardians of dead runs do or wait for, a line for each"] = ()

    @property
    def commands(self) -> tuple[Suggestion, ...]:
        """The commands that make sense now, the likeliest first."""
        commands = [Suggestion(*row) for row in _COMMANDS[self.state]]
        if self.others:
            commands.append(Suggestion("devenv gc", f"remove what dead runs left of {', '.join(self.others)}"))
        return (*commands, Suggestion("devenv --help", "list all commands"))


_UP = ("devenv up", "start it, in sync with your editor")
_DOWN = ("devenv down", "end it; its volumes are saved")
_DOCTOR = ("devenv doctor", "find out why, and what to do")
_LOOK = (("devenv logs -f", "follow what the services print"), ("devenv ps", "list the services"))
_COMMANDS = {
    "none": (
        ("devenv new", "create a project, from the code in this folder or from a template"),
        ("devenv new --list", "list the templates"),
    ),
    "broken": (("devenv config --validate", "list the mistakes in the parts of the file that devenv reads"),),
    "down": (
        _UP,
        ("devenv graph", "show which service waits for which"),
        ("devenv config", "show what a save would do"),
    ),
    "starting": (_LOOK[1], _LOOK[0], _DOWN),
    "up": (*_LOOK, _DOWN),
    "stopped": (_UP, _DOWN),
    "ending": (),
    "dead": (_DOWN, _UP),
    "left": (_DOWN, _UP),
    "unreachable": (_DOCTOR,),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A published port."""

    target: Annotated[int, "the port in the container"]
    address: Annotated[str, "the host's address, with its port; 0.0.0.0 means all"]
    protocol: Annotated[str, ("tcp", "udp")] = "tcp"


@dataclass(frozen=True, slots=True)
class Stand:
    """A container of a service, or a service without containers."""

    service: str
    container: Annotated[str | None, "its name; null without a container"] = None
    state: Annotated[str, CONTAINER_STATES] = "absent"
    health: Annotated[str | None, "starting, healthy or unhealthy; null without a health check"] = None
    exit_code: Annotated[int | None, "once it has ended"] = None
    ports: Annotated[tuple[Address, ...], "where ports are published"] = ()
    age: Annotated[float | None, "seconds since its start, or its end"] = None
    restarts: Annotated[int, "by the engine, since it was created"] = 0
    ours: Annotated[bool | None, "whether devenv created it; null without a container"] = None


@dataclass(frozen=True, slots=True)
class Stands:
    """The project's services, in the order of the file, then those that only have containers."""

    project: str
    services: tuple[Stand, ...]


def stands(
    project: str, services: Sequence[str], containers: Iterable[Container], age: Callable[[str], float | None]
) -> Stands:
    """The rows of all services; `services` are the enabled ones, `age` gives the seconds since an engine's time."""
    by_service: dict[str, list[Container]] = {name: [] for name in services}
    for container in sorted(containers, key=lambda c: (c.service, c.name)):
        by_service.setdefault(container.service, []).append(container)
    rows = ([_stand(container, age) for container in own] or [Stand(name)] for name, own in by_service.items())
    return Stands(project, tuple(chain.from_iterable(rows)))


def _stand(container: Container, age: Callable[[str], float | None]) -> Stand:
    has_ended = container.state in ("exited", "dead")
    return Stand(
        container.service,
        container.name,
        container.state,
        container.health if container.running else None,
        container.exit_code if has_ended else None,
        (*_ports(container.ports, "tcp"), *_ports(container.udp_ports, "udp")),
        age(container.finished_at if has_ended else container.started_at),
        container.restarts,
        container.ours,
    )


def _ports(ports: Iterable[tuple[str, int, int]], protocol: str) -> tuple[Address, ...]:
    """Each port once, also if it is published on IPv4 and IPv6."""
    published = {(target, _host(ip), port) for ip, port, target in ports}
    return tuple(Address(target, f"{host}:{port}", protocol) for target, host, port in sorted(published))


def _host(ip: str) -> str:
    if ip in _LOOPBACK:
        return "localhost"
    return _EVERYWHERE[0] if ip in ("", *_EVERYWHERE) else f"[{ip}]" if ":" in ip else ip
