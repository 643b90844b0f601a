"""The engine in the docker CLI's settings, its containers, and its plugin Compose, without a child process."""

from __future__ import annotations

import _socket  # `socket` takes longer to import than the engine to answer
import contextlib
import datetime as dt
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devenv.docker import inspect
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container

with LazyImports():  # rarely needed
    import hashlib
    import shutil

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
TIMEOUT = 2.0
PLUGIN_FOLDERS = tuple(
    f"/usr/{place}/docker/cli-plugins" for place in ("local/lib", "local/libexec", "lib", "libexec")
)


def config_folder() -> str:
    """The folder of the docker CLI's settings."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def current() -> str | None:
    """The current context, from DOCKER_CONTEXT or else the CLI's settings; None for the default context."""
    name = os.environ.get("DOCKER_CONTEXT") or _setting("config.json", "currentContext")
    return None if name in (None, "", "default") else name


def select(name: str) -> None:
    """Use another engine from now on, also in children: that of a context, or else of an address or an ssh host."""
    if name == "default" or host(name) is not None:
        os.environ["DOCKER_CONTEXT"] = name
        os.environ.pop("DOCKER_HOST", None)
    else:
        os.environ["DOCKER_HOST"] = name if "://" in name else f"ssh://{name}"
        os.environ.pop("DOCKER_CONTEXT", None)


def socket_path() -> str | None:
    """The path of the engine's socket, or None if the engine is reached in another way.

    Like `endpoint.resolve`, but without a child process: a context that cannot be read is ignored.
    """
    address = _address()
    return address.removeprefix("unix://") if address and address.startswith("unix://") else None


def _address() -> str | None:
    if address := os.environ.get("DOCKER_HOST"):
        return address
    name = current()
    return DEFAULT_SOCKET if name is None else host(name)


def line_environment(program: str) -> dict[str, str]:
    """What lets `docker` use the line of a run that is up, if the engine is reached by ssh; otherwise empty."""
    if program != "docker" or not (address := _address()) or not address.startswith("ssh://"):
        return {}
    from devenv.docker import ssh_lines  # noqa: PLC0415 - rarely needed

    line = ssh_lines.find(address)
    return {} if line is None else ssh_lines.environment(line)


def offline_compose() -> list[str]:
    """The command of Compose for verbs that need no engine: it would log in to one on another machine."""
    return ["docker", *(("--host", "unix:///dev/null") if socket_path() is None else ()), "compose"]


def host(context: str) -> str | None:
    """The address of a context's engine; None if there is no such context."""
    folder = hashlib.sha256(context.encode(errors="surrogateescape")).hexdigest()
    return _setting(f"contexts/meta/{folder}/meta.json", "Endpoints", "docker", "Host")


def _setting(path: str, *keys: str) -> str | None:
    value = _value(path, *keys)
    return value if isinstance(value, str) else None


def _value(path: str, *keys: str) -> Any:
    """The value below these keys in a JSON file of the CLI's settings; None if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        with open(os.path.join(config_folder(), path), "rb") as file:
            value = json.load(file)
        for key in keys:
            value = value[key]
        return value
    return None


def without_cli(argv: Sequence[str]) -> tuple[list[str], Mapping[str, str]]:
    """`docker compose ...` as the docker CLI runs it: the command of the plugin, and its additional environment.

    The CLI and its question for the plugin's metadata take two thirds of the processor time of a short verb. Other
    commands are returned as they are, and so is this one if `docker` is a script or another program under this name,
    or if the plugin is missing. Source: "Docker CLI Plugin Spec" and the plugin manager of docker/cli.
    """
    if [*argv[:2]] == ["docker", "compose"] and (program := shutil.which("docker")) and _is_cli(program):
        more = _value("config.json", "cliPluginsExtraDirs")
        folders = [
            os.path.join(config_folder(), "cli-plugins"),
            *(more if isinstance(more, list) else ()),
            *PLUGIN_FOLDERS,
        ]
        paths = (os.path.join(str(folder), "docker-compose") for folder in folders)
        plugin = next(filter(os.path.lexists, paths), "")
        if shutil.which(plugin):
            return [plugin, *argv[1:]], {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": program}
    return list(argv), {}


def _is_cli(program: str) -> bool:
    try:
        with open(program, "rb") as file:
            return os.path.basename(os.path.realpath(program)) == "docker" and file.read(2) != b"#!"
    except OSError:  # a program need not be readable
        return False


def local_containers(project: str) -> tuple[tuple[Container, ...], dt.datetime] | None:
    """The containers of the project, as from `Engine.containers.list`, and the engine's time.

    None if the engine has no local socket or its answers are unusual: `Engine` handles these cases, but its import
    takes longer than these requests.
    """
    path = socket_path()
    if path is None:
        return None
    quoted = re.sub(r"[^\w.-]", lambda match: f"%{ord(match[0]):02X}", inspect.labelled(project))  # JSON in ASCII
    try:
        [(listed, now)] = _ask(path, [f"containers/json?all=1&filters={quoted}"])
        ids = filter(None, map(inspect.wanted_id, listed))
        answers = _ask(path, [f"containers/{key}/json" for key in ids])
        return tuple(inspect.container(answer) for answer, _ in answers), now
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _ask(path: str, targets: Iterable[str]) -> list[tuple[Any, dt.datetime]]:
    """The answers to GET requests, all sent before the first answer is read, and the engine's time of each."""
    with contextlib.ExitStack() as stack:
        connections = []
        for target in targets:
            connection = stack.enter_context(contextlib.closing(_socket.socket(_socket.AF_UNIX)))
            connection.settimeout(TIMEOUT)
            connection.connect(path)
            connection.sendall(f"GET /{target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            connections.append(connection)
        return [_parsed(b"".join(iter(functools.partial(each.recv, 1 << 16), b""))) for each in connections]


def _parsed(answer: bytes) -> tuple[Any, dt.datetime]:
    head, _, body = answer.partition(b"\r\n\r\n")
    date = re.search(rb"(?mi)^date: *(.+?)\r?$", head)
    if not re.match(rb"HTTP/1\.[01] 200 ", head) or date is None:
        raise ValueError(head)
    return json.loads(body), inspect.time(date[1].decode())
