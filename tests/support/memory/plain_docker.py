"""What others do besides devenv: plain `docker compose` and `docker`, at once and without output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from support.memory import model as names
from support.memory import verbs
from support.memory.compose import Child, build
from support.memory.host import MemoryHost
from support.memory.model import Model
from support.memory.program import Program, Steps
from support.memory.refusal import Refused


class ComposeError(AssertionError):
    """A verb of plain Compose ended with an error: the lines that it printed."""


@dataclass
class PlainCompose:
    """`docker compose` on a project: `written` is the resolved file."""

    host: MemoryHost
    project: str
    directory: str
    written: Mapping[str, Any]
    lines: list[str] = field(default_factory=list)

    def up(self, *services: str, force: bool = False) -> None:
        """`up -d`. Raises ComposeError."""
        for name, service in self.written["services"].items():
            if service.get("build"):
                build(self.host, self.project, name, service)
        program = self._program()
        self._run(partial(program.create, services, force=force))
        self._run(partial(program.start, services))

    def create(self, *services: str) -> None:
        """`create`. Raises ComposeError."""
        self._run(partial(self._program().create, services))

    def start(self, *services: str) -> None:
        """`start`. Raises ComposeError."""
        self._run(partial(self._program().start, services))

    def stop(self, *services: str) -> None:
        """`stop`."""
        self._run(partial(self._program().stop, services))

    def down(self, *, volumes: bool = False) -> None:
        """`down`, or `down -v`."""
        self._run(partial(self._program().down, volumes=volumes))

    def run(self, service: str, *command: str) -> str:
        """The id of the container of `run -d SERVICE`, after its dependencies are started. Raises ComposeError."""
        needs = tuple(self._program().model.services[service].depends_on)
        if needs:
            self.up(*needs)
        program = self._program().only((service,))
        model = replace(program.model, services={})
        self._run(partial(replace(program, model=model).converge, force=False))
        definition = program.model.services[service]
        wish = program.wish(definition, 1, self.host.image(definition.image).id)
        wish["Labels"] |= {names.ONE_OFF: "True", names.SLUG: (slug := self.host.new_id())}
        wish |= {"Cmd": [*command]} if command else {}
        made = verbs.create(self.host, wish, f"{self.project}-{service}-run-{slug[:12]}")
        verbs.start(self.host, made)
        return made.id

    def _program(self) -> Program:
        return Program(self.host, Model.of(self.project, self.directory, self.written), self.lines.append)

    def _run(self, verb: Callable[[], Steps]) -> None:
        steps, codes = self._program().run(verb), list[int]()

        def kept() -> Steps:
            codes.append((yield from steps))

        if not Child(kept()).go_on():
            raise ComposeError("\n".join([*self.lines, "it waits for what does not happen"]))
        if codes[0]:
            raise ComposeError("\n".join(self.lines))


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        if error.status != 404:
            raise


@dataclass(frozen=True, slots=True)
class PlainDocker:
    """`docker` without devenv. Raises Refused as the engine does."""

    host: MemoryHost

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
        made = self.create(image, *command, name=name, labels=labels, volumes=volumes, network=network)
        self.start(made)
        return made

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
        wish: dict[str, Any] = {
            "Image": image,
            "Cmd": [*command] or None,
            "Labels": dict(labels or {}),
            "Volumes": {v: {} for v in volumes if ":" not in v},
            "HostConfig": {"Binds": [v for v in volumes if ":" in v], "NetworkMode": network or "bridge"},
        }
        return verbs.create(self.host, wish, name).id

    def start(self, name: str) -> None:
        """`docker start`."""
        verbs.start(self.host, self.host.container(name))

    def stop(self, name: str) -> None:
        """`docker stop`."""
        verbs.stop(self.host, self.host.container(name))

    def remove(self, name: str, *, force: bool = True, volumes: bool = False) -> None:
        """`docker rm -f`, which ignores a missing container; with `volumes` `-v`."""
        with contextlib.nullcontext() if not force else _gone_is_fine():
            verbs.remove(self.host, self.host.container(name), force=force, volumes=volumes)

    def rename(self, name: str, new: str) -> None:
        """`docker rename`."""
        verbs.rename(self.host, self.host.container(name), new)

    def commit(self, name: str, tag: str) -> str:
        """The id of the image of `docker commit`."""
        return verbs.commit(self.host, self.host.container(name), tag).id

    def create_volume(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """`docker volume create`."""
        verbs.create_volume(self.host, {"Name": name, "Labels": labels})

    def remove_volume(self, name: str) -> None:
        """`docker volume rm`."""
        verbs.remove_volume(self.host, name)

    def create_network(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """`docker network create`."""
        verbs.create_network(self.host, {"Name": name, "Labels": labels})

    def remove_network(self, name: str) -> None:
        """`docker network rm`."""
        verbs.remove_network(self.host, self.host.network(name))

    def write(self, volume: str, path: str, content: bytes) -> None:
        """Write a file into a volume, as a process that mounts it does."""
        self.host.volume(volume).files.write(path, content)

    def read(self, volume: str, path: str) -> bytes | None:
        """The content of a file of a volume; None if there is no such file or volume."""
        there = self.host.volumes.get(volume)
        return there.files.read(path) if there else None
