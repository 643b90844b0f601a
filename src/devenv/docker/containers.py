"""Containers: their state, output, resource use and files (as tar archives); create, stop and remove them."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import anyio

from devenv.docker import inspect as answers
from devenv.docker.bulk import Take
from devenv.docker.exchange import Body
from devenv.docker.streams import Frames, line_batches, plain, without_inner_times
from devenv.docker.transport import (
    LONG_TIMEOUT,
    CallError,
    EngineGroup,
    IgnoreAbsent,
)
from devenv.errors import EngineError
from devenv.model.containers import PROJECT_LABEL, SERVICE_LABEL, Container
from devenv.tasks import each

LOOP = "too many links"  # the engine's message for a symbolic link that leads to itself
MODE_FOLDER, MODE_LINK = 1 << 31, 1 << 27  # in Go's os.FileMode
EXTRACT = {"noOverwriteDirNonDir": "1", "copyUIDGID": "0"}  # by default, Podman ignores the owners in the archive
AGAIN = (0.2, 1.0, 3.0)  # seconds between tries to start a container that a failed restart has ended
SLOWEST = 1e6  # bytes per second, the least that a transfer must reach


class Usage(NamedTuple):
    """CPU time (nanoseconds) of a container and of all `cpus` together, and the container's memory in bytes."""

    cpu: int
    system: int
    cpus: int
    memory: int

    def percent_since(self, before: Usage) -> float:
        """The use of the CPU since an earlier measurement, in per cent of one CPU."""
        passed = self.system - before.system
        return max(100.0 * self.cpus * (self.cpu - before.cpu) / passed, 0.0) if passed > 0 else 0.0


class Containers(EngineGroup):
    """The containers of an engine."""

    async def list(self, project: str) -> tuple[Container, ...]:
        """All containers of the project, sorted by service and name, without `compose run` containers of others."""
        query = {"all": "1", "filters": answers.labelled(project)}
        ids = await self._api.ask_all("containers/json", "listing the project", answers.wanted_id, query)
        containers = await each(self.inspect, filter(None, ids))
        return tuple(sorted((c for c in containers if c is not None), key=lambda c: (c.service, c.name)))

    async def listed(self) -> tuple[Container, ...]:
        """The containers of all projects, with the fields of a listing."""
        query = {"all": "1", "filters": json.dumps({"label": [PROJECT_LABEL]})}
        return tuple(await self._api.ask_all("containers/json", "listing containers", answers.listed, query))

    async def inspect(self, container_id: str) -> Container | None:
        """The current state of the container; None if the container is gone."""
        with IgnoreAbsent():
            path = f"containers/{container_id}/json"
            return await self._api.ask(path, "inspecting a container", self._container)
        return None

    def _container(self, answer: Mapping[str, Any]) -> Container:
        container = answers.container(answer)
        return replace(container, ours=self._api.is_ours(container))

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """(owner, host address, host port) of each port that running containers publish."""

        def ports(entry: Mapping[str, Any]) -> list[tuple[str, str, int]]:
            published = [port for port in entry.get("Ports") or () if port.get("PublicPort")]
            return [(_owner(entry), str(port.get("IP", "")), int(port["PublicPort"])) for port in published]

        containers = await self._api.ask_all("containers/json", "listing published ports", ports)
        return tuple(port for ports in containers for port in ports)

    async def usage(self, container_id: str) -> Usage:
        """The resource use of the container until now, without the engine's pause for a second measurement."""
        query = {"stream": "0", "one-shot": "1"}
        return await self._api.ask(f"containers/{container_id}/stats", "measuring a container", _usage, query)

    async def health_test(self, container_id: str) -> tuple[tuple[str, ...], float] | None:
        """The command of the container's health check and its limit in seconds; None without a check.

        `CMD-SHELL` is run by the image's shell, as the engine does.
        """

        def test(answer: Mapping[str, Any]) -> tuple[tuple[str, ...], float] | None:
            config = answer["Config"]
            check = config.get("Healthcheck") or {}
            kind, *words = check.get("Test") or ["NONE"]
            if kind == "CMD-SHELL":
                words = [*(config.get("Shell") or ("/bin/sh", "-c")), *words]
            limit = (check.get("Timeout") or 30e9) / 1e9  # 30 s is the engine's default
            return None if kind == "NONE" or not words else (tuple(map(str, words)), limit)

        return await self._api.ask(f"containers/{container_id}/json", "reading a health check", test)

    async def health_output(self, container_id: str) -> str:
        """The output of the last health check if it failed, otherwise an empty text."""

        def output(answer: Mapping[str, Any]) -> str:
            checks = answer["State"]["Health"]["Log"] or ()
            return str(checks[-1]["Output"]).strip() if checks and checks[-1]["ExitCode"] else ""

        with contextlib.suppress(EngineError):
            return await self._api.ask(f"containers/{container_id}/json", "reading a health check", output)
        return ""

    async def logs(
        self, container: Container, *, since: str = "", tail: str = "all", follow: bool = True, timed: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """(stream, line) for each line that the container prints, as `log_batches` has them."""
        async for stream, batch in self.log_batches(container, since=since, tail=tail, follow=follow, timed=timed):
            for line in batch:
                yield stream, line

    async def log_batches(
        self, container: Container, *, since: str = "", tail: str = "all", follow: bool = True, timed: bool = False
    ) -> AsyncIterator[tuple[str, Sequence[str]]]:
        """(stream, lines that have arrived) of what the container prints, until it stops. `since` is in Unix seconds.

        `timed`: each line begins with its time (RFC 3339, UTC) and a space.
        """
        flags = {"follow": follow, "stdout": True, "stderr": True, "timestamps": timed}
        query = {"tail": tail, **{name: str(int(value)) for name, value in flags.items()}}
        if since:
            query["since"] = since
        path, action = f"containers/{container.id}/logs", f"reading the logs of {container.name}"
        with contextlib.suppress(EngineError), self._api.translate_errors(action):
            async with self._api.request("GET", path, action, query=query, idle=None) as answer:
                read = plain(answer) if container.tty else Frames(answer).arrived
                async for stream, batch in line_batches(without_inner_times(read) if timed else read):
                    yield stream, batch

    async def create(self, config: Mapping[str, Any], name: str = "") -> str:
        """Create a container, without starting it, and return its id; `config` as for ContainerCreate of the API."""
        query = {"name": name} if name else None
        return await self._api.create("containers/create", "creating a container", config, answers.object_id, query)

    async def start(self, container: Container) -> None:
        """Start the container; does nothing if it runs."""
        path, action = f"containers/{container.id}/start", f"starting {container.name}"
        await self._api.call("POST", path, action, extra=LONG_TIMEOUT)

    async def restart(self, container: Container) -> None:
        """Restart the container; it has its configured grace period to stop.

        If the engine fails after it has ended the container, the container is started.
        """
        seconds, action = container.stop_timeout, f"restarting {container.name}"
        query = {"t": f"{seconds:.0f}"}
        try:
            await self._api.call("POST", f"containers/{container.id}/restart", action, query=query, extra=seconds)
        except EngineError:
            if not await self._is_restarted(container):
                raise

    async def _is_restarted(self, container: Container) -> bool:
        """Whether the container runs after its restart failed: the engine has started it, or this function does."""
        for pause in AGAIN:
            with contextlib.suppress(EngineError):
                now = await self.inspect(container.id)
                if now is None or (now.key == container.key and now.running):
                    return False
                if now.running:
                    return True
                await self.start(container)
                return True
            await anyio.sleep(pause)
        return False

    async def stop(self, container: Container, grace: float | None = None) -> None:
        """Stop the container and kill it after the grace period (seconds); does nothing if it has ended."""
        seconds, action = container.stop_timeout if grace is None else grace, f"stopping {container.name}"
        query = {"t": f"{seconds:.0f}"}
        with IgnoreAbsent():
            await self._api.call("POST", f"containers/{container.id}/stop", action, query=query, extra=seconds)

    async def pause(self, container_id: str, *, on: bool) -> None:
        """Pause or unpause the processes of the container."""
        verb = "pause" if on else "unpause"
        await self._api.call("POST", f"containers/{container_id}/{verb}", f"{verb.removesuffix('e')}ing a container")

    async def remove(self, container_id: str) -> None:
        """Remove the container, running or not, and its anonymous volumes; does nothing if it is gone."""
        query = {"force": "1", "v": "1"}
        await self._api.remove(f"containers/{container_id}", "removing a container", query)


def _owner(entry: Mapping[str, Any]) -> str:
    """The service and project of a container in a listing, otherwise its name."""
    labels = entry.get("Labels") or {}
    if PROJECT_LABEL in labels and SERVICE_LABEL in labels:
        return f"{labels[SERVICE_LABEL]} of the project {labels[PROJECT_LABEL]}"
    return f"container {answers.listed_name(entry)}"


def _usage(answer: Mapping[str, Any]) -> Usage:
    """The resource use; memory without the page cache that the kernel can free, as in `docker stats`."""
    cpu, memory = answer.get("cpu_stats") or {}, answer.get("memory_stats") or {}
    usage, details = cpu.get("cpu_usage") or {}, memory.get("stats") or {}
    cpus = int(cpu.get("online_cpus") or len(usage.get("percpu_usage") or ()) or 1)
    cache = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    size = max(int(memory.get("usage") or 0) - cache, 0)
    return Usage(int(usage.get("total_usage") or 0), int(cpu.get("system_cpu_usage") or 0), cpus, size)


class Archive(EngineGroup):
    """Files of containers and of the volumes that they mount."""

    async def put(self, container_id: str, tar: Body, *, size: int = 0, path: str = "/") -> None:
        """Extract a tar, compressed or not, in the folder `path`. A tar in pieces has about `size` bytes.

        Not atomic: the entries before a bad entry stay. Raises CallError and errors of the iterator.
        """
        total = LONG_TIMEOUT + (size if isinstance(tar, AsyncIterable) else len(tar)) / SLOWEST
        action = "writing into a container"
        query = {"path": path, **EXTRACT}
        await self._api.call("PUT", _path(container_id), action, query=query, body=tar, total=total)

    async def upload(self, container_id: str, pieces: Generator[bytes], size: int, *, path: str = "/") -> None:
        """Extract a tar of about `size` bytes in the folder `path`; a thread reads it from `pieces`.

        For gigabytes: it takes half the processor time of `put`. Raises as `put`.
        """
        action, total = "writing into a container", LONG_TIMEOUT + size / SLOWEST
        query = {"path": path, **EXTRACT}
        await self._api.upload(_path(container_id), action, pieces, query=query, total=total)

    async def get(self, container_id: str, path: str) -> bytes | None:
        """The tar of `path`, with entries below its last component; None if the path does not exist."""
        action, query = f"reading {path} in a container", {"path": path}
        with IgnoreAbsent():
            return await self._api.call("GET", _path(container_id), action, query=query, total=LONG_TIMEOUT)
        return None

    async def save(self, container_id: str, path: str, take: Callable[[bytes], object]) -> None:
        """Pass the tar of `path` in the container to `take` in pieces; nothing if the path does not exist."""
        action = f"reading {path} in a container"
        with IgnoreAbsent(), self._api.translate_errors(action), anyio.fail_after(LONG_TIMEOUT):
            await self._api.stream("GET", _path(container_id), action, take, query={"path": path})

    async def download(self, container_id: str, path: str, take: Take) -> None:
        """Pass the tar of `path` to `take` in pieces, in a thread; each is valid until `take` returns.

        For gigabytes: it takes half the processor time of `save`.
        """
        action = f"reading {path} in a container"
        await self._api.download(_path(container_id), action, take, query={"path": path})

    async def mode(self, container_id: str, path: str) -> int:
        """The mode of `path` in the container, as Go's os.FileMode. Raises CallError if the path does not exist."""
        return int((await self.stat(container_id, path))["mode"])

    async def stat(self, container_id: str, path: str) -> dict[str, Any]:
        """`name`, `size`, `mode`, `mtime` and `linkTarget` of `path` in the container. Raises CallError as `mode`."""
        action, idle = f"looking at {path} in a container", self._api.idle
        with self._api.translate_errors(action), anyio.fail_after(idle):
            async with self._api.request(
                "HEAD", _path(container_id), action, query={"path": path}, idle=idle
            ) as answer:
                await answer.read()
                status: dict[str, Any] = json.loads(base64.b64decode(answer.stat))
                return status

    async def is_link(self, container_id: str, path: str) -> bool | None:
        """Whether `path` in the container is a symbolic link; None if the path does not exist."""
        try:
            return bool(await self.mode(container_id, path) & MODE_LINK)
        except CallError as error:
            if error.absent:
                return None
        # The answer to a HEAD request has no body with a reason.
        try:
            return True if await self.get(container_id, path) is not None else None
        except CallError as error:
            if LOOP in error.reason:
                return True
            raise


def _path(container_id: str) -> str:
    return f"containers/{container_id}/archive"
