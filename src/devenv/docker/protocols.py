"""What a run asks of the engine and of Compose, in small groups: `engine.api.Engine`, `engine.compose.Compose` do it.

Whoever needs one group says so by its name, and runs on anything that answers like it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from devenv.docker.client import Session, Usage, Writable
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Body
from devenv.docker.process import OnLine, OnOutput
from devenv.model.containers import Container, Network, ProjectState, Volume


class Identified(Protocol):
    """Which engine it is, and what time it is there."""

    endpoint: Endpoint
    kernel: str
    platform: str

    async def identity(self) -> tuple[str, str]:
        """Its own id and the folder of its data."""
        ...

    async def clock(self) -> dt.datetime:
        """Its time, to the second."""
        ...


class ProjectView(Protocol):
    """What exists of a project; `is_ours` says of a container or network whether devenv created it."""

    is_ours: Callable[[Container | Network], bool]

    async def project_state(self, project: str) -> ProjectState:
        """All containers, networks and named volumes of the project."""
        ...

    async def containers(self, project: str) -> tuple[Container, ...]:
        """All containers of the project."""
        ...

    async def inspect(self, container_id: str) -> Container | None:
        """The container as it is now; None if it is gone."""
        ...


class EngineView(Protocol):
    """What exists on the engine, whoever created it."""

    async def names(self) -> tuple[frozenset[str], dict[str, str]]:
        """The names of all networks, and of all volumes with their `CreatedAt`."""
        ...

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """(whose, host ip, host port) of every port that running containers publish."""
        ...


class ContainerControl(Protocol):
    """Containers created, stopped and removed."""

    async def create_container(self, wish: Mapping[str, Any], name: str = "") -> str:
        """The id of a container created as ContainerCreate says, not started."""
        ...

    async def restart(self, container: Container) -> None:
        """Begin its process anew."""

    async def stop(self, container: Container, grace: float | None = None) -> None:
        """Stop it; nothing happens if it has ended or gone."""

    async def pause(self, container_id: str, *, on: bool) -> None:
        """Freeze its processes, or let them go on."""

    async def remove_container(self, container_id: str) -> None:
        """Remove it with its anonymous volumes, running or not; nothing happens if it is gone."""


class ContainerFiles(Protocol):
    """Files of containers, running or not, and of the volumes that they mount."""

    async def put(self, container_id: str, tar: Body, *, size: int = ...) -> None:
        """Extract a tar, compressed or not, at the container's root; one in pieces has about `size` bytes."""

    async def get(self, container_id: str, path: str) -> bytes | None:
        """The tar of `path`; None if there is no such path."""
        ...

    async def save(self, container_id: str, path: str, file: Writable, *, total: float | None = ...) -> None:
        """Write the tar of `path` into the file; nothing if there is no such path."""

    async def exists(self, container_id: str, path: str) -> bool:
        """Whether there is something at `path`."""
        ...


class ContainerCommands(Protocol):
    """Commands run in containers."""

    def session(
        self, container_id: str, argv: Sequence[str], *, user: str, mark: str
    ) -> AbstractAsyncContextManager[Session]:
        """A process that reads its orders from us."""
        ...

    async def execute(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        user: str = "",
        working_dir: str | None = None,
        environment: Mapping[str, str] | None = None,
        privileged: bool = False,
        mark: str = "",
        timeout: float = ...,
        on_line: OnOutput = ...,
    ) -> tuple[int, str]:
        """The exit code and the output of a command that ran to its end."""
        ...

    async def end_leftovers(self, container_id: str, *, user: str, privileged: bool, mark: str) -> None:
        """Kill the commands that an earlier run began and did not end."""


class Words(Protocol):
    """What containers print and report, as it comes."""

    def logs(
        self, container: Container, *, since: str = "", tail: str = "all", follow: bool = True, timed: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """(stream, line) until the container stops."""
        ...

    def events(self, project: str) -> AsyncIterator[dict[str, Any]]:
        """Container events of the project, for ever; an empty one says that the stream begins."""
        ...

    async def health_output(self, container_id: str) -> str:
        """What the last health check that failed printed."""
        ...

    async def usage(self, container_id: str) -> Usage:
        """What the container has used by now."""
        ...


class VolumeStore(Protocol):
    """Volumes by their names."""

    async def volume(self, name: str) -> Volume | None:
        """The volume; None if there is none of that name."""
        ...

    async def volume_times(self) -> dict[str, str]:
        """The names of all volumes with their `CreatedAt`."""
        ...

    async def volume_users(self, name: str) -> tuple[str, ...]:
        """The names of the containers that mount the volume, running or not."""
        ...

    async def create_volume(self, wish: Mapping[str, Any]) -> Volume:
        """The volume created as VolumeCreateOptions say, or the existing one of that name."""
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove it; nothing happens if it is gone. Raises CallError if a container mounts it."""


class NetworkStore(Protocol):
    """Networks by their ids."""

    async def network_users(self, network_id: str) -> tuple[str, ...]:
        """The names of the containers that are connected to it now."""
        ...

    async def remove_network(self, network_id: str) -> None:
        """Remove it; nothing happens if it is gone. Raises CallError if a running container is connected."""


class ImageStore(Protocol):
    """Images by id or name."""

    async def images(self) -> tuple[str, ...]:
        """The ids of all images."""
        ...

    async def image_platform(self, image_id: str) -> str:
        """What it is for, such as `linux/amd64`."""
        ...

    async def image_variables(self, reference: str) -> dict[str, str]:
        """The environment that it brings."""
        ...

    async def image_tags(self, image_id: str) -> tuple[str, ...]:
        """The names that it goes by."""
        ...

    async def remove_image(self, image_id: str) -> None:
        """Remove it if nothing needs it."""


class ComposeVerbs(Protocol):
    """The verbs of one project that a run calls."""

    async def build(self, services: Sequence[str] = (), on_line: OnLine = ...) -> None:
        """Build the images of the services."""

    async def create(
        self, services: Sequence[str] = (), *, force: bool = False, on_made: Callable[[str, str], object] = ...
    ) -> None:
        """Create what is missing or changed; nothing runs."""

    async def start(self, services: Sequence[str] = ()) -> None:
        """Start what does not run, in the order of `depends_on`."""
