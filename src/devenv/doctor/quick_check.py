"""The quick part of the doctor, for every `up`: without child processes, registries, or modules for them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import anyio

from devenv.docker import peer
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint, resolve
from devenv.docker.inspect import is_podman
from devenv.doctor.diagnose import diagnose
from devenv.doctor.facts import VIRTUAL, DoctorFacts, EngineInfo, Machine
from devenv.errors import EngineError
from devenv.events import Emit, Notice
from devenv.host import limits
from devenv.lazy_imports import LazyImports
from devenv.model.answers import INFO
from devenv.tasks import each

if TYPE_CHECKING:
    from devenv.remote.line import Line, Login

with LazyImports():  # for an engine on another machine
    from devenv.remote import line

WARN_SECONDS = 5.0  # for which the engine may be silent: a run that has failed, or was cancelled, waits so long


async def connected(stack: contextlib.AsyncExitStack) -> Engine:
    """Connect to the engine until the stack is closed. Raises EngineError with the doctor's finding."""
    endpoint = await resolve()
    async with _explained(endpoint):
        return await stack.enter_async_context(Engine.connect(endpoint))


async def connected_by_line(
    stack: contextlib.AsyncExitStack, emit: Emit, login: Login | None = None
) -> tuple[Engine, Line | None]:
    """As `connected`, but an engine that is reached by ssh gets a line, which children use too.

    For commands that run for long: a program that replaces this process would lose the line. `login` has begun.
    """
    endpoint, first = login or (await resolve(), None)
    async with _explained(endpoint):
        opened = None
        if not endpoint.has_files:
            endpoint, opened = await stack.enter_async_context(line.line(endpoint, emit, first))
        engine = await stack.enter_async_context(Engine.connect(endpoint, ask_ahead=True))
        if opened is not None:
            engine.is_away = lambda: opened.is_shaky
        return engine, opened


@contextlib.asynccontextmanager
async def _explained(endpoint: Endpoint) -> AsyncIterator[None]:
    try:
        yield
    except EngineError as error:
        from devenv.doctor.probes import unreached  # noqa: PLC0415 - slow to import, and needed only for errors

        first, *rest = diagnose(DoctorFacts(**await unreached(endpoint, error)))
        hints = filter(None, (first.hint, *(f"{finding.message}: {finding.hint}" for finding in rest)))
        raise EngineError(first.message, hint="; or ".join(hints) or None) from error


async def warn(engine: Engine, emit: Emit) -> None:
    """Report findings about this machine that may make the run fail, even if it fails in the meantime."""
    with contextlib.suppress(EngineError), anyio.move_on_after(WARN_SECONDS, shield=True):
        info = await engine_info(engine) if engine.endpoint.has_files else None
        machine = await anyio.to_thread.run_sync(limits.machine, info.root if info and info.here else "")
        for finding in diagnose(DoctorFacts(machine=Machine(**machine))):
            if finding.severity != INFO:
                emit(Notice(finding.message, finding.hint))


async def engine_info(engine: Engine) -> EngineInfo:
    """What the engine reports about itself. Raises EngineError."""
    info, version = await each(engine.about, ("info", "version"))
    proxies = {"HTTPS_PROXY": info.get("HttpsProxy"), "HTTP_PROXY": info.get("HttpProxy")}
    kind = _kind(info, version)
    is_here = kind not in VIRTUAL and await peer.is_on_this_machine(engine.endpoint, engine.kernel)
    return EngineInfo(
        version=str(info.get("ServerVersion", "")),
        kind=kind,
        platform=engine.platform,
        root=str(info.get("DockerRootDir") or ""),
        here=is_here,
        proxies={name: str(value) for name, value in proxies.items() if value},
        mirrors=tuple((info.get("RegistryConfig") or {}).get("Mirrors") or ()),
    )


def _kind(info: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    system = {"Docker Desktop": "desktop", "OrbStack": "orbstack"}.get(str(info.get("OperatingSystem")), "")
    if system or str(info.get("Name", "")).startswith("colima"):
        return system or "colima"
    if is_podman(version):
        return "podman"
    return "rootless" if any("rootless" in option for option in info.get("SecurityOptions") or ()) else ""
