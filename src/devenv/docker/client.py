"""The Engine API: a connected engine, with a group of methods for each kind of object."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Self
from urllib.parse import quote

import anyio

from devenv.docker import inspect as answers
from devenv.docker.connection import CONNECT_TIMEOUT, dial
from devenv.docker.containers import Archive, Containers
from devenv.docker.endpoint import Endpoint, resolve
from devenv.docker.exec import ContainerExec
from devenv.docker.http import Client
from devenv.docker.images import Images
from devenv.docker.streams import lines, plain
from devenv.docker.transport import EngineGroup, IgnoreAbsent, Transport
from devenv.errors import EngineError
from devenv.model.containers import PROJECT_LABEL, Network, ProjectState, Volume
from devenv.tasks import each

OLDEST, NEWEST = (1, 41), (1, 52)
UPGRADE = "upgrade Docker to 20.10 or newer"
IDLE_TIMEOUT = 30.0
EVENTS_PAUSE = 0.5
Versions = tuple[tuple[tuple[int, int], tuple[int, int]], str, str, bool]


class Engine(Transport):
    """An engine, connected while the block of `connect` runs."""

    is_podman = False

    def __init__(self, http: Client, endpoint: Endpoint) -> None:
        super().__init__(http, endpoint)
        self.kernel = ""
        self.platform = ""
        self._identity: tuple[str, str] | None = None
        self._about: dict[str, dict[str, Any]] = {}
        self.containers = Containers(self)
        self.archive = Archive(self)
        self.exec = ContainerExec(self)
        self.networks = Networks(self)
        self.volumes = Volumes(self)
        self.images = Images(self)

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, endpoint: Endpoint | None = None, *, ask_ahead: bool = False) -> AsyncIterator[Self]:
        """A connected engine, which is asked for its identity meanwhile if `ask_ahead`.

        Raises EngineError with a hint on how to reach or start an engine.
        """
        endpoint = endpoint or await resolve()
        http = Client(lambda: dial(endpoint))
        try:
            engine = cls(http, endpoint)
            if endpoint.line is not None:  # each question costs a round trip, and so does each new connection
                await http.open_ahead()
            if ask_ahead or endpoint.line is not None:
                await each(lambda question: question(), (engine._negotiate, engine._ask_ahead))
            else:
                await engine._negotiate()
            yield engine
        finally:
            await http.aclose()

    async def _negotiate(self) -> None:
        """Choose the newest version of the API that both sides support."""

        def read(answer: dict[str, Any]) -> Versions:
            self._about["version"] = answer
            return _versions(answer)

        (newest, oldest), self.platform, self.kernel, self.is_podman = await self.ask(
            "version", "connecting to the engine", read
        )
        if newest < OLDEST:
            versions = f"its API version is {_dotted(newest)}, devenv needs {_dotted(OLDEST)}"
            raise EngineError(f"the engine at {self.endpoint.shown} is too old: {versions}", hint=UPGRADE)
        self._version = f"/v{_dotted(max(min(newest, NEWEST), oldest))}"
        self.idle = IDLE_TIMEOUT

    async def identity(self) -> tuple[str, str]:
        """The engine's id and data folder, which do not change at a restart or with the address."""
        answer, self._identity = self._identity, None  # the next call asks again
        return answer or await self._ask_identity()

    async def _ask_ahead(self) -> None:
        self._identity = await self._ask_identity()

    async def _ask_identity(self) -> tuple[str, str]:
        def identity(answer: dict[str, Any]) -> tuple[str, str]:
            self._about["info"] = answer
            return answers.text(answer["ID"]), answers.text(answer["DockerRootDir"])

        return await self.ask("info", "reading the id of the engine", identity)

    async def about(self, path: str) -> Mapping[str, Any]:
        """The answer to `info` or `version`, which may be as old as the connection."""
        if path not in self._about:
            self._about[path] = await self.ask(path, "asking for the engine", dict[str, Any])
        return self._about[path]

    async def clock(self) -> dt.datetime:
        """The engine's time, in seconds, from which the ages of its containers are counted."""
        action = "reading the clock of the engine"
        with self.translate_errors(action):
            async with self.request("GET", "_ping", action, idle=self.idle) as answer:
                await answer.read()
                return answers.time(answer.date)

    async def project_state(self, project: str) -> ProjectState:
        """All containers, networks and named volumes that carry the project's label."""
        listings: tuple[Callable[[str], Any], ...] = (self.containers.list, self.networks.list, self.volumes.list)
        containers, networks, volumes = await each(lambda listing: listing(project), listings)
        return ProjectState(containers=containers, networks=networks, volumes=volumes)

    async def events(self, project: str, actions: Iterable[str] = ()) -> AsyncIterator[dict[str, Any]]:
        """Container events of the project, without end; an empty event means that a stream begins.

        The caller must look at all containers then. After a lost connection, the events since the last one are
        repeated, and some of them twice. With `actions`, only events with these actions, of all networks too: events
        of networks have no labels.
        """
        filters = {"type": ["container"], "label": [f"{PROJECT_LABEL}={project}"]}
        if actions:
            filters = {"type": ["container", "network"], "event": [*actions]}
        query = {"filters": json.dumps(filters)}
        while True:
            with contextlib.suppress(EngineError):
                async with contextlib.aclosing(self.stream_events(query)) as stream:
                    async for event in stream:
                        if event:
                            query["since"] = f"{event['timeNano'] / 1e9 - 1:.3f}"
                        labels = (event.get("Actor") or {}).get("Attributes") or {}
                        is_project = labels.get(PROJECT_LABEL) == project
                        if not (event and actions) or event.get("Type") == "network" or is_project:
                            yield event
            await anyio.sleep(EVENTS_PAUSE)

    async def stream_events(self, query: Mapping[str, str]) -> AsyncGenerator[dict[str, Any]]:
        """Events as they come, until the connection ends; an empty event first. Raises EngineError if it is lost."""
        action = "reading the events of the engine"
        with self.translate_errors(action):
            async with self.request("GET", "events", action, query=query, idle=None) as answer:
                yield {}
                async for _, line in lines(plain(answer, self._check_connection)):
                    yield json.loads(line)

    async def _check_connection(self) -> None:
        """Check that a remote engine still answers: a network failure does not end a silent connection."""
        if not self.endpoint.has_files:
            try:
                await self.call("GET", "_ping", "reading the events of the engine", total=CONNECT_TIMEOUT)
            except EngineError:
                await self.drop_connections()
                raise


def _versions(answer: Mapping[str, Any]) -> Versions:
    """The newest and the oldest version of the API that the engine supports; platform; kernel; if it is Podman."""
    newest, oldest = (answer.get(key, "1.0").split(".") for key in ("ApiVersion", "MinAPIVersion"))
    versions = (int(newest[0]), int(newest[1])), (int(oldest[0]), int(oldest[1]))
    is_podman = answers.is_podman(answer)
    return versions, answers.platform(answer, "Arch"), str(answer.get("KernelVersion", "")), is_podman


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


class Networks(EngineGroup):
    """The networks of an engine."""

    async def list(self, project: str) -> tuple[Network, ...]:
        """All networks that carry the project's label."""
        query = {"filters": answers.labelled(project)}
        networks = await self._api.ask_all("networks", "listing the project", answers.network, query)
        return tuple(replace(network, ours=self._api.is_ours(network)) for network in networks)

    async def names(self) -> frozenset[str]:
        """The names of all networks on the engine."""
        return frozenset(await self._api.ask_all("networks", "listing networks", lambda n: answers.text(n["Name"])))

    async def users(self, network_id: str) -> tuple[str, ...]:
        """The names of the containers that are connected to the network."""
        return await self._api.ask(
            f"networks/{network_id}",
            "inspecting a network",
            lambda answer: tuple(sorted(c["Name"] for c in (answer.get("Containers") or {}).values())),
        )

    async def remove(self, network_id: str) -> None:
        """Remove the network; does nothing if it is gone. Raises CallError if a running container is connected."""
        await self._api.remove(f"networks/{network_id}", "removing a network")


class Volumes(EngineGroup):
    """The named volumes of an engine."""

    async def list(self, project: str) -> tuple[Volume, ...]:
        """All named volumes that carry the project's label."""
        query = {"filters": answers.labelled(project)}
        return tuple(await self._api.ask_all("volumes", "listing the project", answers.volume, query))

    async def inspect(self, name: str) -> Volume | None:
        """The volume, or None if it does not exist."""
        with IgnoreAbsent():
            return await self._api.ask(_path(name), f"inspecting the volume {name}", answers.volume)
        return None

    async def times(self) -> dict[str, str]:
        """`CreatedAt` of all volumes on the engine by name."""
        volumes = await self._api.ask_all("volumes", "listing volumes", answers.volume)
        return {volume.name: volume.created for volume in volumes}

    async def sizes(self) -> dict[str, int]:
        """The bytes of the files in each volume that the engine stores, by name; the engine reads all folders."""

        def sizes(answer: Any) -> dict[str, int]:
            used = {str(v["Name"]): int((v.get("UsageData") or {}).get("Size", -1)) for v in answer["Volumes"] or ()}
            return {name: size for name, size in used.items() if size >= 0}

        return await self._api.ask("system/df", "measuring volumes", sizes, {"type": "volume"})

    async def users(self, name: str) -> tuple[str, ...]:
        """The names of the containers that mount the volume, running or not."""
        query = {"all": "1", "filters": json.dumps({"volume": [name]})}
        action = "listing the users of a volume"
        names = await self._api.ask_all("containers/json", action, answers.listed_name, query)
        return tuple(sorted(filter(None, names)))

    async def create(self, options: Mapping[str, Any]) -> Volume:
        """Create a volume as the Engine API's VolumeCreateOptions describe it, or return the existing one."""
        return await self._api.create("volumes/create", "creating a volume", options, answers.volume)

    async def remove(self, name: str) -> None:
        """Remove the volume; does nothing if it is gone. Raises CallError if a container mounts it."""
        await self._api.remove(_path(name), f"removing the volume {name}")


def _path(name: str) -> str:
    return f"volumes/{quote(name, safe='')}"
