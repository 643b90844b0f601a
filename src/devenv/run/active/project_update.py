"""Edited files of the project, applied to the containers, rules and volumes of its run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import field, replace

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import ConfigError
from devenv.events import Emit, Notice, Reloaded, Removed
from devenv.host.listeners import require_free
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState
from devenv.run.active import model_diff
from devenv.run.active.compose_calls import CurrentState, Rules
from devenv.run.active.model_diff import Difference
from devenv.run.active.observe.observer import Observer
from devenv.run.active.replace import ServiceReplacement
from devenv.run.active.volumes import RunVolumes
from devenv.run.bind_sources import missing_folders
from devenv.run.consent import dangers_of, report_new_dangers
from devenv.run.desired import DesiredState, build, chosen, observe, supplied, with_ports
from devenv.run.preload import UpOptions
from devenv.run.remote_files import adapted, without_place
from devenv.sync.host import scan
from devenv.sync.rules import rules
from devenv.sync.session import SyncSession
from devenv.tasks import each


@dataclass
class ProjectUpdate:
    """Applies the edited files to the running project."""

    options: UpOptions
    emit: Emit
    engine: Engine
    current: CurrentState
    observer: Observer
    volumes: RunVolumes
    sync_session: SyncSession
    actions: ServiceReplacement
    tasks: TaskGroup
    _dangers: frozenset[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        self._dangers = dangers_of(self.current.desired.loaded, self.current.desired.names)

    async def apply(self, loaded: Loaded, files: tuple[str, ...]) -> bool:
        """Apply the edited project. Return whether anything had to be done.

        Raises DevenvError, with everything as before, if the edit cannot be applied. If only a part of it failed,
        that part is tried again at the next change.
        """
        began, before = time.monotonic(), self.current.desired
        loaded = await self._adapted(loaded)
        await self._require_adoptable(loaded)
        project_state = await self.engine.project_state(loaded.project.name)
        after = await self._desired(loaded, project_state)
        rules_now = await bound_rules(after, watch=self.options.watch)
        foreign = after.existing.foreign_services
        created = {name: model for name, model in self.current.created.items() if name not in foreign}
        change = model_diff.between(created, after.services)
        self._report_foreign(loaded, foreign)
        if not change and rules_now == self.current.rules:
            self._enter(after)
            return False
        async with contextlib.AsyncExitStack() as turns:
            for service in change.touched:
                await turns.enter_async_context(self.current.turns[service])
            after = await self._prepared(after, change)
            has_new_rules = rules_now != self.current.rules
            removed = [c for c in self.volumes.ledger.containers(project_state) if c.service in change.gone]
            old = [c for c in project_state.containers if c.service in change.touched]
            async with self.actions.ending([*old, *removed]):
                self._enter(after)
                now = await self._replace(change, removed, rules_now)
        gone, seconds = tuple(sorted({c.service for c in removed})), round(time.monotonic() - began, 2)
        self.emit(Reloaded(files, *change.outcome(project_state, now), gone, rules=has_new_rules, seconds=seconds))
        for port in [port for port in after.ports if after.auto and port not in before.ports]:
            self.emit(Notice(f"{port.service} {port.target} is published on port {port.published}"))
        await self.actions.drop_images(old, now)
        return True

    async def follow(self, rules_now: Rules) -> None:
        """Sync by these rules from now on."""
        self.current.rules = rules_now
        await self.sync_session.follow(self.tasks, self.current.desired.project, rules_now[1])

    async def _require_adoptable(self, loaded: Loaded) -> None:
        if difference := model_diff.fixed(self.current.desired.loaded.model, loaded.model):
            path, why = difference
            file, line = await anyio.to_thread.run_sync(resolve.where, self.options.selection, path)
            raise ConfigError(f"{why}: that takes a new run", hint="Ctrl-C, then: devenv up", file=file, line=line)

    async def _adapted(self, loaded: Loaded) -> Loaded:
        """The project for the engine; what is newly replaced for it is reported."""
        names = chosen(loaded.project, self.options.selection.services)
        after = await adapted(loaded, names, self.options.selection, self.volumes.volume_transfer)
        known = {without_place(message) for message in self.current.desired.loaded.replaced}
        for message in after.replaced:
            if without_place(message) not in known:
                self.emit(Notice(message))
        return after

    async def _desired(self, loaded: Loaded, project_state: ProjectState) -> DesiredState:
        after = replace(
            self.current.desired,
            loaded=loaded,
            names=chosen(loaded.project, self.options.selection.services),
            existing=await observe(self.engine, project_state),
        )
        self._dangers = report_new_dangers(loaded, after.names, self.emit, self._dangers)
        return await with_ports(after, self.options, self.engine, project_state)

    def _report_foreign(self, loaded: Loaded, foreign: Iterable[str]) -> None:
        """Report services that others have started or replaced: they stay unchanged, whatever the files say."""
        before, now = self.current.desired.loaded.model["services"], loaded.model["services"]
        for name in sorted(foreign):
            if before.get(name) != now.get(name):
                message = f"{name} stays as it is: not devenv, but plain Compose or Docker made a container of it"
                hint = f"docker compose up -d {name}" if name in now else f"docker compose rm -sf {name}"
                self.emit(Notice(message, hint))

    async def _prepared(self, after: DesiredState, change: Difference) -> DesiredState:
        """The desired state once its ports are free and its images exist, before any running container is touched."""
        if self.engine.endpoint.has_ports:
            before = self.current.desired
            own_ports = set(before.wanted_ports(before.own))
            await require_free([p for p in after.wanted_ports(change.touched) if p not in own_ports], self.engine)
        if change.images:
            after = await supplied(self.engine, after, change.images, self.options.images, self.emit)
        if change.images and self.options.build:
            await build(after, [name for name in change.images if name in after.built], self.emit)
        transfer = self.volumes.volume_transfer
        folders = await missing_folders(transfer, after, self.options.selection, change.touched)
        return replace(after, folders=folders)

    def _enter(self, after: DesiredState) -> None:
        self.current.desired = after
        self.observer.view.follow(after.project, after.names)

    async def _replace(self, change: Difference, removed: Sequence[Container], rules_now: Rules) -> ProjectState:
        for service in change.touched:
            self.current.created.pop(service, None)  # until it has been created
        await self.volumes.begin(fresh=self.options.fresh)
        await each(self._remove, removed)
        for service in change.gone:
            self.current.created.pop(service, None)
        try:
            if rules_now != self.current.rules:
                await self.follow(rules_now)
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
    """The settings and the rules of the chosen services; unless `watch`, only those in place of bind mounts."""
    mounts = desired.loaded.remote.mounts if desired.loaded.remote else {}
    if not watch and not mounts:
        return desired.project.settings, ()
    ignores = await anyio.to_thread.run_sync(scan.dockerignores, desired.project)
    bound = rules.bind(desired.project, ignores)
    chosen_rules = (rule for rule in bound if rule.service in desired.names)
    return desired.project.settings, tuple(r for r in chosen_rules if watch or (r.service, r.index) in mounts)
