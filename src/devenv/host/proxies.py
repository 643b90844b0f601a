"""The proxies of this machine, as variables for child processes and the steps of builds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from devenv.docker.client import Engine
from devenv.errors import ConfigError
from devenv.events import Emit, Notice
from devenv.host.registry_auth import cli_settings
from devenv.lazy_imports import LazyImports
from devenv.model.images import LOOPBACK
from devenv.redact import masked

with LazyImports():  # takes 20 ms, only needed on macOS
    from urllib import request

PROXIES = {"HTTP_PROXY": "http", "HTTPS_PROXY": "https"}  # variable -> scheme
VARIABLES = (*PROXIES, "NO_PROXY")
SCHEMES = ("http", "https", "socks5", "socks5h")
INTERNAL = ("http.docker.internal", "hubproxy.docker.internal")  # Docker Desktop's own: only its engine reaches them
HERE = ("localhost", "127.0.0.1", "::1")
DESKTOP = "host.docker.internal"
PROBE_TIMEOUT = 2.0
_LOCAL = re.compile(rf"\A(\w+://(?:.*@)?)(?:{LOOPBACK.pattern})(?=[:/]|\Z)")


def chosen(environment: Mapping[str, str], system: Mapping[str, str]) -> dict[str, str]:
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment, else of the system; empty if there is no proxy.

    `system` is the result of `urllib.request.getproxies`. Raises ConfigError for a value that is not a proxy.
    """
    given = {name: environment.get(name) or environment.get(name.lower()) or "" for name in VARIABLES}
    if not any(given[name] for name in PROXIES):
        given |= {name: system.get(scheme, "") for name, scheme in PROXIES.items()}
    hosts = {name: _host(name, given[name]) for name in PROXIES if given[name]}
    proxies = {name: given[name] for name, host in hosts.items() if host not in INTERNAL}
    if not proxies:
        return {}
    exceptions = [*filter(None, map(str.strip, (given["NO_PROXY"] or system.get("no", "")).split(",")))]
    return {**proxies, "NO_PROXY": ",".join(dict.fromkeys((*exceptions, *HERE)))}


def seen_inside(proxies: Mapping[str, str], gateway: str) -> dict[str, str]:
    """The proxies as containers reach them: at `gateway` instead of the loopback of this machine."""
    return {name: _LOCAL.sub(rf"\g<1>{gateway}", value) for name, value in proxies.items()}


def child_environment() -> dict[str, str]:
    """The proxies of this machine as variables for child processes. Raises ConfigError."""
    proxies = chosen(os.environ, _system())
    return {**proxies, **{name.lower(): value for name, value in proxies.items()}}  # some programs read only these


async def step_arguments(engine: Engine, emit: Emit) -> dict[str, str]:
    """The build arguments by which RUN steps find the proxies; BuildKit keeps these out of images.

    BuildKit ignores the case of these names. They are in mixed case, since a Dockerfile may declare a name in the
    usual case by ARG, which would put the value into the history of the image.

    Empty if there is no proxy, if the settings of the docker CLI name proxies, or if containers cannot reach the
    proxy, for which a notice is emitted.
    """
    proxies = chosen(os.environ, _system())
    if not proxies or (await anyio.to_thread.run_sync(cli_settings)).get("proxies"):
        return {}
    address = await gateway(engine)
    inside = seen_inside(proxies, address)
    for name in (name for name in proxies if inside[name] != proxies[name]):
        if not address or (address != DESKTOP and not await _answers(inside[name])):
            message = f"your proxy {masked(proxies[name])} listens only on 127.0.0.1, where builds cannot reach it"
            emit(Notice(message, "allow LAN in the proxy's settings, or let it listen on all addresses"))
            return {}
    return {name.title(): value for name, value in inside.items()}


async def gateway(engine: Engine) -> str:
    """The address by which containers reach this machine; empty if the engine is on another machine."""
    if not engine.endpoint.has_files:
        return ""
    system = await engine.ask("info", "asking for the engine's system", lambda info: info["OperatingSystem"])
    if os.uname().sysname == "Darwin" or system == "Docker Desktop":
        return DESKTOP
    configured = await engine.ask("networks/bridge", "inspecting a network", lambda info: info["IPAM"]["Config"])
    return next((str(entry["Gateway"]) for entry in configured or () if "." in entry.get("Gateway", "")), "")


async def _answers(proxy: str) -> bool:
    address = urlsplit(proxy)
    with anyio.move_on_after(PROBE_TIMEOUT):
        try:
            stream = await anyio.connect_tcp(str(address.hostname), address.port or 80)
        except OSError:
            return False
        await stream.aclose()
        return True
    return False


def _system() -> dict[str, str]:
    """The proxies in the settings of macOS; Linux has no such settings."""
    if os.uname().sysname != "Darwin":
        return {}
    return request.getproxies()


def _host(name: str, value: str) -> str:
    """The host of a proxy's address. Raises ConfigError, without its user and password."""
    try:
        address = urlsplit(value)
        valid = address.scheme in SCHEMES and address.hostname and (address.port is None or address.port > 0)
    except ValueError:
        valid = False
    if not valid or re.search(r"\s", value):
        hint = f"{name}=http://proxy.example:3128"
        raise ConfigError(f"{name} is not the address of a proxy: {masked(value, 'http')}", hint=hint)
    return str(address.hostname)
