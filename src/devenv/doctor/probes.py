"""Run all checks of the doctor concurrently; a check that takes too long is abandoned, and its area is reported."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio

from devenv.compose import files as compose_files
from devenv.compose import resolve as compose_resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.context import config_folder
from devenv.docker.endpoint import Endpoint, WayError, resolve, start_command
from devenv.doctor import facts, other_machine, project
from devenv.doctor import network as routes
from devenv.doctor.project import SITE, ImageSourcesProbe
from devenv.doctor.quick_check import engine_info
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.events import Event, Notice
from devenv.host import limits as host_limits
from devenv.host import listeners, ports, proxies
from devenv.host.listeners import taken
from devenv.host.registry_auth import cli_settings
from devenv.images.builder import selected, selection_file
from devenv.model.answers import BUILDER, ENGINE, MACHINE, PROJECT, PROXIES, REGISTRIES, TOOLS
from devenv.model.project import Project
from devenv.remote.line import Line, line_for_requests
from devenv.sync.rules.lint import faults
from devenv.tasks import each

CHILD, REACH, PROXY, LOAD, LOCAL = 2.0, 2.0, 1.5, 4.0, 1.5  # seconds
TOTAL = 7.0  # seconds for all checks together
LAYERS = ("HTTP_PROXY", "HTTPS_PROXY")
REASONS: dict[type[BaseException], str] = {
    FileNotFoundError: "engine-missing",
    ConnectionRefusedError: "engine-stopped",
    PermissionError: "engine-forbidden",
}
Say = Callable[[str], object]
Groups = dict[str, Any]  # groups of `DoctorFacts` by name, and errors to add
Check = Callable[[], Awaitable[Groups | None]]
TimedCheck = tuple[str, float, Check]  # the area, and the seconds that the check may take


async def gather(selection: Selection, say: Say) -> facts.DoctorFacts:
    """Gather the facts of this machine, and of the selected project if there is one. `say` gets the progress."""
    checks = _Checks(selection, say)
    independent: tuple[TimedCheck, ...] = (
        (TOOLS, CHILD, _tools), (PROXIES, 2 * PROXY, _proxies), (PROXIES, LOCAL, _settings),
    )  # fmt: skip
    async with contextlib.AsyncExitStack() as stack:
        works = (partial(checks.run, *independent), partial(checks.project_and_engine, stack))
        await each(lambda work: work(), works)
    late = tuple(dict.fromkeys(checks.late))
    areas = tuple(checks.areas)
    return facts.DoctorFacts(**checks.groups, errors=tuple(checks.errors), checked=areas, unchecked=late)


async def unreached(endpoint: Endpoint, error: EngineError) -> Groups:
    """Why the engine could not be reached, and which other engines answer on this machine."""
    elsewhere = await routes.within(LOCAL, lambda: tuple(host_limits.engines_elsewhere(endpoint.host)))
    leave = "docker context use default" if endpoint.context else "unset DOCKER_HOST"
    start = start_command() if endpoint.has_files else leave
    address = facts.EngineAddress(endpoint.host, endpoint.context, start=start, elsewhere=elsewhere or ())
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if not any(isinstance(cause, OSError) for cause in causes):
        return {"address": address, "errors": (("engine-unusable", error),)}
    if words := next((str(cause) for cause in causes if isinstance(cause, WayError)), ""):
        address = replace(address, why=f": {words}", start=error.hint or "")
    reasons = (REASONS[type(cause)] for cause in causes if type(cause) in REASONS)
    state = next(reasons, "engine-silent") if endpoint.has_files else "engine-unreachable"
    return {"address": replace(address, state=state)}


class _Checks:
    """Runs checks, and collects groups of facts, errors that are findings, and areas checked and late."""

    def __init__(self, selection: Selection, say: Say) -> None:
        self.groups: Groups = {}
        self.errors: list[tuple[str, DevenvError]] = []
        self.areas: list[str] = []
        self.late: list[str] = []
        self._selection = selection
        self._say = say
        self._pending: list[str] = []
        self._loaded: Loaded | None = None
        self._engine: Engine | None = None
        self._line: Line | None = None
        self._end = anyio.current_time() + TOTAL

    async def run(self, *checks: TimedCheck) -> None:
        """Run all checks concurrently, each within its seconds; a late or failed check is noted by its area."""
        await each(lambda check: self._run(*check), checks)

    async def _run(self, area: str, seconds: float, check: Check) -> None:
        self._pending.append(area)
        self._say(f"checking {', '.join(dict.fromkeys(self._pending))}")
        groups = None
        end = min(anyio.current_time() + seconds, self._end)
        with anyio.CancelScope(deadline=end), contextlib.suppress(EngineError):
            groups = await check()
        self._pending.remove(area)
        if groups is None:
            self.late.append(area)
        elif groups:  # else there was nothing to check
            self.areas.append(area)
            self.errors += groups.pop("errors", ())
            self.groups |= groups

    async def project_and_engine(self, stack: contextlib.AsyncExitStack) -> None:
        """Check the engine and the project, then what depends on both."""
        await self.run((ENGINE, 3 * REACH, partial(self._reach, stack)), (PROJECT, LOAD, self._project))
        if any(code == "engine-address" for code, _ in self.errors):
            # Compose fails for the same reason, with a message that explains less.
            self.errors = [(code, error) for code, error in self.errors if code != "project-wrong"]
        engine, loaded = self._engine, self._loaded
        checks: list[TimedCheck] = []
        if engine:
            await self.run((ENGINE, REACH, partial(_group, "engine", engine_info, engine)))
            checks.append((BUILDER, LOCAL, partial(_builder, engine)))
        known = facts.DoctorFacts(**self.groups)
        if engine and self._line:
            checks.append((ENGINE, 3 * REACH, partial(other_machine.check, engine, self._line, known.engine.root)))
        checks.append((MACHINE, LOCAL, partial(_machine, known.engine.root if known.engine.here else "")))
        if loaded:
            checks.append((PROJECT, 2 * project.TREE, partial(_group, "tree", project.tree, loaded.project)))
        if engine and loaded:
            checks.append((PROJECT, LOCAL, partial(_files, engine, loaded, self._selection)))
            checks.append((MACHINE, LOCAL, partial(_taken, engine, loaded.project)))
        if engine and (loaded or PROJECT not in self.areas):
            subject = loaded.project if loaded else None
            probe = ImageSourcesProbe(engine, subject, known.engine, known.client.missing_helpers)
            checks.append((REGISTRIES, 2 * SITE, probe.check))
        await self.run(*checks)

    async def _reach(self, stack: contextlib.AsyncExitStack) -> Groups:
        try:
            endpoint = await resolve()
        except DevenvError as error:
            return {"errors": (("engine-address", error),)}
        failed = EngineError(f"the engine at {endpoint.host} does not answer")
        failed.__cause__ = TimeoutError()
        lacks: list[Event] = []
        with anyio.move_on_after(REACH if endpoint.has_files else 2 * REACH):
            try:
                way = line_for_requests(endpoint, lacks.append)
                reached, self._line = await stack.enter_async_context(way)
                self._engine = await stack.enter_async_context(Engine.connect(reached))
            except EngineError as error:
                failed = error
            else:
                lack = "".join(event.message for event in lacks if isinstance(event, Notice))
                return {"address": facts.EngineAddress(endpoint.host, endpoint.context, lack=lack)}
        return await unreached(endpoint, failed)

    async def _project(self) -> Groups:
        """The built services and the MTU of networks; empty outside of a project, or without the docker command."""
        chosen = self._selection
        try:
            compose_files.find(chosen.directory, chosen.files)
        except ConfigError:
            return {}
        if shutil.which("docker") is None:
            return {}
        try:
            loaded = self._loaded = await compose_resolve.load(chosen, faults=faults)
        except EngineError:
            return {}
        except DevenvError as error:
            return {"errors": (("project-wrong", error),)}
        built = tuple(service.name for service in loaded.project.services if service.build)
        return {"built": built, "networks": project.networks(loaded.model)}


async def _tools() -> Groups:
    other = host_limits.other_devenv()
    if shutil.which("docker") is None:
        return {"tools": facts.Tools(docker=False, other=other)}
    asked = (["docker", "compose", "version", "--short"], ["docker", "buildx", "version"])
    compose, buildx = map(_version, await each(process.run, asked))
    return {"tools": facts.Tools(compose=compose, buildx=buildx, other=other)}


def _version(done: process.Completed) -> str | None:
    version = next((word for word in done.text.split() if word.lstrip("v")[:1].isdigit()), None)
    return version.removeprefix("v") if version and not done.returncode else None


async def _machine(engine_root: str) -> Groups | None:
    limits = await routes.within(LOCAL, partial(host_limits.machine, engine_root))
    return None if limits is None else {"machine": facts.Machine(**limits)}


async def _proxies() -> Groups:
    values = {name: os.environ.get(name) or os.environ.get(name.lower()) or "" for name in (*LAYERS, "NO_PROXY")}
    exceptions = values.pop("NO_PROXY")
    given = {name: value for name, value in values.items() if value}
    try:
        chosen = proxies.chosen(os.environ, urllib.request.getproxies())
    except ConfigError as error:
        return {"errors": (("proxy-invalid", error),)}
    asked = dict.fromkeys(chosen[name] for name in LAYERS if name in chosen)
    answers = await each(lambda proxy: routes.within(PROXY, partial(_answers, proxy)), asked)
    dead = tuple(proxy for proxy, answer in zip(asked, answers, strict=True) if not answer)
    return {"proxies": facts.Proxies(given, exceptions, dead)}


def _answers(proxy: str) -> bool:
    address = urlsplit(proxy)
    with socket.create_connection((str(address.hostname), address.port or 80), PROXY):
        return True


async def _settings() -> Groups:
    try:
        settings = cli_settings()
    except ConfigError as error:
        return {"errors": (("docker-config", error),)}
    named = [settings.get("credsStore"), *(settings.get("credHelpers") or {}).values()]
    programs = dict.fromkeys(f"docker-credential-{name}" for name in named if name)
    given: dict[str, str | None] = (settings.get("proxies") or {}).get("default") or {}
    inside = {name: value for name, value in given.items() if value}
    missing = tuple(program for program in programs if shutil.which(program) is None)
    return {"client": facts.ClientConfig(os.path.join(config_folder(), "config.json"), inside, missing)}


async def _builder(engine: Engine) -> Groups:
    name, instance = selected(engine.endpoint)
    is_gone = False
    if name not in ("", "default") and not instance:
        is_gone = (await process.run(["docker", "context", "inspect", "--", name])).returncode != 0
    driver, selection = str(instance.get("Driver", "")), "" if os.environ.get("BUILDX_BUILDER") else selection_file()
    return {"builder": facts.Builder(name, driver, is_gone, selection, await proxies.gateway(engine))}


async def _taken(engine: Engine, project: Project) -> Groups:
    if not engine.endpoint.has_ports or project.settings.ports == "auto":
        return {}
    held = {port for c in (await engine.project_state(project.name)).containers for _, port, _ in c.ports}
    addresses = () if project.settings.ports == "as-written" else listeners.published_on(engine)
    wanted = ports.wanted_ports(project, [s.name for s in project.services], {}, addresses)
    return {"taken": await taken([port for port in wanted if port.port not in held], engine)}


async def _files(engine: Engine, loaded: Loaded, selection: Selection) -> Groups:
    files = await project.files(engine, loaded, selection)
    return {"files": files} if files else {}


async def _group(group: str, ask: Callable[[Any], Awaitable[object]], subject: object) -> Groups:
    value = await ask(subject)
    return {group: value} if value else {}
