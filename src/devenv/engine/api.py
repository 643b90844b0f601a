"""The Engine API through aiodocker: inspect, archive, exec sessions, logs, events, the verbs of the way down."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiodocker
import aiohttp
import anyio
from yarl import URL

from devenv.concurrent import each
from devenv.engine.endpoint import Endpoint, dialable, resolve
from devenv.errors import EngineError
from devenv.model.observed import (
    DEPENDS_LABEL,
    OUR_LABEL,
    PROJECT_LABEL,
    SERVICE_LABEL,
    Container,
    Network,
    Scene,
    Volume,
)

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 60.0
NOT_FOUND = 404
CONFLICT = 409
SESSION_MARK = "DEVENV_SESSION"


class CallError(EngineError):
    """The engine answered with an error; `status` is its HTTP code, `reason` its own words."""

    def __init__(self, status: int, reason: str, what: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.status = status
        self.reason = reason


class Engine:
    """One engine, for as long as `connect` holds it open."""

    def __init__(self, docker: aiodocker.Docker, endpoint: Endpoint) -> None:
        self._docker = docker
        self.endpoint = endpoint

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, endpoint: Endpoint | None = None) -> AsyncIterator[Self]:
        """A connected engine. Raises EngineError (exit 4) with the command that starts one."""
        endpoint = endpoint or await resolve()
        async with dialable(endpoint) as path:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
            connector = aiohttp.UnixConnector(path, limit=0, keepalive_timeout=600)
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                aiodocker.Docker("unix://localhost", connector=connector, session=session) as docker,
            ):
                engine = cls(docker, endpoint)
                await engine._greet()
                yield engine

    async def _greet(self) -> None:
        try:
            with anyio.fail_after(2 * CONNECT_TIMEOUT):
                version = await self._docker._query_json("version", versioned_api=False)  # noqa: SLF001 - see below
            # The public call would ask twice: once for the version in its own path.
            self._docker.api_version = f"v{version['ApiVersion']}"
        except TimeoutError as error:
            raise EngineError(
                f"the engine at {self.endpoint.host} accepts connections but does not answer",
                hint="docker info",
            ) from error
        except aiodocker.DockerError as error:
            raise unreachable(self.endpoint, str(error.message)) from error

    # --- one question, one answer ---------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        tar: bool = False,
        timeout: float = ANSWER_TIMEOUT,
    ) -> bytes:
        """The body of the answer; `what` names the wish in error texts.

        An engine that refuses early closes the connection while we still send: its answer is read all the same.
        """
        headers = {"Content-Type": "application/x-tar" if tar else "application/json"}
        data = io.BytesIO(body) if body is not None else None
        try:
            with anyio.fail_after(timeout):
                async with self._docker.session.request(
                    method, self._url(path, query), data=data, headers=headers
                ) as response:
                    content = await response.read()
        except TimeoutError as error:
            raise EngineError(f"{what}: the engine did not answer within {timeout:.0f} s") from error
        except aiohttp.ClientError as error:
            raise unreachable(self.endpoint, str(error)) from error
        if response.status >= 400:  # noqa: PLR2004 - HTTP
            raise CallError(response.status, _reason(content), what)
        return content

    async def _json(self, path: str, what: str, query: Mapping[str, str] | None = None) -> Any:
        return json.loads(await self._call("GET", path, what, query=query))

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        encoded = "?" + urlencode(query, quote_via=quote, errors="surrogateescape") if query else ""
        return URL(f"{self._docker.docker_host}/{self._docker.api_version}/{path}{encoded}", encoded=True)

    # --- what is there --------------------------------------------------------------------------------------

    async def scene(self, project: str) -> Scene:
        """All containers (one-off ones too), networks and named volumes that carry the project's label."""
        label = json.dumps({"label": [f"{PROJECT_LABEL}={project}"]})
        questions: list[tuple[str, dict[str, str]]] = [
            ("containers/json", {"all": "1", "filters": label}),
            ("networks", {"filters": label}),
            ("volumes", {"filters": label}),
        ]
        listed = await each(lambda q: self._json(q[0], "listing the project", q[1]), questions)
        containers = await self._inspected([c["Id"] for c in listed[0]])
        return Scene(
            containers=containers,
            networks=tuple(
                Network(n["Id"], n["Name"], (n.get("Labels") or {}).get(OUR_LABEL) == project) for n in listed[1]
            ),
            volumes=tuple(
                Volume(v["Name"], (v.get("Labels") or {}).get(PROJECT_LABEL)) for v in listed[2]["Volumes"] or ()
            ),
        )

    async def names(self) -> tuple[frozenset[str], frozenset[str]]:
        """The names of all networks and of all volumes on the engine, whoever made them."""
        networks = await self._json("networks", "listing networks")
        volumes = await self._json("volumes", "listing volumes")
        return frozenset(n["Name"] for n in networks), frozenset(v["Name"] for v in volumes["Volumes"] or ())

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """(container name, host ip, host port) of every port that running containers publish."""
        listed = await self._json("containers/json", "listing published ports")
        return tuple(
            (c["Names"][0].lstrip("/"), p.get("IP", ""), p["PublicPort"])
            for c in listed
            for p in c.get("Ports") or ()
            if p.get("PublicPort")
        )

    async def _inspected(self, ids: Sequence[str]) -> tuple[Container, ...]:
        found = await each(self.inspect, ids)
        return tuple(sorted((c for c in found if c is not None), key=lambda c: (c.service, c.name)))

    async def inspect(self, container_id: str) -> Container | None:
        """The container as it is now, or None where it is gone."""
        try:
            return _container(await self._json(f"containers/{container_id}/json", "inspecting a container"))
        except CallError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def health_output(self, container_id: str) -> str:
        """What the last health check printed, or nothing."""
        with contextlib.suppress(EngineError, LookupError, TypeError):
            shown = await self._json(f"containers/{container_id}/json", "reading a health check")
            return str(shown["State"]["Health"]["Log"][-1]["Output"]).strip()
        return ""

    # --- archive --------------------------------------------------------------------------------------------

    async def put(self, container_id: str, tar: bytes) -> None:
        """Extract an uncompressed tar at the container's root. Raises CallError with the engine's reason.

        Not atomic, and a failed call leaves the entries before the bad one in place.
        """
        await self._call(
            "PUT",
            f"containers/{container_id}/archive",
            "writing into a container",
            query={"path": "/", "noOverwriteDirNonDir": "1"},
            body=tar,
            tar=True,
            timeout=10 * ANSWER_TIMEOUT,
        )

    async def get(self, container_id: str, path: str) -> bytes | None:
        """The tar of `path` in the container, or None where there is no such path.

        Entry names begin with the last component of `path`.
        """
        try:
            return await self._call(
                "GET",
                f"containers/{container_id}/archive",
                f"reading {path} in a container",
                query={"path": path},
                timeout=10 * ANSWER_TIMEOUT,
            )
        except CallError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def exists(self, container_id: str, path: str) -> bool:
        """Whether the container has something at `path`."""
        try:
            archive = f"containers/{container_id}/archive"
            await self._call("HEAD", archive, f"looking for {path} in a container", query={"path": path})
        except CallError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    # --- exec -----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def session(
        self, container_id: str, argv: Sequence[str], *, user: str, mark: str
    ) -> AsyncIterator[Session]:
        """A process in the container that reads its orders from us; it ends with the session."""
        container = self._docker.containers.container(container_id)
        try:
            execution = await container.exec(argv, stdin=True, user=user, environment={SESSION_MARK: mark})
            stream = execution.start(detach=False)
            async with stream:
                yield Session(stream)
        except aiodocker.DockerError as error:
            raise CallError(error.status, str(error.message), "opening a shell in a container") from error
        except aiohttp.ClientError as error:
            raise unreachable(self.endpoint, str(error)) from error

    async def execute(
        self,
        container_id: str,
        argv: Sequence[str],
        *,
        user: str = "",
        working_dir: str | None = None,
        environment: Mapping[str, str] | None = None,
        privileged: bool = False,
        mark: str = "",
    ) -> tuple[int, str]:
        """The exit code and the output of a command that ran to its end in the container."""
        container = self._docker.containers.container(container_id)
        output: list[bytes] = []
        try:
            execution = await container.exec(
                argv,
                user=user,
                workdir=working_dir,
                environment={**(environment or {}), SESSION_MARK: mark},
                privileged=privileged,
            )
            async with execution.start(detach=False) as stream:
                while (message := await stream.read_out()) is not None:
                    output.append(message.data)
            code = (await execution.inspect())["ExitCode"]
        except aiodocker.DockerError as error:
            raise CallError(error.status, str(error.message), f"running `{argv[0]}`") from error
        except aiohttp.ClientError as error:
            raise unreachable(self.endpoint, str(error)) from error
        return int(code or 0), b"".join(output).decode(errors="backslashreplace")

    # --- streams --------------------------------------------------------------------------------------------

    async def logs(
        self, container: Container, *, since: str = "", tail: str = "all", follow: bool = True
    ) -> AsyncIterator[tuple[str, str]]:
        """(stream, line) as the container prints them, until it stops. `since` is an engine timestamp."""
        query = {"follow": str(int(follow)), "stdout": "1", "stderr": "1", "tail": tail}
        if since:
            query["since"] = since
        with contextlib.suppress(aiohttp.ClientError):
            async with self._docker.session.get(self._url(f"containers/{container.id}/logs", query)) as response:
                if response.status >= 400:  # noqa: PLR2004 - HTTP
                    return
                source = _raw(response) if container.tty else _multiplexed(response)
                async for stream, line in _lines(source):
                    yield stream, line

    async def events(self, project: str) -> AsyncIterator[dict[str, Any]]:
        """Container events of the project as they happen; ends where the engine goes away."""
        filters = json.dumps({"type": ["container"], "label": [f"{PROJECT_LABEL}={project}"]})
        with contextlib.suppress(aiohttp.ClientError):
            async with self._docker.session.get(self._url("events", {"filters": filters})) as response:
                buffer = b""
                async for chunk in response.content.iter_any():
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        if line.strip():
                            yield json.loads(line)

    # --- verbs ----------------------------------------------------------------------------------------------

    async def restart(self, container: Container) -> None:
        """The container's process begun anew, by its own grace period."""
        await self._call(
            "POST",
            f"containers/{container.id}/restart",
            f"restarting {container.name}",
            query={"t": f"{container.stop_timeout:.0f}"},
            timeout=container.stop_timeout + ANSWER_TIMEOUT,
        )

    async def stop(self, container: Container, grace: float | None = None) -> None:
        """The container stopped, killed after its grace period (seconds); nothing where it has ended or gone."""
        seconds = container.stop_timeout if grace is None else grace
        with _gone_is_fine():
            await self._call(
                "POST",
                f"containers/{container.id}/stop",
                f"stopping {container.name}",
                query={"t": f"{seconds:.0f}"},
                timeout=seconds + ANSWER_TIMEOUT,
            )

    async def remove_container(self, container_id: str) -> None:
        """The container and its anonymous volumes gone, running or not."""
        with _gone_is_fine():
            await self._call(
                "DELETE",
                f"containers/{container_id}",
                "removing a container",
                query={"force": "1", "v": "1"},
            )

    async def remove_network(self, network_id: str) -> None:
        """The network gone. Raises CallError where a foreign container still uses it."""
        with _gone_is_fine():
            await self._call("DELETE", f"networks/{network_id}", "removing a network")

    async def remove_volume(self, name: str) -> None:
        """The volume gone. Raises CallError where a container still uses it."""
        with _gone_is_fine():
            await self._call("DELETE", f"volumes/{quote(name, safe='')}", f"removing the volume {name}")

    async def remove_image(self, image_id: str) -> None:
        """The untagged image gone; kept, without a word, where anything still needs it."""
        with contextlib.suppress(CallError):
            await self._call("DELETE", f"images/{image_id}", "removing an image")

    async def image_tags(self, image_id: str) -> tuple[str, ...]:
        """The names that an image goes by; none where it is dangling or gone."""
        try:
            shown = await self._json(f"images/{image_id}/json", "inspecting an image")
        except CallError:
            return ()
        return tuple(shown.get("RepoTags") or ())


class Session:
    """The two ends of an exec: orders in, bytes out."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        """Orders on their way. Raises ConnectionError where the process has ended."""
        try:
            await self._stream.write_in(data)
        except (RuntimeError, AssertionError, aiohttp.ClientError) as error:
            raise ConnectionResetError from error

    async def receive(self) -> tuple[int, bytes] | None:
        """(1 for stdout or 2 for stderr, bytes), or None at the end.

        Raises ConnectionAbortedError where the engine itself has gone away.
        """
        try:
            message = await self._stream.read_out()
        except aiohttp.ClientError as error:
            raise ConnectionAbortedError from error
        return None if message is None else (message.stream, message.data)


def unreachable(endpoint: Endpoint, why: str) -> EngineError:
    """The error for an engine that cannot be reached, with what to type on this system."""
    where = f"cannot reach the Docker engine at {endpoint.host}"
    if "ermission denied" in why:
        hint = "sudo usermod -aG docker $USER   (then log in again)"
        return EngineError(f"{where}: permission denied on the socket", hint=hint)
    if endpoint.context is not None:
        return EngineError(f"{where} (context {endpoint.context})", hint="docker context use default")
    return EngineError(where, hint=start_command())


def start_command() -> str:
    """The command that starts an engine on this system."""
    if os.uname().sysname == "Darwin":
        return "open -a Docker   (or: orb start, colima start)"
    if os.path.isdir("/run/systemd/system"):
        return "sudo systemctl start docker"
    return "sudo sh -c 'setsid dockerd >/var/log/dockerd.log 2>&1 &'"


def _reason(content: bytes) -> str:
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return str(json.loads(content)["message"]).strip()
    return content.decode(errors="backslashreplace").strip() or "no reason given"


@contextlib.contextmanager
def _gone_is_fine() -> Any:
    try:
        yield
    except CallError as error:
        in_progress = error.status == CONFLICT and "already in progress" in error.reason
        if error.status != NOT_FOUND and not in_progress:
            raise


def _container(shown: dict[str, Any]) -> Container:
    config, state = shown["Config"], shown["State"]
    labels = config.get("Labels") or {}
    health = (state.get("Health") or {}).get("Status")
    project = labels.get(PROJECT_LABEL)
    return Container(
        id=shown["Id"],
        name=shown["Name"].lstrip("/"),
        service=labels.get(SERVICE_LABEL, ""),
        state=state["Status"],
        ours=project is not None and labels.get(OUR_LABEL) == project,
        health=health if health in ("starting", "healthy", "unhealthy") else None,
        exit_code=int(state.get("ExitCode") or 0),
        started_at=state.get("StartedAt") or "",
        finished_at=state.get("FinishedAt") or "",
        user=config.get("User") or "",
        tty=bool(config.get("Tty")),
        image=shown.get("Image") or "",
        stop_timeout=float(config.get("StopTimeout") or 10),
        depends_on=tuple(d.split(":")[0] for d in labels.get(DEPENDS_LABEL, "").split(",") if d),
        ports=_ports((shown.get("NetworkSettings") or {}).get("Ports") or {}),
    )


def _ports(bindings: Mapping[str, Any]) -> tuple[tuple[str, int, int], ...]:
    return tuple(
        (one["HostIp"], int(one["HostPort"]), int(target.partition("/")[0]))
        for target, published in bindings.items()
        if target.endswith("/tcp")
        for one in published or ()
    )


async def _raw(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, bytes]]:
    async for chunk in response.content.iter_any():
        yield 1, chunk


async def _multiplexed(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[int, bytes]]:
    """Frames of the engine's attach format: one byte of stream, three of nothing, four of length."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            stream, length = struct.unpack(">BxxxL", await response.content.readexactly(8))
            yield stream, await response.content.readexactly(length)


async def _lines(source: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[tuple[str, str]]:
    names = {1: "stdout", 2: "stderr"}
    rest = {1: b"", 2: b""}
    async for stream, chunk in source:
        *lines, rest[stream] = re.split(rb"\r?\n", rest.get(stream, b"") + chunk)
        for line in lines:
            yield names[stream], line.decode(errors="backslashreplace")
    for stream, line in rest.items():
        if line:
            yield names[stream], line.decode(errors="backslashreplace")
