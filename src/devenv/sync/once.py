"""`devenv sync`: bring all containers of a project up to date with the source tree once; `--verify` compares them."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import unknown
from devenv.events import Compared, Emit, Event, Notice, Problem, ServiceState, Synced
from devenv.explain.log_lines import LevelReader
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.project import Project
from devenv.model.ps import stands
from devenv.model.sync_plan import Delete, Plan, ServicePlan, Sync
from devenv.paths import below, is_within
from devenv.state.run_dir import Run, open_run
from devenv.sync import planner, reconcile
from devenv.sync.code_health import CodeWatch
from devenv.sync.container import readback
from devenv.sync.container.journal import SyncJournal
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.readback import Seen
from devenv.sync.container.target import Target
from devenv.sync.host import link_loops, manifest, scan
from devenv.sync.host.file_state import FileKind
from devenv.sync.host.manifest import Changes, Manifest
from devenv.sync.rules import lint, rules
from devenv.sync.rules.rules import BoundRule
from devenv.sync.service_state import SHOWN_PATHS, SyncReport, process_mark
from devenv.tasks import each, task_group

SILENT = 1.0  # seconds
TICK = 0.05


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """The options of `devenv sync`."""

    selection: Selection
    services: tuple[str, ...] = ()
    verify: bool = False
    dry_run: bool = False


# Gives the project watch rules in place of bind mounts, if the engine does not see the files of this machine.
Adapt = Callable[[Loaded, Engine, Run], Awaitable[Loaded]]


async def sync(options: SyncRequest, emit: Emit, adapt: Adapt | None = None) -> int:
    """Return 0 if every container equals the tree, 1 if a path could not be synced or differs when read back.

    A running `devenv up` is not disturbed. Only files that devenv put into a container are deleted, and none of a
    rule whose path is missing.
    """
    loaded = await resolve.load(options.selection, faults=lint.faults)
    _require_known(loaded.project, options.services)
    async with Engine.connect() as engine:
        run = await open_run(engine, loaded.project.name)
        project = (loaded if adapt is None else await adapt(loaded, engine, run)).project
        bound = await copying(project, options.services)
        project_state = await engine.project_state(project.name)
        services = {rule.service for rule in bound}
        containers = [container for container in project_state.containers if container.service in services]
        if not containers:
            emit(Notice("no service with sync rules has a container", "devenv up"))
            return 0
        now = await anyio.to_thread.run_sync(host, bound)
        missing = frozenset(root for root in rules.roots(bound) if _is_missing(root, now))
        since, code = await engine.clock(), CodeWatch()

        def watched(event: Event) -> None:
            if isinstance(event, Synced):
                code.synced(event, anyio.current_time())
            emit(event)

        once = _SyncOnce(engine, project, bound, now, missing, run.journals, options, watched)
        are_all_synced = once.report_skipped(container.service for container in containers)
        are_equal = all(await each(once.sync, containers))
        changed = [container for container in containers if container.running and container.service in code.services]
        if changed:
            await _report_code(engine, changed, code, f"{since.timestamp():.0f}", emit)
        return int(not (are_equal and (are_all_synced or options.dry_run)))


async def put(engine: Engine, project: Project, container: Container, journals: str, emit: Emit) -> None:
    """Put the files of the rules of its service into a container that has not run yet; failed paths are problems."""
    bound = await copying(project, (container.service,))
    if bound:
        now = await anyio.to_thread.run_sync(host, bound)
        request = SyncRequest(Selection(project.directory))
        once = _SyncOnce(engine, project, bound, now, frozenset(), journals, request, emit)
        once.report_skipped([container.service])
        await once.sync(container)


async def _report_code(
    engine: Engine, containers: Sequence[Container], code: CodeWatch, since: str, emit: Emit
) -> None:
    """Report whether the code of services that were just synced is broken, from their logs of the next seconds.

    If a service logs nothing at first, it does not reload its files.
    """
    began, names = anyio.current_time(), {container.service for container in containers}
    silent = set(names)

    async def read(container: Container) -> None:
        levels = LevelReader()
        async for stream, line in engine.containers.logs(container, since=since):
            silent.discard(container.service)
            levels.level(stream, line)
            code.logged(container.service, line, levels.errors[stream], anyio.current_time())

    def until(now: float) -> float:
        return max(code.undecided(names - silent, now), began + SILENT if silent else 0.0)

    async with task_group() as tasks:
        for container in containers:
            tasks.start_soon(read, container)
        while (now := anyio.current_time()) < until(now):  # noqa: ASYNC110 - there is no event for silence
            await anyio.sleep(TICK)
        tasks.cancel_scope.cancel()
    all_containers = await engine.containers.list(containers[0].project)
    rows = stands(containers[0].project, sorted(names), all_containers, lambda _: None).services
    for row in {row.service: row for row in rows if row.service in names}.values():
        emit(ServiceState(row.service, row.phase, row.detail, row.check, code.of(row.service).shown(now)))


def _require_known(project: Project, services: Collection[str]) -> None:
    known = [service.name for service in project.services]
    for name in services:
        if name not in known:
            raise unknown("service", name, known)


async def copying(project: Project, services: Collection[str]) -> tuple[BoundRule, ...]:
    """The rules of these services, or of all, that put files into containers."""
    ignores = await anyio.to_thread.run_sync(scan.dockerignores, project)
    return tuple(
        rule for rule in rules.bind(project, ignores) if rule.copies and (rule.service in services or not services)
    )


@dataclass(frozen=True, slots=True)
class _SyncOnce:
    """One sync of a project; `now` is the host. `missing_roots` may be unmounted, so nothing of them is deleted."""

    engine: Engine
    project: Project
    bound: Sequence[BoundRule]
    now: Manifest
    missing_roots: frozenset[str]
    journals: str
    options: SyncRequest
    emit: Emit

    def report_skipped(self, services: Iterable[str]) -> bool:
        """Report missing rule paths, and paths that cannot be synced. Return whether everything can be synced."""
        for path in sorted(self.missing_roots):
            shown = planner.shown(path, self.project.directory)
            self.emit(Notice(f"{shown} does not exist or is empty: nothing of it is deleted in containers"))
        are_all_synced = True
        for service in dict.fromkeys(services):
            skipped = planner.skipped(self.now, [rule for rule in self.bound if rule.service == service])
            SyncReport(self.emit, service, self.project.directory).problems(skipped)
            are_all_synced = are_all_synced and not skipped
        return are_all_synced

    async def sync(self, container: Container) -> bool:
        """Sync one container. Return whether it equals the tree now."""
        bound = [r for r in self.bound if r.service == container.service]
        syncs = planner.initial(self.now, bound)
        journal = SyncJournal.of(self.journals, container.id)
        record = await anyio.to_thread.run_sync(journal.read)
        present_rules = [rule for rule in bound if not is_within(rule.rule.path, *self.missing_roots)]
        left = reconcile.leftovers(record.placed, present_rules, self.now)
        rule_targets = [rule.top for rule in bound]
        target = await Target.reach(self.engine, container, process_mark(self.project), journal, rule_targets)
        try:
            target.executable |= record.executable
            seen = await target.compare(syncs, bound, left, record.placed)
            deletes = self._deletes(seen.placed, present_rules, left - seen.placed)
            missing = seen.missing
            if self.options.dry_run:
                plan = Plan((ServicePlan(container.service, deletes=deletes, syncs=missing),))
                for line in str(plan).splitlines():
                    self.emit(Notice(line))
                return True
            journal.note(placed=reconcile.journal_paths(syncs) - record.placed, gone=left - seen.placed)
            began = time.monotonic()
            outcome = await target.deliver(deletes, missing)
            self._report(container, outcome, deletes, missing, (time.monotonic() - began) * 1000)
            is_done = not outcome.failed and (container.running or not deletes)
            is_equal = not self.options.verify or await self._equals(container, bound, record.placed)
            return is_done and is_equal
        finally:
            await target.close()

    def _deletes(
        self, placed: Collection[str], bound: Sequence[BoundRule], kept_names: Collection[str]
    ) -> tuple[Delete, ...]:
        stale = reconcile.stale_targets(placed, bound, self.now, kept_names)
        gone = Changes(gone=tuple(sorted(stale.items(), key=manifest.deepest_first)))
        plan = planner.plan(gone, bound, directory=self.project.directory, states=self.now)
        return tuple(delete for step in plan.services for delete in step.deletes)

    def _report(
        self, container: Container, outcome: SyncOutcome, deletes: Sequence[Delete], syncs: Sequence[Sync], ms: float
    ) -> None:
        for path, reason in outcome.failed.items():
            self.emit(Problem(f"{path}: {reason}", None, container.service, path))
        if deletes and not container.running:
            hint = f"docker compose start {container.service}, then: devenv sync"
            message = f"{container.name} is not running: {len(deletes)} deleted paths remain in it"
            self.emit(Problem(message, hint, container.service))
        if outcome.files or outcome.deleted:
            paths = [os.path.relpath(s.source, self.project.directory) for s in syncs] + [d.cause for d in deletes]
            counts = (outcome.files, outcome.deleted, outcome.bytes, round(ms, 1))
            self.emit(Synced(container.service, *counts, tuple(paths[:SHOWN_PATHS]), outcome.atomic))

    async def _equals(self, container: Container, bound: Sequence[BoundRule], placed: Collection[str]) -> bool:
        record = SyncJournal.of(self.journals, container.id).read()
        names = record.placed | frozenset(placed)
        files, seen = await compare(self.engine, container.id, bound, names, record.executable)
        for path, reason in seen.unread.items():
            message = f"{path} in {container.name} could not be read: {reason}"
            self.emit(Problem(message, f"docker exec {container.name} ls -ld {path}", container.service))
        self.emit(Compared(container.service, container.name, files, seen.different))
        return not seen.different


def _is_missing(root: str, now: Manifest) -> bool:
    """Whether the path of a rule may be unmounted: it does not exist, or is an empty folder."""
    return root not in now or (now[root].kind is FileKind.DIR and not now.below(below([root])))


def host(bound: Sequence[BoundRule]) -> Manifest:
    """The current state of the host, as far as rules cover it. Blocking."""
    return link_loops.mark_loops(scan.scan(rules.roots(bound), lambda folder: rules.prune(bound, folder)))


async def compare(
    engine: Engine,
    container_id: str,
    bound: Sequence[BoundRule],
    placed: Collection[str],
    executable: Collection[str] = (),
) -> tuple[int, Seen]:
    """Compare a container of a service with its rules: kind, content, mode and link of all paths that they copy.

    Names in `placed` that are not a file, folder or link on the host must not exist, and neither must anything under
    the name of a pipe, socket, device or loop. All other content of the container is its own. The image made the
    files `executable`. Returns the number of paths that the container should have, and the differences.
    """
    now = await anyio.to_thread.run_sync(host, bound)
    syncs = [s._replace(executable=s.target in executable) for s in planner.initial(now, bound)]
    left, unwanted = reconcile.leftovers(placed, bound, now), _names_of_others(now, bound, {s.target for s in syncs})
    tops = reconcile.readback_roots([*(s.target for s in syncs), *left, *unwanted], bound)
    return len(syncs), await readback.look(engine, container_id, syncs, tops, left, unwanted)


def _names_of_others(now: Manifest, bound: Sequence[BoundRule], targets: Collection[str]) -> frozenset[str]:
    others = [path for path, state in now.special().items() if state.kind is FileKind.OTHER]
    names = {rule.target_for(path) for path in others for rule in bound if rule.copies and rule.matches(path)}
    return frozenset(names.difference(targets))
