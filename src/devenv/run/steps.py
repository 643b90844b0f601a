"""The steps of `devenv up`: each step takes the value that the previous step returned, and returns the next value."""

from __future__ import annotations

import importlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from devenv.compose.resolve import Loaded, where
from devenv.docker import process
from devenv.doctor import quick_check
from devenv.errors import ConfigError, DevenvError, PortError, UsageError
from devenv.events import Notice
from devenv.host.listeners import require_free
from devenv.lazy_imports import LazyImports
from devenv.model.project import Moment, Project
from devenv.run import isolated
from devenv.run.bind_sources import missing_folders
from devenv.run.cleanup.guardian import Guardian
from devenv.run.consent import report_dangers, require_trust
from devenv.run.desired import (
    DesiredState,
    build,
    chosen,
    early_builds,
    observe,
    require_checks,
    supplied,
    with_ports,
)
from devenv.run.remote_files import adapted
from devenv.run.step_values import Active, Checked, Context, Entered, Guarded, TakenOver, Value
from devenv.run.takeover import Takeover
from devenv.state import ledger as ledgers
from devenv.sync.rules.lint import without_rules
from devenv.tasks import patiently, task_group

with LazyImports():  # `begin_builds` imports most of these while BuildKit works
    from devenv.images import listing
    from devenv.remote import forwards
    from devenv.run.active import control, port_forwards
    from devenv.run.active import project as active_project
    from devenv.run.active import volumes as active_volumes
    from devenv.volumes import seeds


async def select_services(context: Context, loaded: Loaded) -> DesiredState:
    """Choose the services of the command line and their dependencies. Raises UsageError if there are none."""
    names = chosen(loaded.project, context.options.selection.services)
    if not any(service.scale for service in loaded.project.services if service.name in names):
        raise UsageError("there is nothing to bring up: every service has a scale of 0", hint="--scale SERVICE=1")
    return DesiredState(loaded, names)


async def review(context: Context, desired: DesiredState) -> DesiredState:
    """Report the project's dangers and, meanwhile, a lack of disk space. Raises RefusedError without trust."""
    report_dangers(desired.loaded, desired.names, context.emit)
    context.tasks.start_soon(quick_check.warn, context.engine, context.emit)
    require_trust(desired.project, trust=context.options.trust)
    return desired


async def start_guardian(context: Context, desired: DesiredState) -> Guarded:
    """Start the guardian of this run, after the child processes of a dead earlier run have ended.

    Otherwise those could create something after this run has observed the engine.
    """
    run, endpoint = context.run, context.engine.endpoint
    if (earlier := run.read()) is not None:
        await process.end_recorded(run.children)
    process.record_children(run.children)
    wanted = {"build", "create"} if context.options.build and desired.built else {"create"}
    for verb in wanted - context.options.early.keys():
        context.tasks.start_soon(context.early[verb].run)
    drawn = os.ttyname(1) if context.controller is not None else ""
    return Guarded(Guardian(endpoint.host, endpoint.context, run, drawn), desired, earlier)


async def take_over(context: Context, guarded: Guarded) -> TakenOver:
    """Take over, or remove, what earlier runs left. Raises StateError if another owner has the project."""
    takeover = Takeover(context.volume_transfer, context.place)
    earlier, project_state = await takeover.go(guarded.earlier, fresh=context.options.fresh)
    return TakenOver(guarded.guardian, guarded.desired, earlier, project_state)


async def replace_mounts(context: Context, taken: TakenOver) -> TakenOver:
    """Sync in place of bind mounts, if the engine does not see the files of this machine. Raises ConfigError."""
    desired = taken.desired
    loaded = await adapted(desired.loaded, desired.names, context.options.selection, context.volume_transfer)
    for message in loaded.replaced:
        context.emit(Notice(message))
    return replace(taken, desired=replace(desired, loaded=loaded))


async def plan(context: Context, taken: TakenOver) -> TakenOver:
    """Derive the desired state from the files and from what exists, and choose its ports."""
    existing = await observe(context.engine, taken.project_state)
    desired = replace(taken.desired, existing=existing, owner=context.run.made.owner)
    desired = await with_ports(desired, context.options, context.engine, taken.project_state)
    if context.controller is not None:
        context.controller.learn(control.service_graph(desired))
    if context.line is not None:
        for remark in forwards.remarks(desired.project, desired.own, context.line.remote.name):
            context.emit(Notice(remark))
    elif desired.is_narrowed:
        addresses = " and ".join(desired.addresses)
        context.emit(Notice(f"ports are published on {addresses} only; --lan opens them to the network"))
    await isolated.report(desired, context.options.selection, context.emit, is_first=not context.run.last())
    return replace(taken, desired=desired)


async def require_free_ports(context: Context, taken: TakenOver) -> TakenOver:
    """Require that no other process uses a port of the run, as far as ports appear on this machine."""
    if context.engine.endpoint.has_ports:
        held = {host for container in taken.project_state.containers for _, host, _ in container.ports}
        wanted = taken.desired.wanted_ports(taken.desired.own)
        missing = [port for port in wanted if port.port not in held]
        try:
            await require_free(missing, context.engine, context.options.ports, context.line)
        except PortError as error:
            own, stand_ins = taken.desired.only(taken.desired.own), context.options.images.stand_ins
            raise await listing.with_missing_images(error, context.engine, own, stand_ins=stand_ins) from None
    return taken


async def require_mounted_files(context: Context, taken: TakenOver) -> TakenOver:
    """Require that each file named by a bind mount exists. Images to be pulled or built are checked later."""
    await missing_folders(context.volume_transfer, taken.desired, context.options.selection, taken.desired.own)
    return taken


async def begin_ledger(context: Context, taken: TakenOver) -> Checked:
    """Return the ledger of this run: that of the earlier run, or a new one."""
    endpoint, project_state = context.engine.endpoint, taken.project_state
    if taken.earlier is not None:
        ledger = ledgers.take_over(taken.earlier, project_state, context.place, context.key)
    else:
        ledger = ledgers.begin(
            project_state,
            taken.desired.existing.times,
            project=taken.desired.project.name,
            place=context.place,
            engine=context.key,
            endpoint=endpoint.host,
            context=endpoint.context,
        )
    context.run.asked()  # drop a volume policy that came too late for the earlier run
    return Checked(taken.guardian, taken.desired, ledger)


async def require_seed(context: Context, checked: Checked) -> Checked:
    """Require that the snapshot exists with which the volumes of a first start begin."""
    desired, options = checked.desired, context.options
    if desired.project.settings.seed and not options.fresh and not options.source:
        try:
            volumes = active_volumes.project_volumes(desired, context.volume_transfer, checked.ledger)
            seeds.require(volumes, desired.existing.volumes)
        except UsageError as error:
            file, line = where(options.selection, ("x-devenv", "seed"))
            raise ConfigError(error.message, hint=error.hint, file=file, line=line) from error
    return checked


async def before_up(context: Context, checked: Checked) -> Entered:
    """Run the `before_up` hooks."""
    await context.hooks(checked.desired).run(Moment.BEFORE_UP)
    return Entered(checked.guardian, checked.desired, checked.ledger)


async def acquire_images(context: Context, entered: Entered) -> Entered:
    """Get every image that the services and their Dockerfiles need: use, pull or build it.

    Meanwhile, services whose images have been pulled are built.
    """
    options, desired = context.options, entered.desired
    early = early_builds(desired, context.tasks, context.emit) if options.build else None
    try:
        desired = await supplied(context.engine, desired, desired.own, options.images, context.emit, early)
    except DevenvError:
        if early is not None:
            early.report_failures()
        raise
    return replace(entered, desired=desired, early_builds=early)


async def begin_builds(context: Context, entered: Entered) -> Entered:
    """Begin to build the images of the services that have a build section and are not being built already."""
    if entered.early_builds is not None:
        remaining, early = await entered.early_builds.left(entered.desired.built), context.early["build"]
        entered.early_builds.add(remaining, lambda: build(entered.desired, remaining, context.emit, early=early))
    await anyio.to_thread.run_sync(importlib.import_module, "devenv.run.active.requests")
    return entered


async def activate(context: Context, ready: Entered) -> Active:
    """Return the active project, of which nothing exists yet. The guardian is ready before anything is created."""
    if not await anyio.to_thread.run_sync(ready.guardian.wait_ready, abandon_on_cancel=True):
        context.emit(Notice("the guardian did not start: after a crash, clean up with `devenv down`"))
    desired, ledger = ready.desired, ready.ledger
    if any(not record.lineage for record in ledger.volumes):  # written by devenv 0.1
        project_state = await context.engine.project_state(desired.project.name)
        ledger = active_volumes.project_volumes(desired, context.volume_transfer, ledger).adopt(ledger, project_state)
    project = active_project.ActiveProject(context.tasks, context.options, context.volume_transfer, ledger, desired)
    return Active(ready.guardian, project, ready.early_builds)


async def build_images(context: Context, active: Active) -> Active:
    """Wait until all images are built, and restore meanwhile the volumes that no built image mounts."""
    options, volumes = context.options, active.project.volumes
    async with task_group() as tasks:
        if active.early_builds is not None and active.desired.built:
            tasks.start_soon(partial(volumes.begin_beside_builds, fresh=options.fresh, source=options.source))
            await active.early_builds.finish()
    desired = active.desired
    await require_checks(desired, options, context.engine)
    folders = await missing_folders(context.volume_transfer, desired, options.selection, desired.own)
    volumes.current.desired = replace(desired, folders=folders)
    return replace(active, early_builds=None)


async def restore_volumes(context: Context, active: Active) -> Active:
    """Create the new volumes that do not exist yet, each with its saved content."""
    await active.project.volumes.begin(fresh=context.options.fresh, source=context.options.source)
    return active


async def create_containers(context: Context, active: Active) -> Active:
    """Create containers and networks; nothing runs yet."""
    has_rules, desired = await active.project.create(context.early["create"]), active.project.desired
    if context.options.watch and not has_rules and (message := without_rules(desired.project, desired.names)):
        context.emit(Notice(message, "`devenv add rules` proposes rules and says why."))
    return active


async def sync_containers(context: Context, active: Active) -> Active:
    """Bring every container up to date with the project's files, before its first process runs."""
    await active.project.sync()
    active.project.sync_session.saved_since(context.held.unsynced, rebuilds=False)  # images are built by now
    return active


async def begin_start(context: Context, active: Active) -> Active:
    """Let Compose start the services in order, in the background: the observer reports who waits for whom."""
    context.tasks.start_soon(active.project.start)
    if context.line is not None:
        context.tasks.start_soon(port_forwards.PortForwards(context.line, active.project, context.emit).run)
    return active


async def wait_until_healthy(context: Context, active: Active) -> Active:
    """Wait until every service is healthy, or completed with exit code 0. Raises DevenvError on timeout."""
    observer = active.project.observer
    if not await patiently(context.options.timeout, observer.until_ready):
        raise await observer.late(context.options.timeout)
    active.project.volumes.settle()  # data counts as settled even if a service dies right after `ready`
    active.project.volumes.report_unsaved()
    return active


async def after_healthy(context: Context, active: Active) -> Active:
    """Run the `after_healthy` hooks."""
    await context.hooks(active.desired).run(Moment.AFTER_HEALTHY)
    return active


UpStep = Callable[[Context, Any], Awaitable[Value]]
STEPS: dict[str, tuple[UpStep, ...]] = {  # by the event that reports them
    "check": (
        select_services, review, start_guardian, take_over, replace_mounts, plan, require_free_ports,
        require_mounted_files, begin_ledger, require_seed,
    ),
    Moment.BEFORE_UP.value: (before_up,),
    "images": (acquire_images,),
    "build": (begin_builds, activate, build_images),
    "restore": (restore_volumes,),
    "create": (create_containers,),
    "sync": (sync_containers,),
    "start": (begin_start,),
    "healthy": (wait_until_healthy,),
    Moment.AFTER_HEALTHY.value: (after_healthy,),
}  # fmt: skip


def groups(project: Project) -> dict[str, tuple[UpStep, ...]]:
    """The steps by the event that reports them. Hooks without commands are not reported."""
    silent = {moment.value for moment in Moment} - {hook.moment.value for hook in project.hooks}
    reported: dict[str, tuple[UpStep, ...]] = {}
    for event, steps in STEPS.items():
        name = next(reversed(reported)) if event in silent else event
        reported[name] = (*reported.get(name, ()), *steps)
    return reported
