"""Edits of the project's own files while it runs: noticed, and applied once they are valid."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace

import anyio
from anyio.abc import TaskGroup

from devenv.compose import resolve
from devenv.compose.files import inputs
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.events import Emit, Notice, Problem, Reloaded, Removed, Solved
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
from devenv.sync.host import scan, watcher
from devenv.sync.rules import lint, rules
from devenv.sync.session import SyncSession
from devenv.tasks import each

LOOK_EVERY = 0.02  # seconds between two looks at whether the files are in force
QUIET = 0.1  # seconds without an event: editors replace files, and save several of them

# Takes the edited project and the changed files; returns whether anything had to be done.
Act = Callable[[Loaded, tuple[str, ...]], Awaitable[bool]]
UntilBack = Callable[[], Awaitable[bool]]  # see `Transport.until_back`


@dataclass
class Reload:
    """Watches the project's files; an invalid state is reported once and changes nothing."""

    selection: Selection
    loaded: Loaded
    emit: Emit
    act: Act
    until_back: UntilBack
    _files: frozenset[str] = frozenset()
    _seen: Mapping[str, bytes | None] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)  # errors of the current, invalid state
    _rejected: Mapping[str, bytes | None] = field(default_factory=dict)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Until cancelled: check once, because the files were read some time ago, and then after every change."""
        while True:
            await self._find_files()
            files = self._files
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._listen, files)
                while self._files == files:
                    await self._until_quiet()
                    await self._look()
                    await self._find_files()
                tasks.cancel_scope.cancel()

    async def in_force(self) -> str:
        """Wait until the files as they are now are in force, or are rejected; return the error then, else ""."""
        while True:
            now = await anyio.to_thread.run_sync(_contents, self._files)
            if now and now == self._rejected:
                return next(iter(self._reported), "")
            if now and now == self._seen:
                return ""
            await anyio.sleep(LOOK_EVERY)

    async def _find_files(self) -> None:
        """Add the files that the project now consists of; removed files stay, because they may come back."""
        files = await anyio.to_thread.run_sync(inputs, self.selection.directory, self.selection.files)
        builds = [service.build for service in self.loaded.project.services if service.build]
        self._files |= files | {os.path.normpath(path) for build in builds for path in build.dockerignores}

    async def _listen(self, files: Iterable[str]) -> None:
        # The sync session reports what cannot be watched.
        source = watcher.TreeWatcher(files, lambda _: True, lambda _, __: None, {})
        await source.watch(lambda _: self._changed.set())

    async def _until_quiet(self) -> None:
        await self._changed.wait()
        while self._changed.is_set():
            self._changed = anyio.Event()
            await anyio.sleep(QUIET)

    async def _look(self) -> None:
        now = await anyio.to_thread.run_sync(_contents, self._files)
        if now == self._seen and not self._reported:
            return
        changed = [path for path in now if path in self._seen and now[path] != self._seen[path]]
        try:
            loaded = await resolve.load(self.selection, faults=lint.faults)
            if await self._have_changed(now):
                return
            is_applied = await self.act(loaded, self._shown(changed))
        except DevenvError as error:
            # The next event tries again: by then a port may be free, or an image present.
            if await self._have_changed(now):
                return
            if isinstance(error, EngineError) and await self.until_back():
                self._changed.set()
                return
            self._rejected = now
            if error.said not in self._reported:
                self._reported.add(error.said)
                self.emit(Problem(error.said, error.hint, path=self._main_file))
        else:
            self._seen, self._rejected = now, {}
            self._accept(loaded, is_applied=is_applied)

    async def _have_changed(self, before: Mapping[str, bytes | None]) -> bool:
        """Whether the files have changed since then. If so, half of an edit may have been read: look again."""
        if is_changed := before != await anyio.to_thread.run_sync(_contents, self._files):
            self._changed.set()
        return is_changed

    def _accept(self, loaded: Loaded, *, is_applied: bool) -> None:
        if self._reported:
            self.emit(Solved(self._main_file))
            if not is_applied:
                self.emit(Notice("the project's files are valid again, and nothing has to change"))
        self._reported.clear()
        for warning in [warning for warning in loaded.warnings if warning not in self.loaded.warnings]:
            self.emit(Notice(warning))
        self.loaded = loaded

    @property
    def _main_file(self) -> str:
        return self.loaded.project.files[0]

    def _shown(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths relative to the project, a link and its target once; the main file if there are no paths."""
        project = self.loaded.project
        by_target = {os.path.realpath(path): path for path in sorted(paths, key=os.path.islink)}
        return tuple(
            sorted(os.path.relpath(path, project.directory) for path in by_target.values() or project.files[:1])
        )


def _contents(files: Iterable[str]) -> dict[str, bytes | None]:
    """File -> digest of its content; None if it cannot be read."""
    digests: dict[str, bytes | None] = dict.fromkeys(files)
    for path in digests:
        if os.path.isfile(path):  # reading a pipe would block
            with contextlib.suppress(OSError), open(path, "rb") as file:
                digests[path] = hashlib.file_digest(file, "sha256").digest()
    return digests


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
