"""What other packages may ask of the engine and of Compose: `Engine` and `Compose` fulfil these protocols.

Code that needs one group names its protocol, and works with every class that has the same methods.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from devenv.docker.archive import Writable
from devenv.docker.containers import Usage
from devenv.docker.endpoint import Endpoint
from devenv.docker.exec import Session
from devenv.docker.http import Body
from devenv.docker.process import OnLine, OnOutput
from devenv.model.containers import Container, Network, ProjectState, Volume


class ContainerControl(Protocol):
    """Containers: inspected, created, stopped and removed; their output and resource use (`Engine.containers`)."""

    async def list(self, project: str) -> tuple[Container, ...]:
        """All containers of the project."""
        ...

    async def inspect(self, container_id: str) -> Container | None:
        """The container as it is now; None if it is gone."""
        ...

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """(owner, host ip, host port) of every port that running containers publish."""
        ...

    async def usage(self, container_id: str) -> Usage:
        """What the container has used by now."""
        ...

    async def health_output(self, container_id: str) -> str:
        """The output of the last health check that failed."""
        ...

    def logs(
        self, container: Container, *, since: str = "", tail: str = "all", follow: bool = True, timed: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """(stream, line) until the container stops."""
        ...

    async def create(self, config: Mapping[str, Any], name: str = "") -> str:
        """Create a container as ContainerCreate describes it; its id. It is not started."""
        ...

    async def restart(self, container: Container) -> None:
        """Restart the container."""

    async def stop(self, container: Container, grace: float | None = None) -> None:
        """Stop the container; nothing happens if it has ended or is gone."""

    async def pause(self, container_id: str, *, on: bool) -> None:
        """Pause or unpause its processes."""

    async def remove(self, container_id: str) -> None:
        """Remove the container with its anonymous volumes, running or not; nothing happens if it is gone."""


class ContainerFiles(Protocol):
    """Files of containers, running or not, and of the volumes that they mount (`Engine.archive`)."""

    async def put(self, container_id: str, tar: Body, *, size: int = ...) -> None:
        """Extract a tar, compressed or not, at the container's root; a tar in pieces has about `size` bytes."""

    async def get(self, container_id: str, path: str) -> bytes | None:
        """The tar of `path`; None if there is no such path."""
        ...

    async def save(self, container_id: str, path: str, file: Writable, *, total: float | None = ...) -> None:
        """Write the tar of `path` into the file; nothing if there is no such path."""

    async def is_link(self, container_id: str, path: str) -> bool | None:
        """Whether `path` is a symbolic link; None if there is no such path."""
        ...

    async def exists(self, container_id: str, path: str) -> bool:
        """Whether there is something at `path`."""
        ...


class ContainerCommands(Protocol):
    """Commands run in containers (`Engine.exec`)."""

    def session(
        self, container_id: str, argv: Sequence[str], *, user: str, mark: str
    ) -> AbstractAsyncContextManager[Session]:
        """A command whose stdin we write."""
        ...

    async def run(
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
        """Run a command to its end; its exit code and output."""
        ...

    async def end_leftovers(self, container_id: str, *, user: str, privileged: bool, mark: str) -> None:
        """Kill the commands that an earlier run started and did not end."""


class VolumeStore(Protocol):
    """Volumes by their names (`Engine.volumes`)."""

    async def inspect(self, name: str) -> Volume | None:
        """The volume; None if there is none of that name."""
        ...

    async def times(self) -> dict[str, str]:
        """The names of all volumes with their `CreatedAt`."""
        ...

    async def users(self, name: str) -> tuple[str, ...]:
        """The names of the containers that mount the volume, running or not."""
        ...

    async def create(self, options: Mapping[str, Any]) -> Volume:
        """Create a volume as VolumeCreateOptions describe it, or return the existing one of that name."""
        ...

    async def remove(self, name: str) -> None:
        """Remove the volume; nothing happens if it is gone. Raises CallError if a container mounts it."""


class NetworkStore(Protocol):
    """Networks by their ids (`Engine.networks`)."""

    async def names(self) -> frozenset[str]:
        """The names of all networks on the engine."""
        ...

    async def users(self, network_id: str) -> tuple[str, ...]:
        """The names of the containers that are connected to the network now."""
        ...

    async def remove(self, network_id: str) -> None:
        """Remove the network; nothing happens if it is gone. Raises CallError if a running container is connected."""


class ImageStore(Protocol):
    """Images by id or name (`Engine.images`)."""

    async def ids(self) -> tuple[str, ...]:
        """The ids of all images."""
        ...

    async def inspect(self, reference: str) -> dict[str, Any]:
        """The image as the engine describes it. Raises CallError if the engine does not have it."""
        ...

    async def platform(self, image_id: str) -> str:
        """The platform of an image, such as `linux/amd64`."""
        ...

    async def variables(self, reference: str) -> dict[str, str]:
        """The environment variables of an image."""
        ...

    async def tags(self, image_id: str) -> tuple[str, ...]:
        """The names of an image."""
        ...

    async def remove(self, image_id: str) -> None:
        """Remove an untagged image if nothing needs it."""


class DockerEngine(Protocol):
    """One engine: which one it is, what exists of a project, and its groups.

    `is_ours` says of a container or network whether devenv created it.
    """

    endpoint: Endpoint
    kernel: str
    platform: str
    is_ours: Callable[[Container | Network], bool]

    @property
    def containers(self) -> ContainerControl:
        """Containers."""
        ...

    @property
    def archive(self) -> ContainerFiles:
        """Files of containers."""
        ...

    @property
    def exec(self) -> ContainerCommands:
        """Commands in containers."""
        ...

    @property
    def volumes(self) -> VolumeStore:
        """Volumes."""
        ...

    @property
    def networks(self) -> NetworkStore:
        """Networks."""
        ...

    @property
    def images(self) -> ImageStore:
        """Images."""
        ...

    async def identity(self) -> tuple[str, str]:
        """Its own id and its data folder."""
        ...

    async def clock(self) -> dt.datetime:
        """Its time, to the second."""
        ...

    async def project_state(self, project: str) -> ProjectState:
        """All containers, networks and named volumes of the project."""
        ...

    def events(self, project: str) -> AsyncIterator[dict[str, Any]]:
        """Container events of the project, without end; an empty one says that the stream begins."""
        ...


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
