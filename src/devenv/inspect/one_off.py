"""Compose commands with the run model: `run` and `scale`, and those that need containers."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from devenv.compose import resolve, run_model
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.cli import Compose
from devenv.docker.client import Engine
from devenv.doctor import quick_check
from devenv.errors import DevenvError
from devenv.events import Emit, Notice
from devenv.inspect.one_off_files import OneOffFiles
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, ProjectState
from devenv.model.images import STAND_IN_REGISTRY, ImageOptions
from devenv.model.project import Condition, Project
from devenv.private_files import written
from devenv.run.active.model_diff import SHARING
from devenv.run.active.phases import closure
from devenv.run.consent import report_dangers
from devenv.run.desired import DesiredState, observe, supplied, with_ports
from devenv.run.preload import UpOptions
from devenv.run.remote_files import adapted
from devenv.state.run_dir import Run, open_run
from devenv.volumes.transfer import volume_transfer


@dataclass(frozen=True, slots=True)
class ComposeCall:
    """Compose with the model for a verb, and the files of the containers that it creates."""

    compose: Compose
    files: OneOffFiles | None = None

    def exec_replace(self, verb: str, *args: str) -> NoReturn:
        """Replace this process by the verb; containers get their files before they start. Raises EngineError."""
        self.compose.exec_replace(verb, *args, env=self.files.begin() if self.files else {})


async def one_off(selection: Selection, arguments: Collection[str], emit: Emit) -> ComposeCall | None:
    """Compose for a one-off container of the first service in the `arguments`; None if they name no service.

    Compose recreates dependencies that differ from the user's files, as do those that devenv started, because their
    ports are on loopback. So running dependencies are left out, and others are created as by `devenv up`. If no run
    of devenv is up, nothing is labelled as devenv's, because nothing would remove it.

    Raises ConfigError if the engine does not see files of this machine that cannot be sent.
    """
    loaded = await resolve.load(replace(selection, profiles=("*",)))
    names = frozenset(service.name for service in loaded.project.services)
    target = next((word for word in arguments if word in names), None)
    if target is None:
        return None
    async with contextlib.AsyncExitStack() as stack:
        engine = await quick_check.connected(stack)
        run = await open_run(engine, loaded.project.name)
        desired = await _staged(engine, run, loaded, selection, frozenset({target}), emit)
        others = [c for c in await engine.containers.list(loaded.project.name) if c.service not in desired.names]
        model = _joined(desired.loaded.model, target, others)
        desired = replace(desired, loaded=replace(desired.loaded, model=model))
        unmarked = frozenset({target}) if run.read() is not None else names
        return await _recorded(engine, run, replace(desired, unmarked=unmarked), emit)


async def scaled(selection: Selection, arguments: Collection[str], emit: Emit) -> ComposeCall | None:
    """Compose for `SERVICE=N` in the `arguments`, for containers of the run; None if no run of devenv is up.

    With the user's files, Compose would recreate the containers of the run, and nothing would remove them.
    """
    loaded = await resolve.load(replace(selection, profiles=("*",)))
    targets = {word.partition("=")[0] for word in arguments} & {service.name for service in loaded.project.services}
    async with contextlib.AsyncExitStack() as stack:
        engine = await quick_check.connected(stack)
        run = await open_run(engine, loaded.project.name)
        if not targets or run.read() is None:
            return None
        desired = await _staged(engine, run, loaded, selection, frozenset(targets), emit)
        return await _recorded(engine, run, desired, emit)


async def existing(selection: Selection, verb: str) -> ComposeCall:
    """Compose for a command on existing containers: of the selected services, or of all.

    Raises DevenvError if there are no containers; for `attach` and `wait`, if none is running.
    """
    loaded = await resolve.load(selection)
    name = loaded.project.name
    async with contextlib.AsyncExitStack() as stack:
        engine = await quick_check.connected(stack)
        require_containers(name, selection.services, verb, await engine.containers.list(name))
    return ComposeCall(Compose(name, loaded.project.directory, run_model.dump(loaded.model)))


async def isolated(selection: Selection) -> ComposeCall:
    """Compose with the names and ports of an isolated project."""
    loaded = await resolve.load(selection)
    return ComposeCall(Compose(loaded.project.name, loaded.project.directory, run_model.dump(loaded.model)))


def require_containers(project: str, services: Collection[str], verb: str, containers: Collection[Container]) -> None:
    """Require that each service (or any, if none is given) has a suitable container. Raises DevenvError."""
    existing_ = {c.service for c in containers}
    suitable = {c.service for c in containers if c.running or verb in ("start", "restart")}
    if not services and not existing_:
        raise DevenvError(f"nothing of {project} is running", hint="devenv up")
    for service in services:
        if service not in suitable:
            hint = f"devenv {'start' if service in existing_ else 'up'} {service}"
            raise DevenvError(f"{service} is not running", hint=hint)


async def _recorded(engine: Engine, run: Run, desired: DesiredState, emit: Emit) -> ComposeCall:
    """Compose for the desired state, and what replaces files.

    Records before the call how to recognize what the call creates: Compose replaces this process, so the outcome
    cannot be recorded.
    """
    if desired.own - desired.unmarked:
        project_state = await engine.project_state(desired.project.name)
        with written(run.made.path):
            run.made.open(desired.window(project_state))
    for message in desired.loaded.replaced:
        emit(Notice(message))
    return ComposeCall(desired.compose, OneOffFiles(desired.loaded, run.journals, emit))


async def _staged(
    engine: Engine, run: Run, loaded: Loaded, selection: Selection, targets: frozenset[str], emit: Emit
) -> DesiredState:
    project_state = await engine.project_state(loaded.project.name)
    options = UpOptions(selection, images=ImageOptions(stand_ins=_stood_in(project_state)))
    names = _lacking(loaded.project, targets, project_state)
    report_dangers(loaded, names, emit)
    transfer = volume_transfer(engine, emit, run, loaded.project.name, loaded.project.directory)
    loaded = await adapted(loaded, names, selection, transfer)
    desired = DesiredState(loaded, names, await observe(engine, project_state), owner=run.made.owner)
    desired = await with_ports(desired, options, engine, project_state)
    return await supplied(engine, desired, desired.names, options.images, emit)


def _lacking(project: Project, targets: frozenset[str], project_state: ProjectState) -> frozenset[str]:
    """The targets and their missing dependencies: neither running, nor completed if that is the condition."""
    once = {d.service for s in project.services for d in s.depends_on if d.condition is Condition.COMPLETED}
    completed = {c.service for c in project_state.containers if c.state == "exited" and not c.exit_code} & once
    present = ({c.service for c in project_state.containers if c.running} | completed) - targets
    services = (replace(s, depends_on=()) if s.name in present else s for s in project.services)
    return closure(replace(project, services=tuple(services)), targets) - present


def _joined(model: Mapping[str, Any], target: str, others: Iterable[Container]) -> dict[str, Any]:
    """The model in which the target refers to running containers of services that are left out, by their ids.

    Compose refuses references to a service that is not in the model.
    """
    ids, service = {c.service: c.id for c in others if c.running}, dict(model["services"][target])
    for key in SHARING:
        kind, _, name = str(service.get(key) or "").partition(":")
        if kind == "service" and name in ids:
            service[key] = f"container:{ids[name]}"
    if "volumes_from" in service:
        entries = (str(entry).partition(":") for entry in service["volumes_from"])
        service["volumes_from"] = [
            "".join((f"container:{ids[name]}" if name in ids else name, *mode)) for name, *mode in entries
        ]
    _link(service, ids)
    return {**model, "services": {**model["services"], target: service}}


def _link(service: dict[str, Any], ids: Mapping[str, str]) -> None:
    """Replace links of the service to these services by links to their containers."""
    links = {link: str(link).partition(":") for link in service.pop("links", None) or ()}
    external = [f"{ids[name]}:{alias or name}" for name, _, alias in links.values() if name in ids]
    if kept := [link for link, (name, *_) in links.items() if name not in ids]:
        service["links"] = kept
    if external:
        service["external_links"] = [*(service.get("external_links") or ()), *external]


def _stood_in(project_state: ProjectState) -> bool:
    """Whether the run uses stand-ins, which the user has allowed."""
    return any(c.ours and c.reference.startswith(f"{STAND_IN_REGISTRY}/") for c in project_state.containers)
