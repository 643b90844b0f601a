"""The Engine API: inspect, archive, exec sessions, logs, events, the verbs of the way down."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import re
import struct
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, Self, TypeVar
from urllib.parse import quote, urlencode

import anyio

from devenv.docker import inspect as answers
from devenv.docker.endpoint import CONNECT_TIMEOUT, Endpoint, WayError, dial, resolve
from devenv.docker.http import Body, Client, Exchange, LostError
from devenv.docker.process import OnOutput
from devenv.docker.unreachable import unreachable
from devenv.errors import EngineError
from devenv.model.containers import PROJECT_LABEL, SERVICE_LABEL, Container, Network, ProjectState, Volume
from devenv.tasks import each

OLDEST, NEWEST = (1, 41), (1, 52)
UPGRADE = "upgrade Docker to 20.10 or newer"
IDLE_TIMEOUT = 30.0
LONG_TIMEOUT = 600.0  # for what has to go on for so long: archives, commands in containers
REMOVAL = 60.0  # more than that, for files to be deleted
EVENTS_PAUSE = 0.5
QUIET = 10.0
NOT_FOUND = 404
CONFLICT = 409
NOT_MODIFIED = 304
CANNOT_RUN = (126, 127)
EXIT_PAUSES = (0.0, 0.05, 0.2, 0.5)
SESSION_MARK = "DEVENV_SESSION"
COMMAND_MARK = "DEVENV_COMMAND"
SHELL = "/bin/sh"
# For what devenv itself runs in containers: the image's PATH may begin with a folder that the service can write, and
# what the loader is told may lie in one.
OWN_VARIABLES = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin:/busybox",
    "LC_ALL": "C",
    "LD_PRELOAD": "",
    "LD_LIBRARY_PATH": "",
    "LD_AUDIT": "",
}
LOOP = "too many links"  # the engine's words for a link that leads to itself
MODE_LINK = 1 << 27  # in Go's os.FileMode
ABSENT = re.compile(r"(?i)no such (container|network|volume|file)|not a directory|^(network|volume) \S+ not found")
# A command began as an exec has no parent in the container and a session of its own: what it started on purpose to
# go on by itself (a reload, a daemon) has outlived it, and is left alone.
LEFTOVERS = """
stat() { read -r line 2>/dev/null <"/proc/$1/stat" && { set -- ${line##*) }; parent=$2 session=$4; }; }
found=$(grep -lF "$1=" /proc/[0-9]*/environ 2>/dev/null)
for file in $(grep -LF "$1=$2" $found /dev/null 2>/dev/null); do
pid=${file#/proc/}; pid=${pid%/environ}; stat "$pid" && [ "$parent" = 0 ] && roots="$roots $pid "; done
[ -z "$roots" ] || for file in /proc/[0-9]*; do stat "${file#/proc/}" &&
case $roots in *" $session "*) kill -9 "${file#/proc/}";; esac; done
"""
TIME = re.compile(rb"\A\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) ")
HEADER = struct.Struct(">BxxxL")
SLOWEST = 1e6  # bytes a second that an archive must make at least
T = TypeVar("T")
Query = Mapping[str, str] | Sequence[tuple[str, str]]
Read = Callable[[], Awaitable[tuple[int, bytes] | None]]


class Writable(Protocol):
    """What takes bytes."""

    def write(self, chunk: bytes, /) -> object:
        """Take them all; what it returns is awaited if it can be."""


class Usage(NamedTuple):
    """Processor time (nanoseconds) of a container and of all `cpus` together, and its bytes of memory."""

    cpu: int
    system: int
    cpus: int
    memory: int

    def percent_since(self, before: Usage) -> float:
        """The share of one CPU since an earlier look."""
        passed = self.system - before.system
        return max(100.0 * self.cpus * (self.cpu - before.cpu) / passed, 0.0) if passed > 0 else 0.0


class CallError(EngineError):
    """The engine answered with an error; `status` is its HTTP code, `reason` its own words.

    Codes for one and the same thing differ between engines and versions: `absent` goes by both.
    """

    def __init__(self, status: int, reason: str, what: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.status = status
        self.reason = reason
        self.absent = status == NOT_FOUND or ABSENT.search(reason) is not None


class Engine:
    """One engine, for as long as `connect` holds it open."""

    def __init__(self, http: Client, endpoint: Endpoint) -> None:
        self._http = http
        self._version = ""
        self.kernel = ""
        self.platform = ""
        self.endpoint = endpoint
        self.idle = 2 * CONNECT_TIMEOUT
        self.is_ours: Callable[[Container | Network], bool] = lambda _: False  # what the records of a run say

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, endpoint: Endpoint | None = None) -> AsyncIterator[Self]:
        """A connected engine. Raises EngineError (exit 4) with the command that starts one."""
        endpoint = endpoint or await resolve()
        http = Client(lambda: dial(endpoint))
        try:
            engine = cls(http, endpoint)
            await engine._greet()
            yield engine
        finally:
            await http.aclose()

    async def _greet(self) -> None:
        (newest, oldest), self.platform, self.kernel = await self.ask("version", "greeting the engine", _greeting)
        if newest < OLDEST:
            spoken = f"it speaks API {_dotted(newest)}, devenv needs {_dotted(OLDEST)}"
            raise EngineError(f"the engine at {self.endpoint.shown} is too old: {spoken}", hint=UPGRADE)
        self._version = f"/v{_dotted(max(min(newest, NEWEST), oldest))}"
        self.idle = IDLE_TIMEOUT

    # --- one question, one answer ---------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body = b"",
        extra: float = 0.0,
        total: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the answer; `what` names the wish in error texts.

        It may take the idle time and `extra` (seconds), or, where `total` is more, so long as it does not pause.
        A removal may take the idle time once more, if it has to be asked for on a new connection.
        """
        idle = self.idle + extra
        with self._told(what), anyio.fail_after(total or (idle + self.idle if method == "DELETE" else idle)):
            async with self._request(
                method, path, what, query=query, body=body, idle=idle, headers=headers
            ) as answer:
                return await answer.read()

    async def stream(
        self,
        method: str,
        path: str,
        what: str,
        take: Callable[[bytes], object],
        *,
        query: Query | None = None,
        body: Body = b"",
        idle: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Each piece of the answer's body is handed on as it comes; the engine may be silent for `idle` seconds.

        The next piece is asked for when `take` has returned, and is done if it is asynchronous.
        """
        with self._told(what):
            async with self._request(
                method, path, what, query=query, body=body, idle=idle or self.idle, headers=headers
            ) as answer:
                while chunk := await answer.chunk():
                    taken = take(chunk)
                    if isinstance(taken, Awaitable):
                        await taken

    async def ask(
        self, path: str, what: str, read: Callable[[Any], T], query: Mapping[str, str] | None = None, **options: Any
    ) -> T:
        """What `read` makes of the JSON that the engine answers; `options` are those of `call`."""
        content = await self.call("GET", path, what, query=query, **options)
        with self._told(what):
            return read(json.loads(content))

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, what: str, *, query: Query | None = None, **options: Any
    ) -> AsyncIterator[Exchange]:
        encoded = "?" + urlencode(query, quote_via=quote, errors="surrogateescape") if query else ""
        async with self._http.request(method, f"{self._version}/{path}{encoded}", **options) as answer:
            if answer.status >= 300 and answer.status != NOT_MODIFIED:  # noqa: PLR2004 - HTTP
                raise CallError(answer.status, _reason(await answer.read()), what)
            yield answer

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Whatever goes wrong between us and the engine, as an EngineError."""
        try:
            yield
        except TimeoutError as error:
            raise EngineError(
                f"{what}: the engine at {self.endpoint.shown} does not answer", hint="docker info"
            ) from error
        except LostError as error:
            said = str(error.__cause__) if isinstance(error.__cause__, WayError) else ""
            raise unreachable(self.endpoint, str(error), said) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            text = f"{what}: unexpected answer from the engine at {self.endpoint.shown}"
            raise EngineError(text, hint="docker info") from error

    # --- what is there --------------------------------------------------------------------------------------

    async def project_state(self, project: str) -> ProjectState:
        """All containers, networks and named volumes that carry the project's label.

        One-off containers (`compose run`) that others made are none of a service's, as for Compose.
        """
        label = answers.labelled(project)
        questions: list[tuple[str, dict[str, str], Callable[[Any], Any]]] = [
            ("containers/json", {"all": "1", "filters": label}, answers.wanted_id),
            ("networks", {"filters": label}, answers.network),
            ("volumes", {"filters": label}, answers.volume),
        ]
        containers, networks, volumes = await each(
            lambda q: self._list(q[0], "listing the project", q[2], q[1]), questions
        )
        return ProjectState(
            containers=await self._inspected(containers),
            networks=tuple(replace(n, ours=self.is_ours(n)) for n in networks),
            volumes=tuple(volumes),
        )

    async def identity(self) -> tuple[str, str]:
        """The engine's own id and the folder of its data, which no address names and no restart changes."""
        return await self.ask(
            "info",
            "asking the engine who it is",
            lambda shown: (answers.text(shown["ID"]), answers.text(shown["DockerRootDir"])),
        )

    async def volume(self, name: str) -> Volume | None:
        """The volume of that name, or None if there is none."""
        try:
            return await self.ask(f"volumes/{quote(name, safe='')}", f"inspecting the volume {name}", answers.volume)
        except CallError as error:
            if error.absent:
                return None
            raise

    async def containers(self, project: str) -> tuple[Container, ...]:
        """As `scene`, of containers alone."""
        query = {"all": "1", "filters": answers.labelled(project)}
        listed = await self._list("containers/json", "listing the project", answers.wanted_id, query)
        return await self._inspected(listed)

    async def clock(self) -> dt.datetime:
        """The engine's time, to the second: what ages of its containers are reckoned by."""
        with self._told("asking for the time"):
            async with self._request("GET", "_ping", "asking for the time", idle=self.idle) as answer:
                await answer.read()
                return answers.time(answer.date)

    async def _list(
        self, path: str, what: str, read: Callable[[Any], T], query: Mapping[str, str] | None = None
    ) -> list[T]:
        """What `read` makes of each entry of a listing, which may be null; that of volumes lies one level deeper."""

        def entries(shown: Any) -> list[T]:
            return [read(one) for one in (shown["Volumes"] if path == "volumes" else shown) or ()]

        return await self.ask(path, what, entries, query)

    async def names(self) -> tuple[frozenset[str], dict[str, str]]:
        """The names of all networks and of all volumes on the engine, whoever made them; volumes with `CreatedAt`."""
        networks = await self._list("networks", "listing networks", lambda shown: answers.text(shown["Name"]))
        return frozenset(networks), await self.volume_times()

    async def volume_times(self) -> dict[str, str]:
        """The names of all volumes on the engine, with their `CreatedAt`."""
        listed = await self._list("volumes", "listing volumes", answers.volume)
        return {volume.name: volume.created for volume in listed}

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """(whose, host ip, host port) of every port that running containers publish."""

        def ports(shown: Mapping[str, Any]) -> list[tuple[str, str, int]]:
            published = [port for port in shown.get("Ports") or () if port.get("PublicPort")]
            return [(_whose(shown), str(port.get("IP", "")), int(port["PublicPort"])) for port in published]

        listed = await self._list("containers/json", "listing published ports", ports)
        return tuple(port for found in listed for port in found)

    async def volume_users(self, name: str) -> tuple[str, ...]:
        """The names of the containers that mount the volume, running or not."""
        query = {"all": "1", "filters": json.dumps({"volume": [name]})}
        listed = await self._list("containers/json", "listing the users of a volume", _name, query)
        return tuple(sorted(filter(None, listed)))

    async def network_users(self, network_id: str) -> tuple[str, ...]:
        """The names of the containers that are connected to it now."""
        return await self.ask(
            f"networks/{network_id}",
            "inspecting a network",
            lambda shown: tuple(sorted(c["Name"] for c in (shown.get("Containers") or {}).values())),
        )

    async def _inspected(self, listed: Iterable[str | None]) -> tuple[Container, ...]:
        found = await each(self.inspect, [container_id for container_id in listed if container_id is not None])
        return tuple(sorted((c for c in found if c is not None), key=lambda c: (c.service, c.name)))

    async def inspect(self, container_id: str) -> Container | None:
        """The container as it is now, or None where it is gone."""
        try:
            return await self.ask(f"containers/{container_id}/json", "inspecting a container", self._container)
        except CallError as error:
            if error.absent:
                return None
            raise

    def _container(self, shown: Mapping[str, Any]) -> Container:
        found = answers.container(shown)
        return replace(found, ours=self.is_ours(found))

    async def usage(self, container_id: str) -> Usage:
        """What the container has used by now; one look, for which the engine does not wait."""
        query = {"stream": "0", "one-shot": "1"}
        return await self.ask(f"containers/{container_id}/stats", "measuring a container", _usage, query)

    async def health_output(self, container_id: str) -> str:
        """What the last health check that failed printed, or nothing."""

        def last(shown: Mapping[str, Any]) -> str:
            failed = [one for one in shown["State"]["Health"]["Log"] or () if one["ExitCode"]]
            return str(failed[-1]["Output"]).strip() if failed else ""

        with contextlib.suppress(EngineError):
            return await self.ask(f"containers/{container_id}/json", "reading a health check", last)
        return ""

    # --- archive --------------------------------------------------------------------------------------------

    async def put(self, container_id: str, tar: Body, *, size: int = 0) -> None:
        """Extract a tar (a compressed one, too) at the container's root. Raises CallError with the engine's reason.

        Not atomic, and a failed call leaves the entries before the bad one in place. A tar that comes in pieces has
        about `size` bytes; what it raises is raised.
        """
        query = {"path": "/", "noOverwriteDirNonDir": "1"}
        what = "writing into a container"
        total = LONG_TIMEOUT + (size if isinstance(tar, AsyncIterable) else len(tar)) / SLOWEST
        await self.call("PUT", f"containers/{container_id}/archive", what, query=query, body=tar, total=total)

    async def get(self, container_id: str, path: str) -> bytes | None:
        """The tar of `path` in the container, or None where there is no such path.

        Entry names begin with the last component of `path`.
        """
        archive, what = f"containers/{container_id}/archive", f"reading {path} in a container"
        try:
            return await self.call("GET", archive, what, query={"path": path}, total=LONG_TIMEOUT)
        except CallError as error:
            if error.absent:
                return None
            raise

    async def save(self, container_id: str, path: str, file: Writable, *, total: float | None = LONG_TIMEOUT) -> None:
        """The tar of `path` in the container written into the file; nothing where there is no such path."""
        archive, what = f"containers/{container_id}/archive", f"reading {path} in a container"
        try:
            with self._told(what), anyio.fail_after(total):
                await self.stream("GET", archive, what, file.write, query={"path": path})
        except CallError as error:
            if not error.absent:
                raise

    async def is_link(self, container_id: str, path: str) -> bool | None:
        """Whether a symbolic link is at `path` in the container; None if nothing is there."""
        archive, what = f"containers/{container_id}/archive", f"looking at {path} in a container"
        try:
            with self._told(what), anyio.fail_after(self.idle):
                async with self._request("HEAD", archive, what, query={"path": path}, idle=self.idle) as answer:
                    await answer.read()
                    return bool(json.loads(base64.b64decode(answer.stat))["mode"] & MODE_LINK)
        except CallError as error:
            if error.absent:
                return None
        # To a HEAD the engine gives no reason.
        try:
            is_there = await self.get(container_id, path) is not None
        except CallError as error:
            is_there = LOOP in error.reason
            if not is_there:
                raise
        return is_there or None

    async def exists(self, container_id: str, path: str) -> bool:
        """Whether the container has something at `path`."""
        archive, what = f"containers/{container_id}/archive", f"looking for {path} in a container"
        try:
            await self.call("HEAD", archive, what, query={"path": path})
        except CallError as error:
            # To a HEAD the engine gives no reason.
            return not error.absent and await self.get(container_id, path) is not None
        return True

    # --- exec -----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def session(
        self, container_id: str, argv: Sequence[str], *, user: str, mark: str
    ) -> AsyncIterator[Session]:
        """A process in the container that reads its orders from us; it ends with the session.

        Its variables are the container's, except for those of `OWN_VARIABLES`.
        """
        what = "opening a shell in a container"
        variables = {**OWN_VARIABLES, SESSION_MARK: mark}
        async with contextlib.AsyncExitStack() as stack:
            with self._told(what):
                options = {"AttachStdin": True, "User": user, "WorkingDir": "/", "Env": _listed(variables)}
                execution, answer = await stack.enter_async_context(self._exec(container_id, argv, what, options))
            yield Session(answer, lambda: self._code(execution, what))

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
        timeout: float = LONG_TIMEOUT,
        on_line: OnOutput = lambda _, __: None,
    ) -> tuple[int, str]:
        """The exit code and the output of a command that ran to its end in the container, within so many seconds.

        Each line of its output is handed on as it comes.
        """
        what = f"running `{argv[0]}`"
        variables = {**(environment or {}), COMMAND_MARK: mark}
        options = {
            "User": user,
            "WorkingDir": working_dir or "",
            "Env": _listed(variables),
            "Privileged": privileged,
        }
        output: list[bytes] = []
        code = None
        with self._told(what), anyio.move_on_after(timeout) as limit:
            async with self._exec(container_id, argv, what, options) as (execution, answer):
                frames = Frames(answer)

                async def read() -> tuple[int, bytes] | None:
                    if (frame := await frames.next()) is not None:
                        output.append(frame[1])
                    return frame

                async for stream, line in _lines(read):
                    on_line(line, stream)
            code = await self._code(execution, what)
        if code is None:
            lost = "the connection was lost while it ran"
            why = f"not ended after {timeout:.0f} s" if limit.cancelled_caught else lost
            raise EngineError(f"{what}: {why}; it may go on in the container")
        return code, b"".join(output).decode(errors="backslashreplace")

    async def end_leftovers(self, container_id: str, *, user: str, privileged: bool, mark: str) -> None:
        """Commands of this user that an earlier run began, and died before they ended, killed.

        The engine itself lets a command go on when its client has gone.
        """
        argv = [SHELL, "-c", LEFTOVERS, "sh", COMMAND_MARK, mark]
        with contextlib.suppress(CallError):
            await self.execute(
                container_id, argv, user=user, privileged=privileged, mark=mark, environment=OWN_VARIABLES
            )

    @contextlib.asynccontextmanager
    async def _exec(
        self, container_id: str, argv: Sequence[str], what: str, options: Mapping[str, Any]
    ) -> AsyncIterator[tuple[str, Exchange]]:
        wish = {"Cmd": list(argv), "AttachStdout": True, "AttachStderr": True, **options}
        made = await self.call("POST", f"containers/{container_id}/exec", what, body=json.dumps(wish).encode())
        execution = f"exec/{json.loads(made)['Id']}"
        start: dict[str, Any] = {"body": b'{"Detach": false}', "idle": self.idle, "upgrade": True}
        async with self._request("POST", f"{execution}/start", what, **start) as answer:
            yield execution, answer

    async def _code(self, execution: str, what: str) -> int | None:
        """The exit code of an exec whose stream has ended; None where it runs nevertheless."""
        for pause in EXIT_PAUSES:  # the engine notes an exit a moment after the stream's end
            await anyio.sleep(pause)
            shown = await self.ask(f"{execution}/json", what, dict)
            if not shown.get("Running"):
                return int(shown.get("ExitCode") or 0)
        return None

    # --- streams --------------------------------------------------------------------------------------------

    async def logs(
        self, container: Container, *, since: str = "", tail: str = "all", follow: bool = True, timed: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """(stream, line) as the container prints them, until it stops. `since` is in Unix seconds.

        `timed`: each line begins with its time (RFC 3339, UTC) and a space.
        """
        query = {
            "follow": str(int(follow)),
            "stdout": "1",
            "stderr": "1",
            "tail": tail,
            "timestamps": str(int(timed)),
        }
        if since:
            query["since"] = since
        what = f"reading the logs of {container.name}"
        with contextlib.suppress(EngineError), self._told(what):
            async with self._request(
                "GET", f"containers/{container.id}/logs", what, query=query, idle=None
            ) as answer:
                read = _plain(answer) if container.tty else Frames(answer).next
                async for stream, line in _lines(_joined(read) if timed else read):
                    yield stream, line

    async def events(self, project: str) -> AsyncIterator[dict[str, Any]]:
        """Container events of the project, for ever. An empty one says that the stream begins: now look at all.

        After a gap it brings what happened meanwhile, by the engine's own clock, and some of it for the second time.
        """
        filters = json.dumps({"type": ["container"], "label": [f"{PROJECT_LABEL}={project}"]})
        query = {"filters": filters}
        what = "listening to the engine"
        while True:
            with contextlib.suppress(EngineError), self._told(what):
                async with self._request("GET", "events", what, query=query, idle=None) as answer:
                    yield {}
                    async for _, line in _lines(_plain(answer, self._quiet)):
                        event = json.loads(line)
                        query["since"] = f"{event['timeNano'] / 1e9 - 1:.3f}"
                        yield event
            await anyio.sleep(EVENTS_PAUSE)

    async def _quiet(self) -> None:
        """Nothing comes from afar: is somebody still there? A dead network ends no connection by itself."""
        if not self.endpoint.local:
            try:
                await self.call("GET", "_ping", "listening to the engine", total=CONNECT_TIMEOUT)
            except EngineError:
                await self._http.aclose()
                raise

    # --- verbs ----------------------------------------------------------------------------------------------

    async def restart(self, container: Container) -> None:
        """The container's process begun anew, by its own grace period."""
        seconds, what = container.stop_timeout, f"restarting {container.name}"
        query = {"t": f"{seconds:.0f}"}
        await self.call("POST", f"containers/{container.id}/restart", what, query=query, extra=seconds)

    async def stop(self, container: Container, grace: float | None = None) -> None:
        """The container stopped, killed after its grace period (seconds); nothing where it has ended or gone."""
        seconds, what = container.stop_timeout if grace is None else grace, f"stopping {container.name}"
        query = {"t": f"{seconds:.0f}"}
        with _gone_is_fine():
            await self.call("POST", f"containers/{container.id}/stop", what, query=query, extra=seconds)

    async def pause(self, container_id: str, *, on: bool) -> None:
        """The container's processes frozen, or going on again."""
        verb = "pause" if on else "unpause"
        await self.call("POST", f"containers/{container_id}/{verb}", f"asking a container to {verb}")

    async def create_container(self, wish: Mapping[str, Any], name: str = "") -> str:
        """The id of a container made as the Engine API's ContainerCreate says, not started."""
        query = {"name": name} if name else None
        return await self._made(
            "containers/create", "creating a container", wish, lambda shown: answers.text(shown["Id"]), query
        )

    async def create_volume(self, wish: Mapping[str, Any]) -> Volume:
        """The volume made as the Engine API's VolumeCreateOptions say, or the one of that name that was there."""
        return await self._made("volumes/create", "creating a volume", wish, answers.volume)

    async def _made(
        self,
        path: str,
        what: str,
        wish: Mapping[str, Any],
        read: Callable[[Any], T],
        query: Mapping[str, str] | None = None,
    ) -> T:
        content = await self.call("POST", path, what, query=query, body=json.dumps(wish).encode())
        with self._told(what):
            return read(json.loads(content))

    async def remove_container(self, container_id: str) -> None:
        """The container and its anonymous volumes gone, running or not."""
        await self._remove(f"containers/{container_id}", "removing a container", {"force": "1", "v": "1"})

    async def remove_network(self, network_id: str) -> None:
        """The network gone. Raises CallError where a foreign container still uses it."""
        await self._remove(f"networks/{network_id}", "removing a network")

    async def remove_volume(self, name: str) -> None:
        """The volume gone. Raises CallError where a container still uses it."""
        await self._remove(f"volumes/{quote(name, safe='')}", f"removing the volume {name}")

    async def _remove(self, path: str, what: str, query: Mapping[str, str] | None = None) -> None:
        with _gone_is_fine():
            await self.call("DELETE", path, what, query=query, extra=REMOVAL)

    async def remove_image(self, image_id: str) -> None:
        """The untagged image gone; kept, without a word, where anything still needs it."""
        with contextlib.suppress(CallError):
            await self.call("DELETE", f"images/{image_id}", "removing an image")

    async def images(self) -> tuple[str, ...]:
        """The ids of all images."""
        return tuple(await self._list("images/json", "listing images", lambda shown: answers.text(shown["Id"])))

    async def image_platform(self, image_id: str) -> str:
        """What an image is for, such as `linux/amd64`; empty where nobody knows."""
        with contextlib.suppress(EngineError):
            path = f"images/{image_id}/json"
            return await self.ask(path, "inspecting an image", lambda shown: _platform(shown, "Architecture"))
        return ""

    async def image_variables(self, reference: str) -> dict[str, str]:
        """The environment that an image brings; nothing where it is not there."""
        try:
            path = f"images/{quote(reference)}/json"
            return await self.ask(
                path, "inspecting an image", lambda shown: answers.variables(shown["Config"].get("Env"))
            )
        except CallError:
            return {}

    async def image_tags(self, image_id: str) -> tuple[str, ...]:
        """The names that an image goes by; none where it is dangling or gone."""
        try:
            return await self.ask(
                f"images/{image_id}/json", "inspecting an image", lambda shown: tuple(shown.get("RepoTags") or ())
            )
        except CallError:
            return ()


class Frames:
    """What a process prints, in the engine's frames: one byte of stream, three of nothing, four of length."""

    def __init__(self, answer: Exchange) -> None:
        self._answer = answer
        self._buffer = b""
        self._at = 0

    async def next(self) -> tuple[int, bytes] | None:
        """(1 for stdout or 2 for stderr, bytes), or None at the end."""
        while True:
            begin = self._at + HEADER.size
            if len(self._buffer) >= begin:
                stream, length = HEADER.unpack_from(self._buffer, self._at)
                if len(self._buffer) >= begin + length:
                    self._at = begin + length
                    return stream, self._buffer[begin : self._at]
            chunk = await self._answer.chunk()
            if not chunk:
                return None
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0


class Session:
    """The two ends of an exec: orders in, bytes out."""

    def __init__(self, answer: Exchange, code: Callable[[], Awaitable[int | None]]) -> None:
        self._answer = answer
        self._frames = Frames(answer)
        self._code = code

    async def send(self, data: bytes) -> None:
        """Orders on their way. Raises ConnectionError where the process has ended."""
        await self._answer.send(data)

    async def receive(self) -> tuple[int, bytes] | None:
        """(1 for stdout or 2 for stderr, bytes), or None where the program could not be run at all.

        Raises ConnectionAbortedError where the process has ended, or the engine has gone away.
        """
        frame = None
        with contextlib.suppress(LostError):
            frame = await self._frames.next()
        if frame is None:
            with contextlib.suppress(EngineError):
                if await self._code() in CANNOT_RUN:
                    return None
            raise ConnectionAbortedError
        return frame


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
        if not error.absent and not in_progress:
            raise


def _usage(shown: Mapping[str, Any]) -> Usage:
    """Memory without what the kernel could take back at once, as `docker stats` counts it."""
    cpu, memory = shown.get("cpu_stats") or {}, shown.get("memory_stats") or {}
    used = cpu.get("cpu_usage") or {}
    cpus = int(cpu.get("online_cpus") or len(used.get("percpu_usage") or ()) or 1)
    details = memory.get("stats") or {}
    spare = int(details.get("total_inactive_file", details.get("inactive_file", 0)))
    size = max(int(memory.get("usage") or 0) - spare, 0)
    return Usage(int(used.get("total_usage") or 0), int(cpu.get("system_cpu_usage") or 0), cpus, size)


def _whose(listed: Mapping[str, Any]) -> str:
    """A container as people know it."""
    labels = listed.get("Labels") or {}
    if PROJECT_LABEL in labels and SERVICE_LABEL in labels:
        return f"{labels[SERVICE_LABEL]} of the project {labels[PROJECT_LABEL]}"
    return f"container {_name(listed)}"


def _name(listed: Mapping[str, Any]) -> str:
    """The name of a container that was listed, or nothing."""
    return answers.text(next(iter(listed.get("Names") or ()), "")).lstrip("/")


def _greeting(shown: Mapping[str, str]) -> tuple[tuple[tuple[int, int], tuple[int, int]], str, str]:
    """The newest and the oldest version of the API that the engine speaks, its platform, and its kernel."""
    newest, oldest = (shown.get(key, "1.0").split(".") for key in ("ApiVersion", "MinAPIVersion"))
    versions = (int(newest[0]), int(newest[1])), (int(oldest[0]), int(oldest[1]))
    return versions, _platform(shown, "Arch"), str(shown.get("KernelVersion", ""))


def _platform(shown: Mapping[str, str], key: str) -> str:
    return f"{shown['Os']}/{shown[key]}" if shown.get("Os") and shown.get(key) else ""


def _listed(variables: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _plain(
    answer: Exchange, quiet: Callable[[], Awaitable[None]] | None = None
) -> Callable[[], Awaitable[tuple[int, bytes] | None]]:
    """Reads a body without frames as if all of it were stdout; asks `quiet` whenever nothing has come for a while."""

    async def read() -> tuple[int, bytes] | None:
        while True:
            with anyio.move_on_after(QUIET if quiet else None):
                chunk = await answer.chunk()
                return (1, chunk) if chunk else None
            if quiet is not None:
                await quiet()

    return read


def _joined(read: Read) -> Read:
    """As `read`, without the times that the engine puts into the midst of a long line: before each of its pieces."""
    is_open = {1: False, 2: False}

    async def pieces() -> tuple[int, bytes] | None:
        if (frame := await read()) is None:
            return None
        stream, chunk = frame
        if is_open.get(stream):
            chunk = TIME.sub(b"", chunk, count=1)
        is_open[stream] = not chunk.endswith(b"\n")
        return stream, chunk

    return pieces


async def _lines(read: Callable[[], Awaitable[tuple[int, bytes] | None]]) -> AsyncIterator[tuple[str, str]]:
    names = {1: "stdout", 2: "stderr"}
    rest = {1: b"", 2: b""}
    while (frame := await read()) is not None:
        stream, chunk = frame
        *lines, rest[stream] = (rest.get(stream, b"") + chunk).split(b"\n")
        for line in lines:
            yield names[stream], line.removesuffix(b"\r").decode(errors="backslashreplace")
    for stream, line in rest.items():
        if line:
            yield names[stream], line.decode(errors="backslashreplace")
