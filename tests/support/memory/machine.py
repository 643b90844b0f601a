"""A machine whose engines are in memory: whole commands of devenv, in this process and without children.

The state folder and the projects are real folders. Instead of child processes, Compose is `MemoryCompose` and the
guardian is `Guard`. Compose files are not read: a project is its resolved model.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup

from devenv.compose.outline import Selection
from devenv.run import up
from devenv.run.cleanup import down as down_verb
from devenv.run.cleanup import gc as gc_verb
from devenv.run.cleanup import recovery
from devenv.run.preload import UpOptions
from devenv.state.ledger import VolumePolicy
from devenv.state.run_dir import Run
from support.memory.client import MEMORY
from support.memory.clock import Clock
from support.memory.command import Command, Guard, Site, model, mounted, shown
from support.memory.host import MemoryHost
from support.memory.installed import installed
from support.memory.plain_docker import PlainCompose, PlainDocker

__all__ = ["Command", "Guard", "Machine", "Site", "model", "mounted", "shown"]

T = TypeVar("T")


@dataclass
class Machine:
    """A machine: engines by their addresses, one state folder, and the addresses in use."""

    folder: Path
    engines: dict[str, MemoryHost] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)  # by real path of the folder
    address: str = MEMORY.host
    owner: str = "state"  # the folder of the state; another person has another
    commands: list[Command] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        if not self.engines:
            self.engines[self.address] = MemoryHost()

    @property
    def host(self) -> MemoryHost:
        """The engine at the address in use."""
        return self.engines[self.address]

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / self.owner / "devenv-compose"

    def site(self, name: str, folder: str = "", **services: Mapping[str, Any]) -> Site:
        """Create a project with these services in a folder of that name, or of the project's."""
        path = self.folder / (folder or name)
        path.mkdir(exist_ok=True)
        return self.place(Site(path, name, model(name, **services)))

    def place(self, site: Site) -> Site:
        """Replace the project in its folder."""
        self.sites[os.path.realpath(site.folder)] = site
        return site

    def plain(self, site: Site) -> PlainCompose:
        """`docker compose` in the project's folder."""
        return PlainCompose(self.host, site.name, str(site.folder), site.model)

    @property
    def docker(self) -> PlainDocker:
        """`docker` on this machine, as others use it."""
        return PlainDocker(self.host)

    # --- commands -------------------------------------------------------------------------------------------

    async def up(self, site: Site, *services: str, tasks: TaskGroup, **options: Any) -> Command:
        """Start `up`; return its command when it is ready, or over."""
        command = Command(self)
        selection = Selection(str(site.folder), services=services)
        options = {"watch": False, "logs": False, "build": False, **options}

        async def work() -> int:
            return await up._up(UpOptions(selection, **options), command.emit, command.ending, None)

        tasks.start_soon(command.serve, work)
        await command.ready.wait()
        return command

    async def call(self, work: Callable[[Command], Awaitable[object]]) -> Command:
        """Run any other command with a command to emit by. A number that the work returns is the exit code."""
        command = Command(self)

        async def done() -> int:
            result = await work(command)
            return result if isinstance(result, int) else 0

        await command.serve(done)
        return command

    async def run_up(
        self, site: Site, *services: str, then: Callable[[], object] = lambda: None, **options: Any
    ) -> Command:
        """Run `up`, then `then`, then Ctrl-C; with `detach`, neither of these two."""
        async with anyio.create_task_group() as tasks:
            command = await self.up(site, *services, tasks=tasks, **options)
            if not command.over.is_set():
                if not options.get("detach"):
                    then()
                    command.interrupt()
                await command.over.wait()
        return command

    async def down(self, site: Site, wish: VolumePolicy = VolumePolicy.SAVE) -> Command:
        """`devenv down` with these options."""
        return await self.call(lambda command: down_verb.down(Selection(str(site.folder)), command.emit, wish))

    async def gc(self) -> Command:
        """`devenv gc`."""
        return await self.call(lambda command: gc_verb.gc(command.emit, dry_run=False))

    async def guard(self, of: Command) -> Command:
        """Let the guardian of a dead run clean up, unless it was killed, too."""
        command = Command(self)
        guard = of.guard
        if guard is not None and not guard.dismissed and not guard.dead:
            run = Run(guard.run.path)
            dead = recovery.identity(run)

            async def work() -> int:
                return int(
                    await recovery.attempt(run, guard.endpoint, dead, command.emit, lambda: None, is_first=True)
                )

            await command.serve(work)
            guard.dismissed = True
        return command

    async def cut_power(self, command: Command) -> None:
        """End the run, its guardian, its children and the engine at once; then start the engine."""
        await command.killed()
        if command.guard is not None:
            command.guard.dead = True
        for home in command.homes.values():
            home.left.clear()
        self.host.stop_engine()
        self.host.start_engine()

    # --- kill -9 --------------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """Copy the state folder at the moment of a crash: what still runs in this process must not change it."""
        frozen = self.folder / "state at crash"
        shutil.rmtree(frozen, ignore_errors=True)
        if self.state.parent.exists():
            shutil.copytree(self.state.parent, frozen, symlinks=True, ignore=shutil.ignore_patterns("socket"))

    def thaw(self) -> None:
        """Restore the state folder as it was at the moment of the crash."""
        frozen = self.folder / "state at crash"
        if frozen.exists():
            shutil.rmtree(self.state.parent, ignore_errors=True)
            frozen.rename(self.state.parent)

    def installed(self) -> contextlib.AbstractContextManager[Machine]:
        """Let commands in this process run on this machine, for the block."""
        return installed(self)

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work, with commands of this machine, and without waiting for time to pass."""
        with self.installed():
            return self.clock.run(work)
