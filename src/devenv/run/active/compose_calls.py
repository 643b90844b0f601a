"""The desired state of an active project, and the Compose commands that change it, recorded, with clear errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

import anyio

from devenv.docker.cli import EarlyCommand, OnCreated
from devenv.docker.client import Engine
from devenv.docker.compose_failures import VerbError
from devenv.errors import DevenvError, RefusedError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import ProjectState
from devenv.model.project import Settings
from devenv.model.status import BAD
from devenv.private_files import written
from devenv.run.active.observe.observer import Observer
from devenv.run.active.start_order import OrderedStart, needs_compose
from devenv.run.desired import DesiredState
from devenv.state.identity import created
from devenv.state.run_dir import Run
from devenv.sync.rules.rules import BoundRule

Rules = tuple[Settings, tuple[BoundRule, ...]]


@dataclass
class CurrentState:
    """The state that all parts of an active project share."""

    desired: DesiredState
    created: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # service -> its model as created last
    rules: Rules | None = None
    seen: ProjectState | None = None  # what exists since the last create
    is_starting: bool = False  # during the first start
    # Whatever replaces containers of a service holds its lock.
    turns: defaultdict[str, anyio.Lock] = field(default_factory=lambda: defaultdict(anyio.Lock))


@dataclass
class ComposeCalls:
    """Compose on the desired state. The caller holds `turn`: Compose does one thing at a time."""

    engine: Engine
    run: Run
    current: CurrentState
    observer: Observer
    turn: anyio.Lock = field(default_factory=anyio.Lock)
    is_cut_off: bool = False  # a command did not run to its end: its last request may still take effect

    async def create(
        self,
        services: Sequence[str],
        *,
        force: bool = False,
        on_created: OnCreated = lambda *_: None,
        early: EarlyCommand | None = None,
    ) -> None:
        """Create the services' containers; their ids are on disk before anything starts.

        `early`: a command that has been started for all of our services.

        A call that is cut off leaves its window open, by which the objects that it created are recognized. Raises
        DevenvError; RefusedError if Compose would replace a container that is not ours.
        """
        await self._explained(self._create(services, on_created, early, force=force), services)

    async def start(self, services: Collection[str], project_state: ProjectState) -> None:
        """Start these services in order, in a state of the project. Raises the error of the service that failed."""
        desired = self.current.desired
        if needs_compose(desired.model_of(services)):
            running = {c.service for c in project_state.containers if c.running}
            compose = desired.compose_of({*services, *(running & desired.own)})  # it waits for these, too
            started = compose.start(sorted(services))
        else:
            failures = desired.compose_of(services).failures
            started = OrderedStart(self.engine, self.observer, failures).start(services, project_state)
        await self._explained(started, services)

    async def project_state(self) -> ProjectState:
        """The state of the project on the engine now."""
        return await self.engine.project_state(self.current.desired.project.name)

    async def _create(
        self, services: Sequence[str], on_created: OnCreated, early: EarlyCommand | None, *, force: bool
    ) -> None:
        before = await self.project_state()
        for container in before.containers:
            if container.service in services and not container.ours:
                message = f"{container.service}: not devenv, but somebody else created its container {container.name}"
                raise RefusedError(f"{message}, and Compose would replace it", hint=f"docker rm -f {container.name}")
        await self._forget_networks()
        window, reported = self.current.desired.window(before), set[tuple[str, str]]()
        with written(self.run.made.path):
            token = self.run.made.open(window)
        failure: DevenvError | None = None

        def note(kind: str, name: str) -> None:
            reported.add((kind, name))
            on_created(kind, name)

        try:
            making = self.current.desired.making
            await making.create(services, force=force, on_created=note, early=early)
        except DevenvError as error:
            failure = error
        after = self.current.seen = await self.project_state()
        with written(self.run.made.path):
            self.run.made.close(token, created(window, after, reported))
        if failure is not None:
            raise failure

    async def _forget_networks(self) -> None:
        """Let Compose create networks again that existed and have been removed in the meantime."""
        desired = self.current.desired
        if self.current.created and desired.existing.networks:
            networks = desired.existing.networks & await self.engine.networks.names()
            self.current.desired = replace(desired, existing=replace(desired.existing, networks=networks))

    async def _explained(self, verb: Awaitable[None], services: Collection[str]) -> None:
        was_cut_off, self.is_cut_off = self.is_cut_off, True  # until the verb has run to its end
        try:
            await verb
        except VerbError as error:
            self.is_cut_off = was_cut_off
            raise await self._reason(error, services) from error
        self.is_cut_off = was_cut_off

    async def _reason(self, error: VerbError, services: Collection[str]) -> DevenvError:
        """The error for a failed Compose call: that of a failed service that others wait for, or that of Compose."""
        self.observer.view.look_at(await self.project_state())
        for standing in self.observer.standings():
            named = any(f"{quote}{standing.service}{quote}" in error.reason for quote in '`"')
            if named and standing.service in services and standing.phase in BAD:
                return await self.observer.failure(standing)
        return await self.observer.reporter().refused(error, self.observer.project_state)
