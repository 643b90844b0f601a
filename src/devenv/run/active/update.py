"""Edited files of a project put in force while it runs: only what differs is acted on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import ConfigError
from devenv.events import Emit, Notice, Reloaded, Removed
from devenv.host.listeners import require_free
from devenv.model.containers import Container, ProjectState
from devenv.run.active import model_diff
from devenv.run.active.current import CurrentState, Rules
from devenv.run.active.images import build, supplied
from devenv.run.active.model_diff import Difference
from devenv.run.active.observe.observer import Observer
from devenv.run.active.replace import ServiceReplacement
from devenv.run.active.volumes import ActiveVolumes
from devenv.run.consent import dangers_of, report_new_dangers
from devenv.run.desired import DesiredState, chosen, observe, with_ports
from devenv.run.options import Options
from devenv.sync.host import scan
from devenv.sync.rules import rules
from devenv.sync.session import SyncSession
from devenv.tasks import each


@dataclass
class ProjectUpdate:
    """Brings a project that runs to what its files say now."""

    options: Options
    emit: Emit
    engine: Engine
    current: CurrentState
    observer: Observer
    volumes: ActiveVolumes
    sync_session: SyncSession
    actions: ServiceReplacement
    _dangers: frozenset[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self._dangers = dangers_of(self.current.desired.loaded, self.current.desired.names)

    async def apply(self, tasks: TaskGroup, loaded: Loaded, files: tuple[str, ...]) -> bool:
        """Put the project as it is written now in force; returns whether anything had to be done.

        Raises DevenvError, with everything as before, for what cannot be in force. If only a part of it failed,
        that part is tried again at the next change.
        """
        began = time.monotonic()
        await self._require_changeable(loaded)
        before = self.current.desired
        project_state = await self.engine.project_state(loaded.project.name)
        after = await self._desired(loaded, project_state)
        rules_now = await bound_rules(after, watch=self.options.watch)
        theirs = after.found.foreign_services
        ours = {name: model for name, model in self.current.created.items() if name not in theirs}
        change = model_diff.between(ours, after.services)
        self._report_foreign(loaded, theirs)
        if not change and rules_now == self.current.rules:
            self._enter(after)
            return False
        async with contextlib.AsyncExitStack() as turns:
            for service in change.touched:
                await turns.enter_async_context(self.current.turns[service])
            after = await self._prepared(after, change)
            event = Reloaded(files, rules=rules_now != self.current.rules)
            removed = [c for c in self.volumes.ledger.containers(project_state) if c.service in change.gone]
            old = [c for c in project_state.containers if c.service in change.touched]
            async with self.actions.ending([*old, *removed]):
                self._enter(after)
                now = await self._replace(tasks, change, removed, rules_now)
        event = replace(event, seconds=round(time.monotonic() - began, 2))
        self.emit(_with_outcome(event, change, removed, project_state, now))
        for port in [port for port in after.ports if after.auto and port not in before.ports]:
            self.emit(Notice(f"{port.service} {port.target} is published on port {port.published}"))
        await self.actions.drop_images(old, now)
        return True

    async def follow(self, tasks: TaskGroup, rules_now: Rules) -> None:
        """Put these rules in force for the sync."""
        self.current.rules = rules_now
        await self.sync_session.follow(tasks, self.current.desired.project, rules_now[1])

    async def _require_changeable(self, loaded: Loaded) -> None:
        if fixed := model_diff.fixed(self.current.desired.loaded.model, loaded.model):
            path, why = fixed
            file, line = await anyio.to_thread.run_sync(resolve.where, self.options.selection, path)
            raise ConfigError(f"{why}: that takes a new run", hint="Ctrl-C, then: devenv up", file=file, line=line)

    async def _desired(self, loaded: Loaded, project_state: ProjectState) -> DesiredState:
        after = replace(
            self.current.desired,
            loaded=loaded,
            names=chosen(loaded.project, self.options.selection.services),
            found=await observe(self.engine, project_state),
        )
        self._dangers = report_new_dangers(loaded, after.names, self.emit, self._dangers)
        return await with_ports(after, self.options, self.engine, project_state)

    def _report_foreign(self, loaded: Loaded, theirs: Iterable[str]) -> None:
        """Report services that others have started or replaced: they stay as they are, whatever the files say."""
        before, now = self.current.desired.loaded.model["services"], loaded.model["services"]
        for name in sorted(theirs):
            if before.get(name) != now.get(name):
                message = f"{name} stays as it is: not devenv, but plain Compose or Docker made a container of it"
                hint = f"docker compose up -d {name}" if name in now else f"docker compose rm -sf {name}"
                self.emit(Notice(message, hint))

    async def _prepared(self, after: DesiredState, change: Difference) -> DesiredState:
        """The desired state with its ports free and its images there, before anything that runs is touched."""
        if self.engine.endpoint.local:
            before = self.current.desired
            mine = set(before.wanted_ports(before.own))
            await require_free([p for p in after.wanted_ports(change.touched) if p not in mine], self.engine)
        if not change.images:
            return after
        after = await supplied(self.engine, after, change.images, self.options, self.emit)
        if self.options.build:
            await build(after, [name for name in change.images if name in after.built], self.emit)
        return after

    def _enter(self, after: DesiredState) -> None:
        self.current.desired = after
        self.observer.view.follow(after.project, after.names)

    async def _replace(
        self, tasks: TaskGroup, change: Difference, removed: Sequence[Container], rules_now: Rules
    ) -> ProjectState:
        created = self.current.created
        for service in change.touched:
            created.pop(service, None)  # until it is known to be created
        await self.volumes.begin(tasks, fresh=self.options.fresh)
        await each(self._remove, removed)
        for service in change.gone:
            created.pop(service, None)
        try:
            if rules_now != self.current.rules:
                await self.follow(tasks, rules_now)
                self.observer.served.start_all_again()
            if change.touched:
                await self.actions.create_again(change.touched)
                self.actions.dependents.after(change.touched)
        finally:
            self.sync_session.open()
        self.current.created = dict(self.current.desired.services)
        return await self.engine.project_state(self.current.desired.project.name)

    async def _remove(self, container: Container) -> None:
        await self.engine.containers.stop(container)
        await self.engine.containers.remove(container.id)
        self.emit(Removed("container", container.name))


async def bound_rules(desired: DesiredState, *, watch: bool) -> Rules:
    """The settings and the rules of the chosen services; no rules unless `watch`."""
    if not watch:
        return desired.project.settings, ()
    ignores = await anyio.to_thread.run_sync(scan.dockerignores, desired.project)
    bound = rules.bind(desired.project, ignores)
    return desired.project.settings, tuple(rule for rule in bound if rule.service in desired.names)


def _with_outcome(
    event: Reloaded, change: Difference, removed: Iterable[Container], before: ProjectState, after: ProjectState
) -> Reloaded:
    """The event with what became of the services, by the ids of their containers."""
    ids = [(name, {c.id for c in before.of(name)}, {c.id for c in after.of(name)}) for name in change.touched]
    return replace(
        event,
        recreated=tuple(name for name, was, now in ids if was - now and now - was),
        added=tuple(name for name, was, now in ids if now and not was),
        scaled=tuple(name for name, was, now in ids if was and (was < now or now < was)),
        removed=tuple(sorted({c.service for c in removed})),
    )
