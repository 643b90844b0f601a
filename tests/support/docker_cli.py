"""The engine, by the docker command line or a plain request, without any code of devenv."""

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

BASE_IMAGE = "stand-in.devenv/debian:trixie-slim"
PUBLIC_BASE = "debian:trixie-slim"
PROJECT_LABEL = "com.docker.compose.project"
T = TypeVar("T")


class DockerError(AssertionError):
    """A docker command failed; the text is Docker's own."""


STILLBORN = "waiting for init preliminary setup"  # runc reports a first process that was lost before it ran anything


def docker(*args: str, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """Standard output without the last line end. Raises DockerError."""
    done = subprocess.run(
        ["docker", *args],
        env={**os.environ, **(env or {})},
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
    )
    name = next((arg.removeprefix("--name=") for arg in args if arg.startswith("--name=")), None)
    if done.returncode and STILLBORN in done.stderr + done.stdout and (name or args[0] == "exec"):
        if name:
            docker("rm", "-fv", name, env=env)
        return docker(*args, env=env, stdin=stdin)
    if done.returncode:
        raise DockerError(f"docker {' '.join(args)}: {done.returncode} {(done.stderr or done.stdout).strip()}")
    return done.stdout.rstrip("\n")


def succeeds(*args: str, env: Mapping[str, str] | None = None) -> bool:
    """Whether the docker command exits with 0."""
    try:
        docker(*args, env=env)
    except DockerError:
        return False
    return True


def containers(project: str, service: str | None = None) -> list[str]:
    """Ids of all containers of a project (or of one service), running or not, the newest first."""
    labels = [f"{PROJECT_LABEL}={project}", *([f"com.docker.compose.service={service}"] if service else [])]
    return [entry["Id"] for entry in _listed("containers/json", label=labels)]


def networks(project: str | None = None) -> list[str]:
    """Names of the networks that carry the project's label, or of all networks."""
    return sorted(entry["Name"] for entry in _listed("networks", label=_label(project)))


def volumes(project: str | None = None) -> list[str]:
    """Names of the volumes that carry the project's label, or of all volumes."""
    return sorted(entry["Name"] for entry in _listed("volumes", label=_label(project))["Volumes"] or ())


def _label(project: str | None) -> list[str]:
    return [] if project is None else [f"{PROJECT_LABEL}={project}"]


def _listed(path: str, **filters: list[str]) -> Any:
    """The engine's list: a request takes a tenth of the time of a command, and tests make thousands."""
    try:
        answer = request("GET", f"/{path}?all=1&filters={quote(json.dumps(filters))}")
    except (OSError, http.client.HTTPException) as error:
        raise DockerError(f"{path}: {error!r}") from error
    if answer.status != 200:
        raise DockerError(f"{path}: {answer.status} {answer.body.decode(errors='replace')}")
    return json.loads(answer.body)


@dataclass(frozen=True)
class Answer:
    """An answer of the engine."""

    status: int
    body: bytes


def request(method: str, target: str, body: object = None, *, timeout: float | None = 30) -> Answer:
    """Send one request to the engine's unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX)
    content = None if body is None else json.dumps(body)
    with contextlib.closing(connection):
        connection.sock.connect(engine_socket())
        connection.request(method, target, content, {} if content is None else {"Content-Type": "application/json"})
        response = connection.getresponse()
        return Answer(response.status, response.read())


def engine_socket() -> str:
    """The path of the engine's unix socket that the docker command line uses, too."""
    return (os.environ.get("DOCKER_HOST") or "/var/run/docker.sock").removeprefix("unix://")


def inspect(name: str) -> dict[str, Any]:
    """The output of `docker inspect` for one container, network, volume or image. Raises DockerError."""
    for place in ("containers/{}/json", "networks/{}", "volumes/{}", "images/{}/json"):
        answer = request("GET", f"/{place.format(quote(name))}")
        if answer.status == 200:
            details: dict[str, Any] = json.loads(answer.body)
            return details
    raise DockerError(f"docker inspect {name}: {answer.status} {answer.body.decode(errors='replace')}")


def execute(container: str, *argv: str, user: str | None = None) -> str:
    """The output of a command in a running container. Raises DockerError."""
    code, output, errors = _executed(container, argv, user)
    if code:
        raise DockerError(f"docker exec {container} {' '.join(argv)}: {code} {(errors or output).decode().strip()}")
    return output.decode().rstrip("\n")


def read(container: str, path: str) -> str | None:
    """The text of a file in a container, byte for byte; None if there is none.

    A command in the container, which follows links and sees file systems in memory, takes twenty times the processor
    time of an archive.
    """
    answer = request("GET", f"/containers/{quote(container)}/archive?path={quote(path)}")
    if answer.status == 200:
        with contextlib.suppress(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
            member = archive.next()
            if member is not None and member.isreg() and (file := archive.extractfile(member)):
                return file.read().decode()
    code, output, _ = _executed(container, ["cat", path])
    return None if code else output.decode()


def _executed(container: str, argv: Sequence[str], user: str | None = None) -> tuple[int, bytes, bytes]:
    """Exit code, standard output and standard error of a command, without the 50 ms of processor time of `docker`."""
    wish = {"AttachStdout": True, "AttachStderr": True, "Cmd": [*argv], "User": user or ""}
    created = request("POST", f"/containers/{quote(container)}/exec", wish)
    if created.status != 201:
        return 1, b"", created.body
    place = f"/exec/{json.loads(created.body)['Id']}"
    started = request("POST", f"{place}/start", {"Detach": False, "Tty": False}, timeout=None)
    if started.status != 200:
        again = STILLBORN.encode() in started.body
        return _executed(container, argv, user) if again else (126, b"", started.body)
    streams, rest = {1: b"", 2: b""}, started.body
    while rest:  # each piece has a head: the stream, three zeros, and its size
        size = int.from_bytes(rest[4:8], "big")
        streams[rest[0]] += rest[8 : 8 + size]
        rest = rest[8 + size :]
    code = json.loads(request("GET", f"{place}/json").body)["ExitCode"]
    if code and STILLBORN.encode() in streams[1] + streams[2]:
        return _executed(container, argv, user)
    return code, streams[1], streams[2]


def remove_project(project: str) -> None:
    """Remove all containers, networks and volumes that carry the project's label."""
    for container in containers(project):
        request("DELETE", f"/containers/{container}?force=1&v=1", timeout=None)
    for network in networks(project):
        request("DELETE", f"/networks/{quote(network)}")
    for volume in volumes(project):
        request("DELETE", f"/volumes/{quote(volume)}?force=1", timeout=None)


def remove_images(project: str) -> None:
    """Remove the images that Compose built for the project's services."""
    for image in images_of(project):
        request("DELETE", f"/images/{image}?force=1")


def images_of(project: str) -> list[str]:
    """The ids of the images that Compose built for the project's services."""
    return [entry["Id"] for entry in _listed("images/json", reference=[f"{project}-*"])]


def until(probe: Callable[[], T], accept: Callable[[T], object] = bool, *, timeout: float = 30) -> T:
    """The probe's first value that is accepted. Raises AssertionError with the last value if time is up."""
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        if accept(value := probe()):
            return value
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"not within {timeout} s; at last: {value!r}")
        time.sleep(pause(now - began))


def pause(took: float) -> float:
    """The seconds until the next check, after one that took so long: what is waited for needs the processor, too."""
    return min(max(0.05, took), 0.5)


@dataclass(frozen=True)
class Inventory:
    """Kind and id -> a line that names the object, and the project that it belongs to."""

    objects: dict[tuple[str, str], tuple[str, str]]

    @classmethod
    def now(cls) -> Inventory:
        """List all containers, networks and volumes."""
        project = f'{{{{.Label "{PROJECT_LABEL}"}}}}'
        listings = {
            "container": ("ps", "-a", "--no-trunc", f"--format={{{{.ID}}}}\t{{{{.Names}}}}\t{project}"),
            "network": ("network", "ls", "--no-trunc", f"--format={{{{.ID}}}}\t{{{{.Name}}}}\t{project}"),
            "volume": ("volume", "ls", f"--format={{{{.Name}}}}\t{{{{.Name}}}}\t{project}"),
        }
        objects = {}
        for kind, listing in listings.items():
            for line in docker(*listing).splitlines():
                key, name, owner = line.split("\t")
                objects[kind, key] = (name, owner)
        return cls(objects)

    def changes(self, later: Inventory, *, only_project_prefix: str | None = None) -> list[str]:
        """What was added or is missing later, one line each; with a prefix, only in such projects."""
        signs = (("left behind", later.objects, self.objects), ("gone", self.objects, later.objects))
        return [
            f"{sign}: {kind} {name} {f'of project {owner}' if owner else ''}".rstrip()
            for sign, some, others in signs
            for (kind, key), (name, owner) in some.items()
            if (kind, key) not in others
            if only_project_prefix is None or owner.startswith(only_project_prefix)
        ]


def ensure_base_image() -> str:
    """Pull or make the small image that test containers run on, if it is missing."""
    if succeeds("image", "inspect", BASE_IMAGE):
        return BASE_IMAGE
    if succeeds("pull", "--quiet", PUBLIC_BASE):
        docker("tag", PUBLIC_BASE, BASE_IMAGE)
        return BASE_IMAGE
    from devenv.docker.client import Engine  # noqa: PLC0415 - most runs have the image
    from devenv.images.standins import build, recipes  # noqa: PLC0415 - as above

    async def make() -> str:
        recipe = recipes.find(PUBLIC_BASE)
        assert recipe is not None
        async with Engine.connect() as engine:
            await build.make(engine, [recipe], lambda _: None)
        return recipe.image

    return anyio.run(make)
