"""The docker CLI's own settings: where they lie, and which engine they name."""

from __future__ import annotations

import contextlib
import json
import os

DEFAULT_SOCKET = "unix:///var/run/docker.sock"


def config_folder() -> str:
    """Where the docker CLI keeps its settings."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def named() -> str | None:
    """The context in force, by DOCKER_CONTEXT or else the CLI's settings; None for the default one."""
    found = os.environ.get("DOCKER_CONTEXT") or _current()
    return None if found in (None, "", "default") else found


def _current() -> str | None:
    path = os.path.join(config_folder(), "config.json")
    with contextlib.suppress(OSError, ValueError, AttributeError), open(path, "rb") as file:
        value = json.load(file).get("currentContext")
        return value if isinstance(value, str) else None
    return None
