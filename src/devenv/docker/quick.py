"""Containers of the engine at its local socket, without an event loop: its import takes longer than the requests."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
from typing import Any
from urllib.parse import urlencode

from devenv.docker import context, inspect
from devenv.model.containers import Container

TIMEOUT = 2.0
LOCAL = "unix://"


def containers(project: str) -> tuple[tuple[Container, ...], dt.datetime] | None:
    """The containers of the project like `Engine.containers.list`, and the engine's time.

    None if the engine is not at a local socket or anything is unusual: `Engine` handles these cases.
    """
    host = os.environ.get("DOCKER_HOST") or (context.DEFAULT_SOCKET if context.current() is None else "")
    if not host.startswith(LOCAL):
        return None
    path, query = host.removeprefix(LOCAL), {"all": "1", "filters": inspect.labelled(project)}
    try:
        listed, now = _ask(path, f"containers/json?{urlencode(query)}")
        ids = [entry["Id"] for entry in listed if not inspect.is_foreign_one_off(entry["Labels"])]
        return tuple(inspect.container(_ask(path, f"containers/{key}/json")[0]) for key in ids), now
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _ask(path: str, target: str) -> tuple[Any, dt.datetime]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        connection.sendall(f"GET /{target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    date = re.search(rb"(?mi)^date: *(.+?)\r?$", head)
    if not re.match(rb"HTTP/1\.[01] 200 ", head) or date is None:
        raise ValueError(head)
    return json.loads(body), inspect.time(date[1].decode())
