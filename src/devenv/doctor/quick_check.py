"""The doctor's quick part, for every `up`: without child processes, registries, or the modules for them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import anyio

from devenv.docker.client import Engine
from devenv.docker.endpoint import resolve
from devenv.doctor.diagnose import diagnose
from devenv.doctor.facts import VIRTUAL, DoctorFacts, EngineInfo, Machine
from devenv.errors import EngineError
from devenv.events import Emit, Notice
from devenv.host import limits
from devenv.model.answers import INFO
from devenv.tasks import each


async def connected(stack: contextlib.AsyncExitStack) -> Engine:
    """Connect to the engine until the stack is closed. Raises EngineError with the doctor's finding."""
    endpoint = await resolve()
    try:
        return await stack.enter_async_context(Engine.connect(endpoint))
    except EngineError as error:
        from devenv.doctor.probes import unreached  # noqa: PLC0415 - a run that goes well does not pay for it

        first, *rest = diagnose(DoctorFacts(**await unreached(endpoint, error)))
        hints = filter(None, (first.hint, *(f"{finding.message}: {finding.hint}" for finding in rest)))
        raise EngineError(first.message, hint="; or ".join(hints) or None) from error


async def warn(engine: Engine, emit: Emit) -> None:
    """Report causes for a failure of the run that can be seen at once."""
    with contextlib.suppress(EngineError):
        info = await engine_info(engine)
        room = await anyio.to_thread.run_sync(limits.machine, info.root if info.here else "")
        for finding in diagnose(DoctorFacts(machine=Machine(**room))):
            if finding.severity != INFO:
                emit(Notice(finding.message, finding.hint))


async def engine_info(engine: Engine) -> EngineInfo:
    """What the engine says of itself. Raises EngineError."""
    paths = ("info", "version")
    shown, version = await each(lambda path: engine.ask(path, "asking for the engine", dict[str, Any]), paths)
    proxies = {"HTTPS_PROXY": shown.get("HttpsProxy"), "HTTP_PROXY": shown.get("HttpProxy")}
    kind = _kind(shown, version)
    is_kernel = engine.kernel == os.uname().release and kind not in VIRTUAL
    return EngineInfo(
        version=str(shown.get("ServerVersion", "")),
        kind=kind,
        platform=engine.platform,
        root=str(shown.get("DockerRootDir") or ""),
        here=engine.endpoint.local and is_kernel,
        proxies={name: str(value) for name, value in proxies.items() if value},
        mirrors=tuple((shown.get("RegistryConfig") or {}).get("Mirrors") or ()),
    )


def _kind(shown: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    system = {"Docker Desktop": "desktop", "OrbStack": "orbstack"}.get(str(shown.get("OperatingSystem")), "")
    if system or str(shown.get("Name", "")).startswith("colima"):
        return system or "colima"
    if any(part.get("Name") == "Podman Engine" for part in version.get("Components") or ()):
        return "podman"
    return "rootless" if any("rootless" in option for option in shown.get("SecurityOptions") or ()) else ""
