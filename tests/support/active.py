"""An active project on an engine in memory: the same objects as in a run, without `up` around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio

from devenv.compose.outline import Selection
from devenv.docker.client import Engine
from devenv.events import Event
from devenv.model.containers import Container, ProjectState
from devenv.run.active.project import ActiveProject
from devenv.run.desired import DesiredState, chosen, observe, with_ports
from devenv.run.preload import UpOptions
from devenv.state import ledger as ledgers
from devenv.state.run_dir import key_of, open_run, place_of
from devenv.volumes.transfer import volume_transfer
from support.memory.command import CURRENT, Command, model
from support.memory.machine import Machine, Site

E = TypeVar("E", bound=Event)


@dataclass
class Active:
    """A project, its machine, and the command that receives its events."""

    machine: Machine
    site: Site
    project: ActiveProject
    command: Command

    def events(self, kind: type[E]) -> list[E]:
        """All events of that kind so far."""
        return [event for event in self.command.events if isinstance(event, kind)]

    def containers(self, service: str) -> tuple[Container, ...]:
        """The containers of a service as last observed."""
        return self.project.observer.project_state.of(service)

    async def up(self) -> None:
        """Create and start everything, and wait until all is healthy."""
        await self.project.volumes.begin(fresh=False)
        await self.project.create()
        await self.project.sync()
        await self.project.start()
        with anyio.fail_after(5):
            await self.project.observer.until_ready()

    async def observed(self) -> ProjectState:
        """The state of the engine, which the observer has seen, too."""
        state = await self.project.engine.project_state(self.site.name)
        self.project.observer.view.look_at(state)
        return state

    async def reload(self, **services: Mapping[str, Any]) -> bool:
        """Change the project's file and reload it; return if there was anything to do."""
        self.site = replace(self.site, model=model(self.site.name, **services))
        self.machine.place(self.site)
        await self.observed()
        loaded = self.site.loaded(Selection(str(self.site.folder)))
        return await self.project.update.apply(loaded, ("compose.yml",))


@contextlib.asynccontextmanager
async def active(machine: Machine, site: Site, *services: str, **options: Any) -> AsyncIterator[Active]:
    """The project before its volumes, networks and containers are created; `options` are those of `up`."""
    command = Command(machine)
    CURRENT.set(command)
    machine.commands.append(command)
    selection = Selection(str(site.folder), services=services)
    chosen_options = UpOptions(selection, **{"watch": False, "logs": False, "build": False, **options})
    async with Engine.connect() as engine:
        run = await open_run(engine, site.name)
        loaded = site.loaded(selection)
        project_state = await engine.project_state(site.name)
        desired = DesiredState(
            loaded, chosen(loaded.project, services), await observe(engine, project_state), owner=run.made.owner
        )
        desired = await with_ports(desired, chosen_options, engine, project_state)
        place = place_of(loaded.project.directory)
        ledger = ledgers.begin(
            project_state,
            desired.existing.times,
            project=site.name,
            place=place,
            engine=await key_of(engine),
            endpoint=engine.endpoint.host,
            context=None,
        )
        transfer = volume_transfer(engine, command.emit, run, site.name, place.path)
        async with anyio.create_task_group() as tasks:
            project = ActiveProject(tasks, chosen_options, transfer, ledger, desired)
            yield Active(machine, site, project, command)
            tasks.cancel_scope.cancel()
        await project.sync_session.end()
