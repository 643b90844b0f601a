"""A command of devenv on a machine in memory, and its project."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from devenv.compose.outline import Selection
from devenv.compose.parse import parse
from devenv.compose.resolve import Loaded
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError
from devenv.events import Event, Ready
from devenv.signals import ShutdownSignals
from devenv.state.run_dir import Run
from devenv.tasks import first
from support.memory.compose import ComposeHome
from support.memory.faults import Crash, Faults
from support.memory.host import BASE_IMAGE, MemoryHost

if TYPE_CHECKING:
    from support.memory.machine import Machine

CURRENT: ContextVar[Command] = ContextVar("current command")


@dataclass(frozen=True)
class Site:
    """A project: its folder, its name, and its resolved model."""

    folder: Path
    name: str
    model: Mapping[str, Any]

    def loaded(self, selection: Selection) -> Loaded:
        """The project as `load` would read it."""
        model = {"name": selection.project_name or self.name, **copy.deepcopy(dict(self.model))}
        file = str(self.folder / "compose.yml")
        return Loaded(parse(model, directory=str(self.folder), files=(file,)), model)


def model(name: str, **services: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved model with these services, which are idle by default, and their named volumes."""
    idle = {"image": BASE_IMAGE, "command": ["sleep", "inf"], "networks": {"default": None}}
    full = {key: {**idle, **more} for key, more in services.items()}
    mounts = [mount for service in full.values() for mount in service.get("volumes") or ()]
    keys = {mount["source"] for mount in mounts if mount.get("type") == "volume" and mount.get("source")}
    return {
        "name": name,
        "services": full,
        "networks": {"default": {"name": f"{name}_default"}},
        "volumes": {key: {"name": f"{name}_{key}"} for key in sorted(keys)},
    }


def mounted(key: str, target: str = "/data") -> dict[str, Any]:
    """An entry of a service's `volumes`."""
    return {"type": "volume", "source": key, "target": target, "volume": {}}


@dataclass
class Guard:
    """The guardian of a run: `dismissed` if the run ended by itself; `dead` if it was killed, too."""

    endpoint: Endpoint
    run: Run
    dismissed: bool = False
    dead: bool = False

    def wait_ready(self) -> bool:
        """Be ready at once."""
        return True

    def dismiss(self) -> None:
        """Note that the run has ended by itself."""
        if not CURRENT.get().faults.is_dead:
            self.dismissed = True

    def release(self) -> None:
        """Stay ready, as for a run that died."""


@dataclass
class Command:
    """One command of devenv: its faults, guardian and children, its events, and how it ended."""

    machine: Machine
    faults: Faults = field(default_factory=Faults)
    events: list[Event] = field(default_factory=list)
    ready: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    ending: ShutdownSignals = field(
        default_factory=lambda: ShutdownSignals(clock=count().__next__)
    )  # signals are a second apart
    guard: Guard | None = None
    homes: dict[int, ComposeHome] = field(default_factory=dict)
    code: int | None = None
    error: BaseException | None = None

    def emit(self, event: Event) -> None:
        """Note the event."""
        if not self.faults.is_dead:
            self.events.append(event)
            if isinstance(event, Ready):
                self.ready.set()

    def event_lines(self) -> str:
        """All events, a line each."""
        return "\n".join(map(str, self.events))

    def go_on(self, requests: int | None = None) -> None:
        """Let its unfinished verbs of Compose make so many more requests each, or all."""
        for home in self.homes.values():
            home.left = [child for child in home.left if not child.go_on(requests)]

    def home(self, host: MemoryHost) -> ComposeHome:
        """The engine and faults that its verbs of Compose use."""
        return self.homes.setdefault(id(host), ComposeHome(host, self.faults))

    def interrupt(self, sign: signal.Signals = signal.SIGINT) -> None:
        """Send a signal: the first ends the command, the second hurries."""
        if not self.ending.hurry.is_set():  # a third would end this process
            self.ending.receive(sign)

    async def killed(self) -> None:
        """Kill the command at once, wherever it is; return when nothing of it runs."""
        self.faults.crash("kill -9")
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self.over.wait()

    async def serve(self, work: Callable[[], Awaitable[int]]) -> None:
        """Run the work to its end, however it ends."""
        self.faults.at_crash.append(self.machine.freeze)
        CURRENT.set(self)
        self.machine.commands.append(self)
        os.environ["XDG_STATE_HOME"] = str(self.machine.state.parent)
        self._scope = anyio.CancelScope()
        try:
            with self._scope:
                self.code = await work()
        except BaseException as caught:
            self.error = first(caught)
            if not isinstance(self.error, (DevenvError, Crash)):
                raise
        finally:
            if self.faults.is_dead:
                self.machine.thaw()
            self.over.set()
            self.ready.set()


def shown(command: Command) -> str:
    """How a command ended, for the message of an assertion."""
    return json.dumps({"code": command.code, "error": repr(command.error), "events": command.event_lines()}, indent=1)
