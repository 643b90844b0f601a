"""The product's own Compose, whose child is the `docker compose` in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from devenv import lazy_dataclass
from devenv.docker.cli import Compose, EarlyCommand
from devenv.docker.compose_failures import clean
from devenv.docker.process import OnLine
from support.memory import model as names
from support.memory.client import MemoryEngine
from support.memory.faults import Fails, Fault, Faults
from support.memory.host import Image, MemoryHost
from support.memory.model import Model
from support.memory.program import Program

PAUSE = 0.001  # seconds between two checks of a verb that waits


@dataclass
class Child:
    """A verb of Compose whose client did not see its end: it may continue."""

    steps: Generator[str | None, None, Any]

    def go_on(self, requests: int | None = None) -> bool:
        """Make so many more requests, or all; return if the verb is over. What it waits for must exist."""
        while requests is None or requests > 0:
            try:
                request = next(self.steps)
            except StopIteration:
                return True
            if request is None:
                return False
            requests = None if requests is None else requests - 1
        return False


@dataclass
class ComposeHome:
    """One engine, and the client whose children the verbs of Compose are.

    `left` are the verbs whose client did not see their end.
    """

    host: MemoryHost
    faults: Faults
    left: list[Child] = field(default_factory=list)

    async def run(
        self, steps: Generator[str | None, None, int], lines: list[str], hear: Callable[[str], object]
    ) -> int:
        """The exit code of a verb. A line is received once the request that it reports has been made."""
        child, heard = Child(steps), 0
        is_over = False
        try:
            request = next(steps)
            while True:
                for line in lines[heard:]:
                    hear(line)
                heard = len(lines)
                fault = None if request is None else self.faults.next(request)
                if request is None:
                    await anyio.sleep(PAUSE)
                else:
                    await checkpoint()
                if (code := await self._before(request, fault, lines)) is not None:
                    is_over = True
                    return code
                before, request = request, next(steps)
                if fault is Fault.KILLED_AFTER:
                    raise self.faults.crash(str(before))
                if fault in (Fault.CHILD_KILLED_AFTER, Fault.LOST):
                    is_over = True
                    return _ended(fault, lines)
        except StopIteration as end:
            is_over = True
            for line in lines[heard:]:
                hear(line)
            return int(end.value or 0)
        finally:
            if not is_over:
                self.left.append(child)

    async def _before(self, request: str | None, fault: Fault | Fails | None, lines: list[str]) -> int | None:
        """The exit code of a verb that ends before this request."""
        if fault is Fault.KILLED_BEFORE:
            raise self.faults.crash(str(request))
        if fault is Fault.HANGS:
            await anyio.sleep_forever()
        if isinstance(fault, Fails):
            lines.append(f"Error response from daemon: {fault.reason}")
            return 1
        if fault is Fault.REFUSED or self.host.is_away:
            return _ended(Fault.REFUSED, lines)
        if fault is Fault.CHILD_KILLED_BEFORE:
            return _ended(fault, lines)
        return None

    def go_on(self) -> None:
        """Run all remaining children to their end."""
        while self.left:
            self.left.pop(0).go_on()


def _ended(fault: Fault, lines: list[str]) -> int:
    if fault is Fault.REFUSED:
        lines.append("Cannot connect to the Docker daemon at unix:///run/memory.sock. Is the docker daemon running?")
        return 1
    if fault is Fault.LOST:
        lines.append("error during connect: EOF")
        return 1
    return -9


class NeverStarted(EarlyCommand):
    """A command without a child."""

    async def run(self) -> None:
        """Return at once."""

    async def finish(self, model: bytes, **_: object) -> None:
        """Return None: nothing has been done."""


@lazy_dataclass.dataclass(frozen=True, slots=True)
class MemoryCompose(Compose):
    """The verbs of one project in memory: as `docker.compose.Compose`."""

    home: ComposeHome = field(repr=False, kw_only=True)

    def early(self, verb: str) -> EarlyCommand:
        """A command that has never started: the verb runs when its model is known."""
        return NeverStarted(self.argv(verb), {})

    async def build(
        self,
        services: Sequence[str] = (),
        on_line: OnLine = lambda _: None,
        early: EarlyCommand | None = None,  # noqa: ARG002 - it has no child
    ) -> None:
        """Build the images of the services with a build section: the same image for the same section and stamp."""
        for name in services or [n for n, s in self.failures().services.items() if s.get("build")]:
            await checkpoint()
            build(self.home.host, self.project, name, self.failures().services[name])
            on_line(f"#1 [{name} 1/1] FROM memory")

    async def _run(self, verb: str, *args: str, on_error_line: OnLine | None = None) -> None:
        lines: list[str] = []
        program = Program(self.home.host, Model.of(self.project, self.directory, self.model), lines.append)
        services = [arg for arg in args if not arg.startswith("-")]
        if verb == "create":
            steps = program.run(partial(program.create, services, force="--force-recreate" in args))
        else:
            steps = program.run(partial(program.start, services))
        code = await self.home.run(steps, lines, lambda line: on_error_line and on_error_line(clean(line)))
        if code:
            raise self.failures().of_verb(verb, "\n".join(lines))


def build(host: MemoryHost, project: str, name: str, service: Mapping[str, Any]) -> Image:
    """Build the image of a service's section, under its name."""
    section = service.get("build")
    text = json.dumps([project, name, section, host.stamps.get(name, 0)], sort_keys=True)
    key = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    image = host.images.get(key)
    if image is None:
        written = (section.get("labels") if isinstance(section, Mapping) else None) or {}
        own = {names.PROJECT: project, names.SERVICE: name, names.VERSIONED: names.VERSION}
        image = host.images[key] = Image(key, labels={**written, **own})
    host.tag(image, str(service.get("image") or f"{project}-{name}"))
    return image


def pair(host: MemoryHost, engine: MemoryEngine | None = None) -> tuple[MemoryEngine, Callable[..., MemoryCompose]]:
    """A client of the engine, and the replacement for the class `Compose`."""
    engine = engine or MemoryEngine(host)
    return engine, partial(MemoryCompose, home=ComposeHome(host, engine.faults))
