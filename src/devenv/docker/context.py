"""The docker CLI's own settings: their folder, and the engine that they name."""

from __future__ import annotations

import contextlib
import json
import os

DEFAULT_SOCKET = "unix:///var/run/docker.sock"


def config_folder() -> str:
    """The folder of the docker CLI's settings."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def current() -> str | None:
    """The current context, by DOCKER_CONTEXT or else the CLI's settings; None for the default context."""
    name = os.environ.get("DOCKER_CONTEXT") or _current()
    return None if name in (None, "", "default") else name


def socket() -> str | None:
    """The path of the engine's socket by the settings alone, or None if the engine is reached in another way.

    Like `endpoint.resolve`, but without a child process: a context that cannot be read is ignored.
    """
    address = os.environ.get("DOCKER_HOST")
    if not address:
        name = current()
        address = DEFAULT_SOCKET if name is None else _host(name)
    return address.removeprefix("unix://") if address and address.startswith("unix://") else None


def _host(context: str) -> str | None:
    import hashlib  # noqa: PLC0415 - most people use the default context

    folder = hashlib.sha256(context.encode(errors="surrogateescape")).hexdigest()
    path = os.path.join(config_folder(), "contexts", "meta", folder, "meta.json")
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError), open(path, "rb") as file:
        host = json.load(file)["Endpoints"]["docker"]["Host"]
        return host if isinstance(host, str) else None
    return None


def _current() -> str | None:
    path = os.path.join(config_folder(), "config.json")
    with contextlib.suppress(OSError, ValueError, AttributeError), open(path, "rb") as file:
        value = json.load(file).get("currentContext")
        return value if isinstance(value, str) else None
    return None
