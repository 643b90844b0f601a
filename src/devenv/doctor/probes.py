"""Run all checks of the doctor concurrently; a check that takes too long is abandoned, and named."""

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
from devenv.doctor import facts, project
from devenv.doctor import network as routes
from devenv.doctor.project import SITE, ImageSourcesProbe
from devenv.doctor.quick_check import engine_info
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.host import limits as host_limits
from devenv.host import listeners, ports, proxies
from devenv.host.listeners import taken
from devenv.host.registry_auth import cli_settings
from devenv.images.prepare import selected, selection_file
from devenv.model.answers import BUILDER, ENGINE, MACHINE, PROJECT, PROXIES, REGISTRIES, TOOLS
from devenv.model.project import Project
from devenv.sync.rules.lint import faults
from devenv.tasks import each

CHILD, REACH, PROXY, LOAD, LOCAL = 2.0, 2.0, 1.5, 4.0, 1.5  # seconds
TOTAL = 7.0  # of the whole round, whatever hangs
LAYERS = ("HTTP_PROXY", "HTTPS_PROXY")
REASONS: dict[type[BaseException], str] = {
    FileNotFoundError: "engine-missing",
    ConnectionRefusedError: "engine-stopped",
    PermissionError: "engine-forbidden",
}
Say = Callable[[str], object]
Seen = dict[str, Any]  # groups of `DoctorFacts` by name, and errors to add
Look = Callable[[], Awaitable[Seen | None]]
Part = tuple[str, float, Look]  # the area, and the seconds that the look may take


async def gather(selection: Selection, say: Say) -> facts.DoctorFacts:
    """Gather the facts of this machine, and of the selected project if there is one. `say` gets the progress."""
    look = _Round(selection, say)
    alone: tuple[Part, ...] = (TOOLS, CHILD, _tools), (PROXIES, 2 * PROXY, _proxies), (PROXIES, LOCAL, _settings)
    async with contextlib.AsyncExitStack() as stack:
        await each(lambda work: work(), (partial(look.parts, *alone), partial(look.project_and_engine, stack)))
    late = tuple(dict.fromkeys(look.late))
    return facts.DoctorFacts(**look.groups, errors=tuple(look.errors), looked=tuple(look.looked), unchecked=late)


async def unreached(endpoint: Endpoint, error: EngineError) -> Seen:
    """Why the engine could not be reached, and which other engines answer on this machine."""
    elsewhere = await routes.within(LOCAL, lambda: tuple(host_limits.engines_elsewhere(endpoint.host)))
    away = "docker context use default" if endpoint.context else "unset DOCKER_HOST"
    start = start_command() if endpoint.local else away
    address = facts.EngineAddress(endpoint.host, endpoint.context, start=start, elsewhere=elsewhere or ())
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if not any(isinstance(cause, OSError) for cause in causes):
        return {"address": address, "errors": (("engine-unusable", error),)}
    if words := next((str(cause) for cause in causes if isinstance(cause, WayError)), ""):
        address = replace(address, why=f": {words}", start=error.hint or "")
    reasons = (REASONS[type(cause)] for cause in causes if type(cause) in REASONS)
    state = next(reasons, "engine-silent") if endpoint.local else "engine-unreachable"
    return {"address": replace(address, state=state)}


class _Round:
    """One look around: groups of facts, errors that are findings, and what was not in time."""

    def __init__(self, selection: Selection, say: Say) -> None:
        self.groups: Seen = {}
        self.errors: list[tuple[str, DevenvError]] = []
        self.looked: list[str] = []
        self.late: list[str] = []
        self._selection = selection
        self._say = say
        self._pending: list[str] = []
        self._loaded: Loaded | None = None
        self._engine: Engine | None = None
        self._end = anyio.current_time() + TOTAL

    async def parts(self, *looks: Part) -> None:
        """Run all looks concurrently, each within so many seconds; a late or failed look is noted by its area."""
        await each(lambda part: self._part(*part), looks)

    async def _part(self, area: str, seconds: float, look: Look) -> None:
        self._pending.append(area)
        self._say(f"looking at {', '.join(dict.fromkeys(self._pending))}")
        seen = None
        end = min(anyio.current_time() + seconds, self._end)
        with anyio.CancelScope(deadline=end), contextlib.suppress(EngineError):
            seen = await look()
        self._pending.remove(area)
        if seen is None:
            self.late.append(area)
        elif seen:  # else there was nothing to look at
            self.looked.append(area)
            self.errors += seen.pop("errors", ())
            self.groups |= seen

    async def project_and_engine(self, stack: contextlib.AsyncExitStack) -> None:
        """Look at the engine and the project, then at what depends on both."""
        await self.parts((ENGINE, 3 * REACH, partial(self._reach, stack)), (PROJECT, LOAD, self._project))
        if any(code == "engine-address" for code, _ in self.errors):
            # Compose fails at the address as well, in Docker's words.
            self.errors = [(code, error) for code, error in self.errors if code != "project-wrong"]
        engine, loaded = self._engine, self._loaded
        looks: list[Part] = []
        if engine:
            await self.parts((ENGINE, REACH, partial(_of, "engine", engine_info, engine)))
            looks.append((BUILDER, LOCAL, partial(_builder, engine)))
        known = facts.DoctorFacts(**self.groups)
        looks.append((MACHINE, LOCAL, partial(_machine, known.engine.root if known.engine.here else "")))
        if loaded:
            looks.append((PROJECT, 2 * project.TREE, partial(_of, "tree", project.tree, loaded.project)))
        if engine and loaded:
            looks.append((MACHINE, LOCAL, partial(_taken, engine, loaded.project)))
        if engine and (loaded or PROJECT not in self.looked):
            subject = loaded.project if loaded else None
            probe = ImageSourcesProbe(engine, subject, known.engine, known.client.missing_helpers)
            looks.append((REGISTRIES, 2 * SITE, probe.look))
        await self.parts(*looks)

    async def _reach(self, stack: contextlib.AsyncExitStack) -> Seen:
        try:
            endpoint = await resolve()
        except DevenvError as error:
            return {"errors": (("engine-address", error),)}
        failed = EngineError(f"the engine at {endpoint.host} does not answer")
        failed.__cause__ = TimeoutError()
        with anyio.move_on_after(REACH if endpoint.local else 2 * REACH):
            try:
                self._engine = await stack.enter_async_context(Engine.connect(endpoint))
            except EngineError as error:
                failed = error
            else:
                return {"address": facts.EngineAddress(endpoint.host, endpoint.context)}
        return await unreached(endpoint, failed)

    async def _project(self) -> Seen:
        """The built services and the networks' MTU; empty outside of a project, or without the docker command."""
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


async def _tools() -> Seen:
    other = host_limits.other_devenv()
    if shutil.which("docker") is None:
        return {"tools": facts.Tools(docker=False, other=other)}
    asked = (["docker", "compose", "version", "--short"], ["docker", "buildx", "version"])
    compose, buildx = map(_version, await each(process.run, asked))
    return {"tools": facts.Tools(compose=compose, buildx=buildx, other=other)}


def _version(done: process.Completed) -> str | None:
    version = next((word for word in done.text.split() if word.lstrip("v")[:1].isdigit()), None)
    return version.removeprefix("v") if version and not done.returncode else None


async def _machine(engine_root: str) -> Seen | None:
    limits = await routes.within(LOCAL, partial(host_limits.machine, engine_root))
    return None if limits is None else {"machine": facts.Machine(**limits)}


async def _proxies() -> Seen:
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


async def _settings() -> Seen:
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


async def _builder(engine: Engine) -> Seen:
    name, instance = selected(engine.endpoint)
    is_gone = False
    if name not in ("", "default") and not instance:
        is_gone = (await process.run(["docker", "context", "inspect", "--", name])).returncode != 0
    driver, selection = str(instance.get("Driver", "")), "" if os.environ.get("BUILDX_BUILDER") else selection_file()
    return {"builder": facts.Builder(name, driver, is_gone, selection, await proxies.gateway(engine))}


async def _taken(engine: Engine, project: Project) -> Seen:
    if not engine.endpoint.local or project.settings.ports == "auto":
        return {}
    held = {port for c in (await engine.project_state(project.name)).containers for _, port, _ in c.ports}
    addresses = () if project.settings.ports == "as-written" else listeners.loopbacks(engine.kernel)
    wanted = ports.wanted_ports(project, [s.name for s in project.services], {}, addresses)
    return {"taken": await taken([port for port in wanted if port.port not in held], engine)}


async def _of(group: str, look: Callable[[Any], Awaitable[object]], subject: object) -> Seen:
    value = await look(subject)
    return {group: value} if value else {}
