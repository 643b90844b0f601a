"""The doctor's quick part: for every `up`, so without children, registries, or the modules for these."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import anyio

from devenv.docker.client import Engine
from devenv.docker.endpoint import resolve
from devenv.doctor.catalog import INFO
from devenv.doctor.diagnose import VIRTUAL, Facts, diagnose
from devenv.errors import EngineError
from devenv.events import Emit, Notice
from devenv.host import limits
from devenv.tasks import each


async def connected(stack: contextlib.AsyncExitStack) -> Engine:
    """The engine, for as long as the stack is open. Raises EngineError with the doctor's words."""
    endpoint = await resolve()
    try:
        return await stack.enter_async_context(Engine.connect(endpoint))
    except EngineError as error:
        from devenv.doctor.probes import unreached  # noqa: PLC0415 - a run that goes well does not pay for it

        first, *rest = diagnose(Facts(**await unreached(endpoint, error)))
        hints = filter(None, (first.hint, *(f"{one.message}: {one.hint}" for one in rest)))
        raise EngineError(first.message, hint="; or ".join(hints) or None) from error


async def warn(engine: Engine, emit: Emit) -> None:
    """What the run may fail of, as far as it is seen in a moment, is told; nothing where all is well."""
    with contextlib.suppress(EngineError):
        found = await about(engine)
        room = await anyio.to_thread.run_sync(limits.machine, found["root"] if found["here"] else "")
        for one in diagnose(Facts(**room)):
            if one.severity != INFO:
                emit(Notice(one.message, one.hint))


async def about(engine: Engine) -> dict[str, Any]:
    """What the engine says of itself, as fields of `Facts`. Raises EngineError."""
    paths = ("info", "version")
    shown, version = await each(lambda path: engine.ask(path, "asking for the engine", dict[str, Any]), paths)
    proxies = {"HTTPS_PROXY": shown.get("HttpsProxy"), "HTTP_PROXY": shown.get("HttpProxy")}
    kind = _kind(shown, version)
    is_kernel = engine.kernel == os.uname().release and kind not in VIRTUAL
    return {
        "version": str(shown.get("ServerVersion", "")),
        "kind": kind,
        "platform": engine.platform,
        "capacity": int(shown.get("MemTotal") or 0),
        "root": str(shown.get("DockerRootDir") or ""),
        "here": engine.endpoint.local and is_kernel,
        "engine_proxies": {name: str(value) for name, value in proxies.items() if value},
        "engine_mirrors": tuple((shown.get("RegistryConfig") or {}).get("Mirrors") or ()),
    }


def _kind(shown: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    system = {"Docker Desktop": "desktop", "OrbStack": "orbstack"}.get(str(shown.get("OperatingSystem")), "")
    if system or str(shown.get("Name", "")).startswith("colima"):
        return system or "colima"
    if any(part.get("Name") == "Podman Engine" for part in version.get("Components") or ()):
        return "podman"
    return "rootless" if any("rootless" in option for option in shown.get("SecurityOptions") or ()) else ""
