"""Actions on single services of a running project: containers restarted, stopped or replaced."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace

from devenv.docker.client import Engine
from devenv.errors import DevenvError, EngineError, UsageError
from devenv.events import Emit, Notice, Problem, Rebuilt, Restarted, Step
from devenv.images.prepare import prepare_images
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState
from devenv.model.images import ImageOptions
from devenv.run.active.compose_calls import ComposeCalls, CurrentState
from devenv.run.active.dependents import DependentRestarts
from devenv.run.active.observe.observer import Observer
from devenv.run.active.phases import awaited
from devenv.run.active.volumes import RunVolumes
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.desired import build, observe
from devenv.state import unfinished
from devenv.tasks import each


@dataclass
class ServiceReplacement:
    """The actions requested by users, saved files and the engine's return (`sync.actions.ServiceActions`)."""

    engine: Engine
    emit: Emit
    images: ImageOptions
    current: CurrentState
    observer: Observer
    compose: ComposeCalls
    volumes: RunVolumes
    logs: KeptLogs
    dependents: DependentRestarts
    first_sync: Callable[[Container], Awaitable[None]]

    def is_at_work(self, service: str) -> bool:
        """Whether containers of the service are being replaced or restarted, or are about to be."""
        turn = self.current.turns.get(service)
        return service in self.dependents.pending or (turn is not None and turn.locked())

    async def rebuild(self, service: str, cause: str) -> None:
        """Build the service's image again and replace its containers; `cause`: the file that changed, if any."""
        began = time.monotonic()
        self.emit(Step("rebuild", "begin", f"{service}: {f'{cause} changed' if cause else 'somebody asked for it'}"))
        async with self.current.turns[service]:
            desired = self.current.desired
            if not await desired.supply.is_current(desired.only((service,))):
                prepared = await prepare_images(
                    self.engine, desired.only((service,)), self.images, self.emit, reported=desired.supply.reported
                )
                desired = self.current.desired  # read again: edited files may have been applied in the meantime
                self.current.desired = replace(desired, supply=prepared.merged_over(desired.supply))
            await build(self.current.desired, (service,), self.emit)
            await self._replace(service)
        self.emit(Step("rebuild", "end", service, time.monotonic() - began))
        self.emit(Rebuilt(service, cause, round(time.monotonic() - began, 2)))

    async def recreate(self, service: str, cause: str) -> None:
        """Replace the service's containers by new ones of the existing image, with the files of the source tree."""
        began = time.monotonic()
        async with self.current.turns[service]:
            await self._replace(service)
        self.emit(Restarted(service, cause, round((time.monotonic() - began) * 1000, 1)))

    async def restart(self, service: str) -> None:
        """Restart the service's containers, and start those that have ended.

        If they have been removed, they are created again with all other removed containers; if they have lost a
        network, they are replaced.
        """
        if self._is_gone(service):
            await self._create_gone([name for name in sorted(self.current.desired.own) if self._is_gone(name)])
            return
        if self.observer.view.has_lost_network(service):
            await self.recreate(service, "")
            return
        began = time.monotonic()
        async with self.current.turns[service]:
            containers = self._own_containers(service, "restart")
            async with self.restarting(containers, again=True):
                await each(self.engine.containers.restart, containers)
        self.emit(Restarted(service, "", round((time.monotonic() - began) * 1000, 1)))

    async def finish(self, project_state: ProjectState) -> None:
        """Finish what the last process of the run had begun when it was killed. An error is reported.

        Containers that it had ended, or was about to restart, are restarted, those of removed services are removed.
        """
        begun, gone = unfinished.among(self.compose.run, project_state.containers, self.observer.view.names)
        try:
            await each(self.engine.containers.stop, gone)
            await each(lambda container: self.engine.containers.remove(container.id), gone)
            if begun:
                async with self.restarting(begun, again=True):
                    await each(self.engine.containers.restart, begun)
        except EngineError as error:
            self.emit(Problem(error.message, error.hint))

    async def stop(self, service: str) -> None:
        """Stop the service's containers until they are started again. Raises UsageError if they are not ours."""
        async with self.current.turns[service]:
            containers = self._own_containers(service, "stop")
            with self.observer.view.ending(containers):
                await each(self.engine.containers.stop, containers)
            self.observer.view.watch.stopped(containers)
        self.emit(Notice(f"{service} is stopped"))

    async def resume(self, ended: Sequence[Container]) -> None:
        """Start the containers that ended with the engine, now that the engine is back."""
        names = sorted({c.service for c in ended})
        async with self.ending(ended):
            try:
                await self._start(names, self.observer.project_state)
            except DevenvError as error:
                self.emit(Problem(f"the engine is back, but not all services: {error.message}", error.hint))
                return
        self.emit(Notice(f"the engine was away; started again: {', '.join(names)}"))

    async def create_again(self, services: Sequence[str], *, force: bool = False) -> ProjectState:
        """Create these services' containers that are missing or changed, sync and start them.

        Returns the state of the project after that. `force` replaces unchanged containers, too. Raises DevenvError;
        the containers that were created before the error run anyway.
        """
        failure = None
        try:
            await self.compose.create(services, force=force)
        except DevenvError as error:
            failure = error
        project_state = await self.compose.project_state()
        new = [c for c in project_state.containers if c.service in services and c.state == "created"]
        try:
            await each(self.first_sync, new)
        finally:
            if names := {c.service for c in new}:
                await self._start(names, project_state)
        if failure is not None:
            raise failure
        return project_state

    async def _start(self, names: Collection[str], project_state: ProjectState) -> None:
        await self.compose.start(self.current.desired.starting(names), project_state)

    async def drop_images(self, old: Iterable[Container], project_state: ProjectState) -> None:
        """Remove the images that only the replaced containers used and that have no tag any more."""
        images = self.engine.images
        for image in {c.image for c in old} - {c.image for c in project_state.containers}:
            with contextlib.suppress(EngineError):  # a leftover image is no reason to fail
                if not await images.tags(image):
                    await images.remove(image)

    @contextlib.asynccontextmanager
    async def ending(self, containers: Collection[Container]) -> AsyncIterator[None]:
        """While the context is open, these containers may end: Compose waits for none, and no end is a failure.

        The volumes that they leave behind are entered in the ledger first, and their logs are kept.
        """
        async with self.compose.turn:
            self.volumes.note_anonymous(containers)
            await each(lambda c: self.logs.keep(self.engine, c, self.volumes.ledger.began), containers)
            with self.observer.view.ending(containers), unfinished.replacing(self.compose.run, containers):
                yield

    @contextlib.asynccontextmanager
    async def restarting(self, containers: Sequence[Container], *, again: bool = False) -> AsyncIterator[None]:
        """Like `ending`, for containers that stay; dependents with `restart: true` are restarted, too.

        `again`: the next keeper begins a restart that was not begun before this process was killed.
        During the first start, containers that run already, and that no other waits for, need not wait for its end.
        """
        waited_for = awaited(self.current.desired.project, self.observer.project_state)
        is_free = self.current.is_starting and all(c.running and c.service not in waited_for for c in containers)
        async with contextlib.nullcontext() if is_free else self.compose.turn:
            with (
                self.observer.view.ending(containers),
                unfinished.restarting(self.compose.run, containers, again=again),
            ):
                yield
        self.dependents.after({c.service for c in containers})

    async def _replace(self, service: str) -> None:
        old = self.observer.project_state.of(service)
        async with self.ending(old):
            self.current.desired = self.current.desired.renewed(service)
            project_state = await self.create_again((service,), force=True)
        self.dependents.after((service,))
        await self.drop_images(old, project_state)

    async def refill(self, old: Sequence[Container], empty: Callable[[], Awaitable[None]]) -> None:
        """Stop and remove these containers, call `empty`, which may remove volumes, and create all of that again.

        The error of `empty` is raised once the services have been started again.
        """
        services, failure = sorted({c.service for c in old}), None
        async with self._turns(services), self.ending(old):
            await each(self.engine.containers.stop, old)
            await each(lambda container: self.engine.containers.remove(container.id), old)
            try:
                await empty()
            except (DevenvError, OSError) as error:
                failure = error
            self.observer.view.look_at(await self._create_missing(services))
        self.dependents.after(services)
        if failure is not None:
            raise failure

    async def _create_gone(self, services: Sequence[str]) -> None:
        """Create the removed containers of these services again, and removed networks and volumes, too."""
        began = time.monotonic()
        async with self._turns(services), self.ending(()):
            await self._create_missing(services)
        for service in services:
            self.emit(Restarted(service, "", round((time.monotonic() - began) * 1000, 1)))

    @contextlib.asynccontextmanager
    async def _turns(self, services: Iterable[str]) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as turns:
            for service in services:
                await turns.enter_async_context(self.current.turns[service])
            yield

    async def _create_missing(self, services: Sequence[str]) -> ProjectState:
        existing = await observe(self.engine, await self.compose.project_state())
        self.current.desired = replace(self.current.desired, existing=existing)
        await self.volumes.begin(fresh=False)
        return await self.create_again(services) if services else await self.compose.project_state()

    def _is_gone(self, service: str) -> bool:
        """Whether Compose has created containers of the service and all of them have been removed."""
        is_created = bool(self.current.created) and not self.current.is_starting
        return is_created and service in self.current.desired.own and not self.observer.project_state.of(service)

    def _own_containers(self, service: str, verb: str) -> Sequence[Container]:
        containers = self.observer.project_state.of(service)
        if not containers:
            raise UsageError(f"{service} has no container yet")
        if not all(c.ours for c in containers):
            message = f"{service} is left alone: not devenv, but plain Compose or Docker made its container"
            raise UsageError(message, hint=f"docker compose {verb} {service}")
        return containers
