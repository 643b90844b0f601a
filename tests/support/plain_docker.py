"""What others do besides devenv on the real engine: as `PlainCompose` and `PlainDocker` do in memory."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from support import docker_cli


class PlainVerbs(Protocol):
    """`docker compose` on a project."""

    def up(self, *services: str, force: bool = False) -> None:
        """`up -d`."""

    def create(self, *services: str) -> None:
        """`create`."""

    def start(self, *services: str) -> None:
        """`start`."""

    def stop(self, *services: str) -> None:
        """`stop`."""

    def down(self, *, volumes: bool = False) -> None:
        """`down`, or `down -v`."""

    def run(self, service: str, *command: str) -> str:
        """The id of the container of `run -d`."""
        ...


class DockerVerbs(Protocol):
    """`docker` as others use it."""

    def run(
        self,
        image: str,
        *command: str,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        volumes: Sequence[str] = (),
        network: str = "",
    ) -> str:
        """The id of `docker run -d`; a volume is `NAME:/PATH`, or `/PATH` for an anonymous one."""
        ...

    def create(
        self,
        image: str,
        *command: str,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        volumes: Sequence[str] = (),
        network: str = "",
    ) -> str:
        """The id of `docker create`, with the options of `run`."""
        ...

    def start(self, name: str) -> None:
        """`docker start`."""

    def stop(self, name: str) -> None:
        """`docker stop`."""

    def remove(self, name: str, *, force: bool = True, volumes: bool = False) -> None:
        """`docker rm -f`, with `volumes` `-v`."""

    def rename(self, name: str, new: str) -> None:
        """`docker rename`."""

    def commit(self, name: str, tag: str) -> str:
        """The id of the image of `docker commit`."""
        ...

    def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """`docker volume create`."""

    def remove_volume(self, name: str) -> None:
        """`docker volume rm`."""

    def create_network(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """`docker network create`."""

    def remove_network(self, name: str) -> None:
        """`docker network rm`."""


@dataclass(frozen=True, slots=True)
class RealCompose:
    """`docker compose` on a project: `written` is the resolved file. Raises DockerError."""

    project: str
    directory: str
    written: Mapping[str, Any]

    def up(self, *services: str, force: bool = False) -> None:
        """`up -d`."""
        self._run("up", "-d", *(["--force-recreate"] if force else []), *services)

    def create(self, *services: str) -> None:
        """`create`."""
        self._run("create", *services)

    def start(self, *services: str) -> None:
        """`start`."""
        self._run("start", *services)

    def stop(self, *services: str) -> None:
        """`stop`."""
        self._run("stop", "-t", "0", *services)

    def down(self, *, volumes: bool = False) -> None:
        """`down`, or `down -v`."""
        self._run("down", "-t", "0", *(["-v"] if volumes else []))

    def run(self, service: str, *command: str) -> str:
        """The id of the container of `run -d`."""
        name = f"{self.project}-{service}-run-{secrets.token_hex(4)}"
        self._run("run", "-d", "--no-TTY", "--name", name, service, *command)
        return docker_cli.docker("inspect", "--format={{.Id}}", name)

    def _run(self, *args: str) -> None:
        head = ["compose", "-p", self.project, "--project-directory", self.directory, "-f", "-"]
        docker_cli.docker(*head, *args, env={"COMPOSE_IGNORE_ORPHANS": "1"}, stdin=json.dumps(self.written))


class RealDocker:
    """`docker` as others use it. Raises DockerError."""

    def run(
        self,
        image: str,
        *command: str,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        volumes: Sequence[str] = (),
        network: str = "",
    ) -> str:
        """The id of `docker run -d`."""
        return docker_cli.docker("run", "-d", *_options(name, labels, volumes, network), image, *command)

    def create(
        self,
        image: str,
        *command: str,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        volumes: Sequence[str] = (),
        network: str = "",
    ) -> str:
        """The id of `docker create`."""
        return docker_cli.docker("create", *_options(name, labels, volumes, network), image, *command)

    def start(self, name: str) -> None:
        """`docker start`."""
        docker_cli.docker("start", name)

    def stop(self, name: str) -> None:
        """`docker stop`, without grace."""
        docker_cli.docker("stop", "-t", "0", name)

    def remove(self, name: str, *, force: bool = True, volumes: bool = False) -> None:
        """`docker rm`."""
        docker_cli.docker("rm", *(["-f"] if force else []), *(["-v"] if volumes else []), name)

    def rename(self, name: str, new: str) -> None:
        """`docker rename`."""
        docker_cli.docker("rename", name, new)

    def commit(self, name: str, tag: str) -> str:
        """The id of the image of `docker commit`."""
        return docker_cli.docker("commit", name, tag)

    def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """`docker volume create`."""
        docker_cli.docker("volume", "create", *_labels(labels), name)

    def remove_volume(self, name: str) -> None:
        """`docker volume rm`."""
        docker_cli.docker("volume", "rm", name)

    def create_network(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """`docker network create`."""
        docker_cli.docker("network", "create", *_labels(labels), name)

    def remove_network(self, name: str) -> None:
        """`docker network rm`."""
        docker_cli.docker("network", "rm", name)


def _options(name: str, labels: Mapping[str, str] | None, volumes: Sequence[str], network: str) -> list[str]:
    named = [*([f"--name={name}"] if name else []), *([f"--network={network}"] if network else [])]
    return [*named, *_labels(labels), *(f"--volume={volume}" for volume in volumes)]


def _labels(labels: Mapping[str, str] | None) -> list[str]:
    return [f"--label={key}={value}" for key, value in (labels or {}).items()]
