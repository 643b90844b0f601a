"""All that the doctor looks at, at once; what does not answer within its time is left alone, and named."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio

from devenv.compose import compat
from devenv.compose import files as sources
from devenv.compose import resolve as load
from devenv.compose.resolve import Loaded, Selection
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.context import config_folder
from devenv.docker.endpoint import Endpoint, WayError, resolve
from devenv.docker.unreachable import start_command
from devenv.doctor import network as routes
from devenv.doctor import project_tree
from devenv.doctor.catalog import BUILDER, ENGINE, MACHINE, PROJECT, PROXIES, REGISTRIES, TOOLS
from devenv.doctor.diagnose import Facts
from devenv.doctor.quick_check import about
from devenv.doctor.registries import SITE, Sources, asked_mirrors, direct
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.host import limits as host
from devenv.host import listeners, ports, proxies
from devenv.host.free_ports import taken
from devenv.host.registry_auth import cli_settings
from devenv.images.build import selected, selection_file
from devenv.model.project import Project
from devenv.sync.rules.lint import faults
from devenv.tasks import each

CHILD, REACH, PROXY, LOAD, LOCAL = 2.0, 2.0, 1.5, 4.0, 1.5  # seconds
TOTAL = 7.0  # of the whole round, whatever hangs
MTU, BRIDGE_MTU = "com.docker.network.driver.mtu", 1500
LAYERS = ("HTTP_PROXY", "HTTPS_PROXY")
REASONS: dict[type[BaseException], str] = {
    FileNotFoundError: "engine-missing",
    ConnectionRefusedError: "engine-stopped",
    PermissionError: "engine-forbidden",
}
Say = Callable[[str], object]
Seen = dict[str, Any]  # fields of `Facts`
Look = Callable[[], Awaitable[Seen | None]]
Part = tuple[str, float, Look]  # the area, and the seconds that the look may take


async def gather(selection: Selection, say: Say) -> Facts:
    """The facts of this machine, and of the selected project, if one is there. `say` is told what is waited for."""
    look = _Round(selection, say)
    async with contextlib.AsyncExitStack() as stack:
        alone = partial(
            look.parts, (TOOLS, CHILD, _tools), (PROXIES, 2 * PROXY, _proxies), (PROXIES, LOCAL, _settings)
        )
        await each(lambda work: work(), (alone, partial(look.project_and_engine, stack)))
    return Facts(
        **look.found, told=tuple(look.told), looked=tuple(look.looked), unchecked=tuple(dict.fromkeys(look.late))
    )


async def unreached(endpoint: Endpoint, error: EngineError) -> Seen:
    """Why the engine could not be connected to, and what else listens on this machine."""
    elsewhere = await routes.patiently(LOCAL, lambda: tuple(host.engines_elsewhere(endpoint.host)))
    away = "docker context use default" if endpoint.context else "unset DOCKER_HOST"
    start = start_command() if endpoint.local else away
    found = {"host": endpoint.host, "context": endpoint.context, "start": start, "elsewhere": elsewhere or ()}
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    if not any(isinstance(cause, OSError) for cause in causes):
        return {**found, "told": (("engine-unusable", error),)}
    if said := next((str(cause) for cause in causes if isinstance(cause, WayError)), ""):
        found |= {"why": f": {said}", "start": error.hint}
    reasons = (REASONS[type(cause)] for cause in causes if type(cause) in REASONS)
    return {**found, "state": next(reasons, "engine-silent") if endpoint.local else "engine-unreachable"}


class _Round:
    """One look around: what was found, what was told by errors, and what was not in time."""

    def __init__(self, selection: Selection, say: Say) -> None:
        self.found: Seen = {}
        self.told: list[tuple[str, DevenvError]] = []
        self.looked: list[str] = []
        self.late: list[str] = []
        self._selection = selection
        self._say = say
        self._pending: list[str] = []
        self._loaded: Loaded | None = None
        self._engine: Engine | None = None
        self._end = anyio.current_time() + TOTAL

    async def parts(self, *looks: Part) -> None:
        """All looks at once, each within so many seconds; what is late or fails is noted by its area."""
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
            return
        if seen:  # else there was nothing to look at
            self.looked.append(area)
        self.told += seen.pop("told", ())
        self.found |= seen

    async def project_and_engine(self, stack: contextlib.AsyncExitStack) -> None:
        """The engine and the project, then what hangs on both."""
        await self.parts((ENGINE, 3 * REACH, partial(self._reach, stack)), (PROJECT, LOAD, self._project))
        if any(
            code == "engine-address" for code, _ in self.told
        ):  # Compose stumbles over it as well, in Docker's words
            self.told = [one for one in self.told if one[0] != "project-wrong"]
        engine, loaded = self._engine, self._loaded
        if engine:
            await self.parts((ENGINE, REACH, partial(about, engine)))
        known = Facts(**self.found)
        machine = partial(host.machine, known.root if known.here else "")
        looks: list[Part] = [(MACHINE, LOCAL, partial(routes.patiently, LOCAL, machine))]
        if loaded:
            looks.append((PROJECT, 2 * project_tree.SECONDS, partial(_tree, loaded.project)))
        if engine:
            looks.append((BUILDER, LOCAL, partial(_builder, engine)))
        if engine and loaded:
            looks.append((MACHINE, LOCAL, partial(_taken, engine, loaded.project)))
            looks.append((REGISTRIES, 2 * SITE, Sources(engine, loaded.project, known).look))
        elif engine and known.engine_mirrors:
            looks.append((REGISTRIES, SITE, partial(_mirrors, engine, known)))
        await self.parts(*looks)

    async def _reach(self, stack: contextlib.AsyncExitStack) -> Seen:
        try:
            endpoint = await resolve()
        except DevenvError as error:
            return {"told": (("engine-address", error),)}
        failed = EngineError(f"the engine at {endpoint.host} does not answer")
        failed.__cause__ = TimeoutError()
        with anyio.move_on_after(REACH if endpoint.local else 2 * REACH):
            try:
                self._engine = await stack.enter_async_context(Engine.connect(endpoint))
            except EngineError as error:
                failed = error
            else:
                return {"host": endpoint.host, "context": endpoint.context}
        return await unreached(endpoint, failed)

    async def _project(self) -> Seen:
        """What the project asks for; nothing outside of any project, nor where nobody can read one."""
        chosen = self._selection
        try:
            paths = sources.find(chosen.directory, chosen.files)
        except ConfigError:
            return {}
        if shutil.which("docker") is None:
            return {}
        try:
            loaded = self._loaded = await load.load(chosen, faults=faults)
        except DevenvError as error:
            return {} if isinstance(error, EngineError) else {"told": (("project-wrong", error),)}
        files = sources.everything(sources.read(paths, base=chosen.directory))
        services, networks = loaded.project.services, loaded.model.get("networks") or {}
        return {
            "keys": {key: compat.NEWER_KEYS[key] for file in files for key, _ in compat.newer_keys(file)},
            "built": tuple(service.name for service in services if service.build),
            "memory": sum(_memory(loaded.model["services"].get(s.name) or {}) * s.scale for s in services),
            "ports": tuple(
                int(p.published) for s in services for p in s.ports if p.published and p.published.isdigit()
            ),
            "networks": {name: mtu for name, network in networks.items() if (mtu := _mtu(network or {}))},
        }


async def _tools() -> Seen:
    found: Seen = {"other": host.other_devenv(), "docker": shutil.which("docker") is not None}
    if not found["docker"]:
        return found
    asked = (["docker", "compose", "version", "--short"], ["docker", "buildx", "version"])
    for name, done in zip(("compose", "buildx"), await each(process.run, asked), strict=True):
        version = next((word for word in done.text.split() if word.lstrip("v")[:1].isdigit()), None)
        found[name] = version.removeprefix("v") if version and not done.returncode else None
    return found


async def _proxies() -> Seen:
    given = {name: os.environ.get(name) or os.environ.get(name.lower()) or "" for name in LAYERS}
    given = {name: value for name, value in given.items() if value}
    internal = tuple((n, h) for n, v in given.items() for h in proxies.INTERNAL if f"//{h}" in v or f"@{h}" in v)
    try:
        chosen = proxies.chosen(os.environ, urllib.request.getproxies())
    except ConfigError as error:
        return {"internal": internal, "told": (("proxy-invalid", error),)}
    asked = list(dict.fromkeys(chosen[name] for name in LAYERS if name in chosen))
    answers = await each(lambda proxy: routes.patiently(PROXY, partial(_answers, proxy)), asked)
    return {
        "environment": given,
        "exceptions": os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "",
        "internal": internal,
        "dead": tuple(proxy for proxy, answer in zip(asked, answers, strict=True) if not answer),
    }


def _answers(proxy: str) -> bool:
    address = urlsplit(proxy)
    with socket.create_connection((str(address.hostname), address.port or 80), PROXY):
        return True


async def _settings() -> Seen:
    try:
        settings = cli_settings()
    except ConfigError as error:
        return {"told": (("docker-config", error),)}
    named = [settings.get("credsStore"), *(settings.get("credHelpers") or {}).values()]
    programs = dict.fromkeys(f"docker-credential-{name}" for name in named if name)
    inside: dict[str, str | None] = (settings.get("proxies") or {}).get("default") or {}
    return {
        "config": os.path.join(config_folder(), "config.json"),
        "inside": {name: value for name, value in inside.items() if value},
        "helpers": tuple(program for program in programs if shutil.which(program) is None),
    }


async def _builder(engine: Engine) -> Seen:
    name, instance = selected(engine.endpoint)
    gone = False
    if name not in ("", "default") and not instance:
        gone = (await process.run(["docker", "context", "inspect", "--", name])).returncode != 0
    return {
        "builder": name,
        "driver": str(instance.get("Driver", "")),
        "proxied": "_proxy" in str([node.get("DriverOpts") for node in instance.get("Nodes") or ()]).lower(),
        "gone": gone,
        "selection": "" if os.environ.get("BUILDX_BUILDER") else selection_file(),
        "gateway": await proxies.gateway(engine),
    }


async def _taken(engine: Engine, project: Project) -> Seen:
    if not engine.endpoint.local or project.settings.ports == "auto":
        return {}
    held = {port for c in (await engine.project_state(project.name)).containers for _, port, _ in c.ports}
    addresses = () if project.settings.ports == "as-written" else listeners.loopbacks(engine.kernel)
    wanted = ports.wanted_ports(project, [s.name for s in project.services], {}, addresses)
    return {"taken": await taken([port for port in wanted if port.port not in held], engine)}


async def _mirrors(engine: Engine, known: Facts) -> Seen:
    return {
        "mirrors": await asked_mirrors(
            engine, dict.fromkeys(known.engine_mirrors, "the engine's"), at_site=direct(known)
        )
    }


async def _tree(project: Project) -> Seen:
    looks: Mapping[str, Callable[[Project], object]] = {
        "folders": project_tree.folders,
        "silent": project_tree.silent,
        "crlf": project_tree.crlf,
    }
    found = await each(
        lambda look: routes.patiently(2 * project_tree.SECONDS, partial(look, project)), looks.values()
    )
    return {name: one for name, one in zip(looks, found, strict=True) if one is not None}


def _mtu(network: Mapping[str, Any]) -> int:
    """How large packets of a bridge with a way out are; 0 for other networks, and those that are not ours."""
    if network.get("external") or network.get("internal") or network.get("driver") not in (None, "bridge"):
        return 0
    given = str((network.get("driver_opts") or {}).get(MTU, ""))
    return int(given) if given.isdigit() else BRIDGE_MTU


def _memory(service: Mapping[str, Any]) -> int:
    """What one container may take at most, in bytes; 0 without a limit."""
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    given = str(service.get("mem_limit") or limits.get("memory") or "")
    return int(given) if given.isdigit() else 0
