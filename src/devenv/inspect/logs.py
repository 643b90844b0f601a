"""`devenv logs`: logs of containers and logs kept from the last run, merged by time."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import field

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from devenv.compose.outline import Selection, outline, require_known
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint, resolve
from devenv.errors import EngineError, UsageError
from devenv.explain.log_lines import LevelReader
from devenv.inspect.log_merge import Lines, last, merged
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, Line, line
from devenv.model.snapshot import ago
from devenv.run.cleanup.kept_logs import KeptLogs, Piece
from devenv.state.run_dir import Run
from devenv.tasks import task_group

AGAIN = 0.5  # seconds between two reads of a log that ended
EACH = 64  # lines between two chances to cancel: a pattern may take a third of a second for them
LONGEST = 8.0  # maximum seconds between two reads, if a log cannot be read and ends at once
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(d|h|ms?|s|us|µs|ns)"
_SECONDS = re.compile(r"\d{9,11}(?:\.\d{1,9})?")  # since 1970


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What to show. `tail` counts lines of each container; `wanted` decides whether a line matches."""

    selection: Selection
    services: tuple[str, ...] = ()
    follow: bool = False
    since: str | None = None
    tail: int | None = None
    wanted: Callable[[Line], bool] | None = None
    levels: bool = False  # whether lines get their levels

    def is_about(self, service: str) -> bool:
        """Whether lines of the service are wanted."""
        return not self.services or service in self.services


@dataclass
class Listener:
    """Callbacks: `begin` with the services whose lines may follow, `say` with lines, `tell` with messages."""

    begin: Callable[[Collection[str]], object]
    say: Callable[[Sequence[Line]], object]
    tell: Callable[[str], object]


async def logs(query: LogQuery, to: Listener) -> None:
    """Pass on all lines so far and, with `follow`, new lines until cancelled.

    Raises UsageError for an unknown service, EngineError if no engine answers and no log is kept.
    """
    name, project = await outline(query.selection)
    endpoint = await resolve()
    run = Run.known(endpoint, name)
    ledger = run.read()
    pieces, ended = KeptLogs(run.path).pieces(ledger.began if ledger else None)
    async with contextlib.AsyncExitStack() as stack:
        engine = await _connected(stack, endpoint, has_other=bool(pieces) and not query.follow, tell=to.tell)
        containers = await engine.containers.list(name) if engine else ()
        services = {container.service for container in containers}
        kept = {piece.service for piece in pieces}
        require_known(query.services, (*project.services, *project.dormant, *services, *kept))
        pieces = _lost(query, pieces, containers, () if ledger else services)
        wanted = [container for container in containers if query.is_about(container.service)]
        if heading := _heading(name, pieces, wanted, ended=None if ledger else ended, follow=query.follow):
            to.tell(heading)
        sources = LogReader(query, await engine.clock() if engine else dt.datetime.now(dt.UTC))
        await _say_logs(sources, engine, pieces, wanted, to)
        if engine and query.follow:
            await _follow(engine, name, sources, to)


def _heading(
    name: str, pieces: Sequence[Piece], containers: Sequence[Container], *, ended: float | None, follow: bool
) -> str:
    """A message before the lines of a run that has `ended`, or if there are no lines; otherwise empty."""
    if pieces and ended is not None:
        return f"the last run, which ended {ago(time.time() - ended)}, left this:"
    if not (pieces or containers or follow):
        return f"{name} has no container, and no log of an earlier run (devenv up)"
    return ""


async def _say_logs(
    sources: LogReader, engine: Engine | None, pieces: Sequence[Piece], containers: Sequence[Container], to: Listener
) -> None:
    """Pass on the kept lines and those that the containers have printed so far, by time."""
    to.begin({*(piece.service for piece in pieces), *(container.service for container in containers)})
    streams = [*map(sources.kept, pieces), *(sources.printed(engine, each) for each in containers if engine)]
    async with contextlib.AsyncExitStack() as stack:
        for stream in streams:
            stack.push_async_callback(stream.aclose)
        async for batch in merged(streams):
            to.say(batch)


async def _connected(
    stack: contextlib.AsyncExitStack, endpoint: Endpoint, *, has_other: bool, tell: Callable[[str], object]
) -> Engine | None:
    try:
        return await stack.enter_async_context(Engine.connect(endpoint))
    except EngineError as error:
        if not has_other:
            raise
        tell(error.message)
        return None


def _lost(
    query: LogQuery, pieces: Iterable[Piece], containers: Iterable[Container], existing: Collection[str]
) -> list[Piece]:
    """The wanted logs whose container no longer exists, and whose service has no newer container."""
    ids = {c.id for c in containers}
    return [
        piece
        for piece in pieces
        if query.is_about(piece.service) and piece.container_id not in ids and piece.service not in existing
    ]


@dataclass
class LogReader:
    """The wanted lines of containers and kept logs; remembers how far each container's log was read."""

    query: LogQuery
    now: dt.datetime
    _read: dict[str, str] = field(default_factory=dict)
    _levels: dict[str, LevelReader] = field(default_factory=dict)

    def kept(self, piece: Piece) -> Lines:
        """The lines of a kept log."""
        since = _text(self._since()) if self.query.since else ""
        levels = LevelReader() if self.query.levels else None

        async def lines() -> Lines:
            entries = [_levelled(each, levels) for each in piece.lines()]
            yield await self._wanted([entry for entry in entries if entry.at >= since])

        return last(lines(), self.query.tail)

    def printed(self, engine: Engine, container: Container) -> Lines:
        """The lines that the container has printed so far."""
        self._read[container.id] = _text(self.now)
        since = f"{self._since().timestamp():.6f}" if self.query.since else ""
        tail = "all" if self.query.tail is None or self.query.wanted else str(self.query.tail)
        return last(self._of(engine, container, since=since, tail=tail, follow=False), self.query.tail)

    def coming(self, engine: Engine, container: Container) -> Lines:
        """The lines that the container prints after those of `printed`, until it stops."""
        read = self._read.get(container.id)
        return self._of(engine, container, since=_after(read) if read else "", tail="all", follow=True)

    async def _of(self, engine: Engine, container: Container, *, since: str, tail: str, follow: bool) -> Lines:
        levels = self._levels.setdefault(container.id, LevelReader()) if self.query.levels else None
        async for stream, batch in engine.containers.log_batches(
            container, since=since, tail=tail, follow=follow, timed=True
        ):
            entries = [line(container.service, stream, timed) for timed in batch]
            if levels:
                entries = [_levelled(entry, levels) for entry in entries]
            if at := next((entry.at for entry in reversed(entries) if entry.at), ""):
                self._read[container.id] = at
            yield await self._wanted(entries)

    def _since(self) -> dt.datetime:
        return since(self.query.since or "", self.now)

    async def _wanted(self, entries: Sequence[Line]) -> Sequence[Line]:
        if self.query.wanted is None:
            return entries
        found: list[Line] = []
        for start in range(0, len(entries), EACH):
            await anyio.lowlevel.checkpoint()  # lets Ctrl-C interrupt
            found += filter(self.query.wanted, entries[start : start + EACH])
        return found


def _levelled(entry: Line, levels: LevelReader | None) -> Line:
    """The line with its level; a line without a level is not copied, for speed."""
    level = levels.level(entry.stream, entry.text) if levels else ""
    return entry._replace(level=level) if level else entry


async def _follow(engine: Engine, project: str, sources: LogReader, to: Listener) -> None:
    """Pass on what all containers of the project print, including new ones, until cancelled."""
    followed: set[str] = set()
    pauses: dict[str, float] = {}
    changed = anyio.Event()

    async def listen() -> None:
        async for event in engine.events(project):
            if event.get("Action", "start") == "start":  # no action: the stream begins
                changed.set()

    async def read(container: Container) -> None:
        began = anyio.current_time()
        async for batch in sources.coming(engine, container):
            to.say(batch)
        ended_at_once = anyio.current_time() - began < AGAIN
        pause = pauses[container.id] = (
            min(2 * pauses.get(container.id, AGAIN / 2), LONGEST) if ended_at_once else AGAIN
        )
        await anyio.sleep(pause)
        followed.discard(container.id)
        changed.set()

    async def all_(tasks: TaskGroup) -> None:
        nonlocal changed
        while True:
            changed = anyio.Event()
            for container in await engine.containers.list(project):
                if container.running and container.id not in followed and sources.query.is_about(container.service):
                    followed.add(container.id)
                    to.begin((container.service,))
                    tasks.start_soon(read, container)
            await changed.wait()

    async with task_group() as tasks:
        tasks.start_soon(listen)
        await all_(tasks)


def since(text: str, now: dt.datetime) -> dt.datetime:
    """The time given by `--since`: `90s`, `1h30m`, `1.5h`, `2d` before `now`, or a time, local without a zone.

    A number of 9 to 11 digits is a Unix time. Raises UsageError for anything else.
    """
    with contextlib.suppress(OverflowError):
        if _SECONDS.fullmatch(text):
            return dt.datetime.fromtimestamp(float(text), dt.UTC)
        if re.fullmatch(f"(?:{_PART})+", text):
            return now - dt.timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in re.findall(_PART, text)))
    with contextlib.suppress(ValueError):
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    raise UsageError(f"--since {text} is not a time", hint="--since 10m, --since 1h30m, or --since 2026-01-31T12:00")


def _text(moment: dt.datetime) -> str:
    """The time in the format of log lines."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z"


def _after(at: str) -> str:
    """The first nanosecond after that time, in Unix seconds."""
    whole, fraction = divmod(int(at[20:29]) + 1, 10**9)
    return f"{dt.datetime.fromisoformat(f'{at[:19]}+00:00').timestamp() + whole:.0f}.{fraction:09}"
