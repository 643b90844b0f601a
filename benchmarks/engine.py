"""The engine as a bystander sees it: the docker command line, the raw archive request, a container's files."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BASE = "debian:trixie-slim"
NODE = "node:22"


def docker(*args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """What docker prints, stripped. Raises CalledProcessError."""
    return subprocess.run(
        ["docker", *args], cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=True
    ).stdout.strip()


def image(reference: str) -> str:
    """The reference itself, or the stand-in that `devenv images bootstrap` made for it."""
    stand_in = f"stand-in.devenv/{reference}"
    return stand_in if docker("images", "-q", stand_in) else reference


def containers(project: str, service: str) -> list[str]:
    """Ids of the service's running containers."""
    labels = (f"com.docker.compose.project={project}", f"com.docker.compose.service={service}")
    return docker("ps", "-q", "--no-trunc", *(f"--filter=label={label}" for label in labels)).split()


def root(container: str) -> Path:
    """The container's root folder as this machine sees it; looking there costs the container nothing."""
    return Path("/proc", docker("inspect", "--format={{.State.Pid}}", container), "root")


def address(container: str) -> str:
    """The container's IP address."""
    return docker("inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container)


@contextlib.contextmanager
def counting_starts(container: str) -> Iterator[list[str]]:
    """A list that has, afterwards, a line for each start of the container; the engine forgets events soon."""
    started: list[str] = []
    argv = ["docker", "events", "--filter=event=start", f"--filter=container={container}", "--format={{.ID}}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        try:
            time.sleep(0.3)  # until it listens
            yield started
        finally:
            child.terminate()
            started += child.communicate()[0].split()


def tar(folder: Path, name: str) -> bytes:
    """The folder as an archive, under another name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(folder, name, filter=_as_root)
    return buffer.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def put(container: str, path: str, archive: bytes) -> float:
    """Seconds that one archive request takes, answer included. Raises ConnectionError where it is refused."""
    connection = _Connection("localhost")
    with contextlib.closing(connection):
        began = time.perf_counter()
        query = urllib.parse.urlencode({"path": path})
        connection.request("PUT", f"/containers/{container}/archive?{query}", archive)
        answer = connection.getresponse()
        said = answer.read()
        taken = time.perf_counter() - began
    if answer.status != http.client.OK:
        raise ConnectionError(said.decode())
    return taken


def call(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """The answer of the engine, None if it is empty. Raises ConnectionError for an error."""
    connection = _Connection("localhost")
    with contextlib.closing(connection):
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    if answer.status >= http.client.BAD_REQUEST:
        raise ConnectionError(content.decode())
    return json.loads(content) if content else None


def pull(reference: str) -> None:
    """Pull an image, named with its tag. Raises ConnectionError if that fails."""
    name, _, tag = reference.rpartition(":")
    connection = _Connection("localhost")
    with contextlib.closing(connection):
        connection.request("POST", f"/images/create?{urllib.parse.urlencode({'fromImage': name, 'tag': tag})}")
        said = connection.getresponse().read().decode()
    if '"error"' in said:
        raise ConnectionError(said)


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))


class Shell:
    """A shell that is open in the container: a line each, answered."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def run(self, line: str) -> None:
        """Returns when the line is done."""
        assert self._child.stdin
        assert self._child.stdout
        self._child.stdin.write(f"{line}; echo\n")
        self._child.stdin.flush()
        self._child.stdout.readline()


@contextlib.contextmanager
def shell(container: str) -> Iterator[Shell]:
    """A shell in the container, ended afterwards."""
    child = subprocess.Popen(
        ["docker", "exec", "-i", container, "sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Shell(child)
    finally:
        assert child.stdin
        child.stdin.close()
        child.wait(10)
