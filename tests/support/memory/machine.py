"""One person's machine whose engines are in memory: whole commands of devenv, in this process and without children.

The state folder and the projects are real folders. What a command would start as a process stands in this one:
Compose is `MemoryCompose`, the guardian is `Guard`. Compose files are not read: a project is its resolved model.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup

from devenv.concurrent import first
from devenv.config import load
from devenv.config.load import Loaded, Selection
from devenv.config.parse import parse
from devenv.engine import process
from devenv.engine.api import Engine
from devenv.engine.endpoint import Endpoint
from devenv.errors import DevenvError
from devenv.lifecycle import down as down_verb
from devenv.lifecycle import gc as gc_verb
from devenv.lifecycle import guardian, health, stage, teardown, up
from devenv.lifecycle.ledger import Wish
from devenv.lifecycle.options import Options
from devenv.lifecycle.rundir import Run
from devenv.lifecycle.signals import Ending
from devenv.model.events import Event, Ready
from devenv.preflight import host as host_facts
from support.memory.client import MEMORY, MemoryEngine
from support.memory.compose import ComposeHome, MemoryCompose
from support.memory.faults import Crash, Faults
from support.memory.host import BASE_IMAGE, MemoryHost
from support.memory.outsider import PlainCompose, Stranger

CURRENT: ContextVar[Command] = ContextVar("current command")


@dataclass(frozen=True)
class Site:
    """A project: its folder, its name, and its resolved model."""

    folder: Path
    name: str
    model: Mapping[str, Any]

    def loaded(self, selection: Selection) -> Loaded:
        """What `load` would read."""
        model = {"name": selection.project_name or self.name, **copy.deepcopy(dict(self.model))}
        file = str(self.folder / "compose.yml")
        return Loaded(parse(model, directory=str(self.folder), files=(file,)), model)


def model(name: str, **services: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved model with these services, which are idle unless they say otherwise, and their named volumes."""
    idle = {"image": BASE_IMAGE, "command": ["sleep", "inf"], "networks": {"default": None}}
    full = {key: {**idle, **more} for key, more in services.items()}
    mounts = [one for service in full.values() for one in service.get("volumes") or ()]
    keys = {one["source"] for one in mounts if one.get("type") == "volume" and one.get("source")}
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
        """It stands by at once."""
        return True

    def dismiss(self) -> None:
        """The run has ended by itself."""
        if not CURRENT.get().faults.is_dead:
            self.dismissed = True


@dataclass
class Command:
    """One command of devenv: its faults, its guardian, its children, what it told and how it ended."""

    machine: Machine
    faults: Faults = field(default_factory=Faults)
    events: list[Event] = field(default_factory=list)
    ready: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)
    ending: Ending = field(default_factory=lambda: Ending(clock=count().__next__))  # signals are a second apart
    guard: Guard | None = None
    homes: dict[int, ComposeHome] = field(default_factory=dict)
    code: int | None = None
    error: BaseException | None = None

    def emit(self, event: Event) -> None:
        """Heard by whoever types the command."""
        if not self.faults.is_dead:
            self.events.append(event)
            if isinstance(event, Ready):
                self.ready.set()

    def told(self) -> str:
        """Every event, a line each."""
        return "\n".join(map(str, self.events))

    def home(self, host: MemoryHost) -> ComposeHome:
        """What its verbs of Compose run on."""
        return self.homes.setdefault(id(host), ComposeHome(host, self.faults))

    def interrupt(self, sign: signal.Signals = signal.SIGINT) -> None:
        """A signal: the first one ends it, the second hurries."""
        if not self.ending.hurry.is_set():  # a third would end this process
            self.ending.receive(sign)

    async def killed(self) -> None:
        """`kill -9` now, wherever it is, seen from outside; returns once nothing of it runs."""
        self.faults.crash("kill -9")
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self.over.wait()

    async def serve(self, work: Callable[[], Awaitable[int]]) -> None:
        """The work to its end, however that comes."""
        self.faults.at_crash.append(self.machine.freeze)
        CURRENT.set(self)
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


@dataclass
class Machine:
    """Where devenv is typed: engines by their addresses, one state folder, and the addresses in force."""

    folder: Path
    engines: dict[str, MemoryHost] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)  # by real path of the folder
    address: str = MEMORY.host

    def __post_init__(self) -> None:
        if not self.engines:
            self.engines[self.address] = MemoryHost()

    @property
    def host(self) -> MemoryHost:
        """The engine at the address in force."""
        return self.engines[self.address]

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state" / "devenv-compose"

    def site(self, name: str, folder: str = "", **services: Mapping[str, Any]) -> Site:
        """A project with these services in a folder of that name, or of the project's."""
        path = self.folder / (folder or name)
        path.mkdir(exist_ok=True)
        return self.place(Site(path, name, model(name, **services)))

    def place(self, site: Site) -> Site:
        """The project as it is written from now on in its folder."""
        self.sites[os.path.realpath(site.folder)] = site
        return site

    def plain(self, site: Site) -> PlainCompose:
        """`docker compose` in the project's folder."""
        return PlainCompose(self.host, site.name, str(site.folder), site.model)

    @property
    def docker(self) -> Stranger:
        """`docker`, as anybody types it."""
        return Stranger(self.host)

    # --- commands -------------------------------------------------------------------------------------------

    async def up(self, site: Site, *services: str, tasks: TaskGroup, **options: Any) -> Command:
        """A command `up` that is ready, or over."""
        command = Command(self)
        selection = Selection(str(site.folder), services=services)
        options = {"watch": False, "logs": False, "build": False, **options}

        async def work() -> int:
            return await up._up(Options(selection, **options), command.emit, command.ending, None)

        tasks.start_soon(command.serve, work)
        await command.ready.wait()
        return command

    async def run_up(
        self, site: Site, *services: str, then: Callable[[], object] = lambda: None, **options: Any
    ) -> Command:
        """A whole run: up, `then` while all is up, and Ctrl-C; with `detach`, all but that."""
        async with anyio.create_task_group() as tasks:
            command = await self.up(site, *services, tasks=tasks, **options)
            if not command.over.is_set():
                if not options.get("detach"):
                    then()
                    command.interrupt()
                await command.over.wait()
        return command

    async def down(self, site: Site, wish: Wish = Wish.SAVE) -> Command:
        """`devenv down`, with that wish."""
        command = Command(self)
        await command.serve(lambda: down_verb.down(Selection(str(site.folder)), command.emit, wish))
        return command

    async def gc(self) -> Command:
        """`devenv gc`."""
        command = Command(self)
        await command.serve(lambda: gc_verb.gc(command.emit, dry_run=False))
        return command

    async def guard(self, of: Command) -> Command:
        """The guardian of a dead run does what it stands by for, if it was not killed, too."""
        command = Command(self)
        guard = of.guard
        if guard is not None and not guard.dismissed and not guard.dead:
            await command.serve(lambda: guardian._finish(Run(guard.run.path), guard.endpoint))
            guard.dismissed = True
        return command

    # --- kill -9 --------------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """The state folder as it is in the moment of a crash: what runs on in this process must not change it."""
        frozen = self.folder / "state at crash"
        shutil.rmtree(frozen, ignore_errors=True)
        if self.state.parent.exists():
            shutil.copytree(self.state.parent, frozen, symlinks=True)

    def thaw(self) -> None:
        """The state folder as it was in the moment of the crash."""
        frozen = self.folder / "state at crash"
        if frozen.exists():
            shutil.rmtree(self.state.parent, ignore_errors=True)
            frozen.rename(self.state.parent)

    @contextlib.contextmanager
    def installed(self) -> Iterator[Machine]:
        """While it lasts, commands of this process are those of the machine."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(self.folder / "state"))
            patch.setenv("XDG_CONFIG_HOME", str(self.folder / "config"))
            patch.delenv("DOCKER_CONTEXT", raising=False)
            patch.setattr(Engine, "connect", self._connect)
            patch.setattr(stage, "Compose", self._compose)
            patch.setattr(up, "Guardian", self._guardian)
            patch.setattr(load, "load", self._load)
            patch.setattr(process, "record_children", lambda _: None)
            patch.setattr(process, "end_recorded", _nobody)
            patch.setattr(host_facts, "machine", lambda _: {})
            patch.setattr(health, "QUIET", 0.0)
            patch.setattr(teardown, "SWEEP_PAUSE", 0.0)
            yield self

    @contextlib.asynccontextmanager
    async def _connect(self, endpoint: Endpoint | None = None) -> AsyncIterator[MemoryEngine]:
        endpoint = endpoint or Endpoint(self.address)
        if endpoint.host not in self.engines:
            endpoint = Endpoint(self.address)
        async with MemoryEngine.on(self.engines[endpoint.host], endpoint, CURRENT.get().faults) as engine:
            yield engine

    def _compose(self, project: str, directory: str, text: bytes, given: Any = None) -> MemoryCompose:
        return MemoryCompose(project, directory, text, given or {}, home=CURRENT.get().home(self.host))

    def _guardian(self, endpoint: str, context: str | None, run: Run, _terminal: str = "") -> Guard:
        guard = Guard(Endpoint(endpoint, context), run)
        CURRENT.get().guard = guard
        return guard

    async def _load(self, selection: Selection, **_: Any) -> Loaded:
        return self.sites[os.path.realpath(selection.directory)].loaded(selection)


async def _nobody(*_: Any) -> None:
    """There are no children in memory."""


def shown(command: Command) -> str:
    """How a command ended, for the message of an assertion."""
    return json.dumps({"code": command.code, "error": repr(command.error), "told": command.told()}, indent=1)
