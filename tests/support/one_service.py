"""The sync of one service between a folder and containers in memory, without a watcher: it scans on request.

Containers are those of `MemoryHost`, which have no shell, or `FakeTarget`, which records its calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskGroup

from devenv.errors import EngineError
from devenv.events import Event, Problem
from devenv.model.containers import Container
from devenv.model.project import Action, Project, Service, Settings, WatchRule
from devenv.model.sync_plan import Delete, Sync
from devenv.sync.container.journal import StagedPaths, SyncJournal
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.readback import Seen
from devenv.sync.container.target import Target
from devenv.sync.host import link_loops, manifest, scan
from devenv.sync.rules import rules
from devenv.sync.service import ServiceSync
from devenv.sync.service_state import SyncContext
from support.engine import MemoryEngine, MemoryHost
from support.memory.played import placed

E = TypeVar("E", bound=Event)
CREATED = Container(id="one", name="p-web-1", service="web", state="created", ours=True)
RUNNING = replace(CREATED, state="running")


class FakeTarget:
    """A container that records its calls; `during` runs while files are on their way."""

    def __init__(self, name: str, state: str = "created", during: Callable[[], None] = lambda: None) -> None:
        self.container = replace(CREATED, id=name, name=name, state=state)
        self.during = during
        self.staged = StagedPaths(SyncJournal())
        self.executable: set[str] = set()
        self.deleted: list[str] = []
        self.put: list[str] = []
        self.compared: list[tuple[str, ...]] = []
        self.present: set[str] = set()
        self.failed: dict[str, str] = {}
        self.is_lost = False
        self.is_closed = False

    async def open_shell(self) -> None:
        """Do nothing: there is no shell."""

    def has_changed(self, container: Container) -> None:
        """Deliver to the container as it is now."""
        self.container = container

    async def close(self) -> None:
        """Note the end."""
        self.is_closed = True

    async def compare(self, syncs: Sequence[Sync], _: Any, placed: Collection[str], *_given: Any) -> Seen:
        """Report all syncs as missing, as in a new container, and the names of the journal in `present`."""
        self.compared.append(tuple(sync.target for sync in syncs))
        return Seen(tuple(syncs), frozenset(self.present & set(placed)))

    async def deliver(
        self, deletes: Sequence[Delete], syncs: Sequence[Sync], meanwhile: Callable[[], object] = lambda: None
    ) -> SyncOutcome:
        """Note the operations; paths in `failed` fail. Raises EngineError if `is_lost`."""
        self.during()
        await anyio.lowlevel.checkpoint()
        meanwhile()
        if self.is_lost:
            raise EngineError("gone away")
        self.deleted += [d.target for d in deletes]
        self.put += [s.target for s in syncs]
        failed = {s.target for s in syncs} & self.failed.keys(), {d.target for d in deletes} & self.failed.keys()
        files, deleted = len(syncs) - len(failed[0]), len(deletes) - len(failed[1])
        return SyncOutcome(files, deleted, failed={target: self.failed[target] for target in failed[0] | failed[1]})


class OneService:
    """The service `web` with a rule from `folder`/src to /src, and its containers on an engine in memory.

    `over` is a folder below src whose files go to /src, too, and take precedence there.
    """

    def __init__(self, folder: Path, *, settings: Settings | None = None, over: str = "", **rule: Any) -> None:
        self.folder = folder / "src"
        self.folder.mkdir(exist_ok=True)
        self.host = MemoryHost()
        self.engine = MemoryEngine(self.host)
        self.events: list[Event] = []
        self.replaced: list[tuple[str, str, str]] = []  # rebuild or recreate, service, cause
        self.replace_fails: EngineError | None = None
        self.is_at_rest = True
        self.fakes: dict[str, FakeTarget] = {}
        watch = {"action": Action.SYNC, "target": "/src", **rule}
        more = (WatchRule(str(self.folder / over), Action.SYNC, "/src"),) if over else ()
        service = Service("web", watch=(WatchRule(str(self.folder), **watch), *more))
        self.project = Project("p", str(folder), (), (service,), settings=settings or Settings())
        self.context = SyncContext(
            lambda _: self.engine,
            self.project,
            self.events.append,
            actions=self,
            journals=str(folder / "journals"),
            is_at_rest=lambda: self.is_at_rest,
        )
        self.sync = self.again()
        self.state = self.sync.state

    def again(self) -> ServiceSync:
        """A new sync, which has delivered no file."""
        return ServiceSync(self.context, "web", rules.bind(self.project, {}))

    # --- the host ----------------------------------------------------------------------------------------------

    def write(self, name: str, content: str = "x") -> str:
        """Write a file below the folder; return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return str(path)

    @property
    def pending(self) -> int:
        """The number of paths that are not in all containers yet."""
        return len(self.state.waiting) + len(self.state.retries.paths)

    def look(self) -> None:
        """Scan the whole folder and queue the changes."""
        now, root = self.context.now, str(self.folder)
        seen = scan.scan([root], lambda _: False)
        fresh = link_loops.with_loops(now, {path: seen.get(path) for path in sorted({*now, *seen})})
        changes = manifest.diff(now, fresh)
        manifest.apply(now, changes)
        self.state.notice(dict.fromkeys(path for path, _ in (*changes.gone, *changes.present)))

    def begin(self) -> None:
        """Begin as a run does: the host is known, and nothing is queued."""
        self.look()
        self.state.waiting.take_all()
        self.sync.begin(None)

    async def step(self) -> set[str]:
        """Scan the folder and carry out one plan, with all earlier failures; return the host paths that failed."""
        self.look()
        for path in self.state.retries.paths:
            self.state.wait(path)
        failed = await self.sync.advance()
        self.state.retries.paths = {*failed}
        return failed

    # --- the containers ----------------------------------------------------------------------------------------

    async def place(self, state: str = "created", *, number: int = 1, life: int = 1) -> Container:
        """The container of that number in memory, in that state."""
        key = placed(self.host, "web", state, number=number, life=life).id
        container = await self.engine.containers.inspect(key)
        assert container is not None
        return container

    def files(self, number: int = 1) -> dict[str, bytes]:
        """The files in the container in memory."""
        return self.host.containers[f"id-web-{number}"].files.contents()

    async def adopt(self, fake: FakeTarget) -> int:
        """Adopt the fake; return the number of files."""
        self.fakes[fake.container.id] = fake
        return await self.sync.adoption.adopt(fake.container)

    def journal(self, container_id: str) -> SyncJournal:
        """The journal of the container."""
        return SyncJournal.of(self.context.journals, container_id)

    @contextlib.contextmanager
    def with_fakes(self) -> Iterator[OneService]:
        """Make adopted containers fakes, for the block."""

        async def reach(_: Any, container: Container, *__: Any) -> FakeTarget:
            return self.fakes[container.id]

        async def inspect(container_id: str) -> Container:
            return self.fakes[container_id].container

        async def end_leftovers(*_: Any, **__: Any) -> None:
            """Do nothing: a fake has no processes."""

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Target, "reach", reach)
            patch.setattr(self.engine.containers, "inspect", inspect)
            patch.setattr(self.engine.exec, "end_leftovers", end_leftovers)
            yield self

    # --- what came of it ---------------------------------------------------------------------------------------

    def events_of(self, kind: type[E]) -> list[E]:
        """The events of that kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def problems(self) -> list[str]:
        """The messages of all problems."""
        return [problem.message for problem in self.events_of(Problem)]

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[TaskGroup]:
        """Carry out what is queued, for the block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.sync.serve, tasks)
            yield tasks
            tasks.cancel_scope.cancel()

    # --- the actions of the project ----------------------------------------------------------------------------

    async def rebuild(self, service: str, cause: str) -> None:
        """Note it. Raises `replace_fails`, if that is an error."""
        self._replace("rebuild", service, cause)

    async def recreate(self, service: str, cause: str) -> None:
        """Note it. Raises `replace_fails`, if that is an error."""
        self._replace("recreate", service, cause)

    @contextlib.asynccontextmanager
    async def restarting(self, containers: Sequence[Container]) -> AsyncIterator[None]:
        """Note which containers may end."""
        self.replaced.append(("restarting", "web", ",".join(container.id for container in containers)))
        yield

    def _replace(self, how: str, service: str, cause: str) -> None:
        self.replaced.append((how, service, cause))
        if self.replace_fails is not None:
            raise self.replace_fails


async def until(is_so: Callable[[], bool]) -> None:
    """Return when the condition is met. Raises TimeoutError after five seconds."""
    with anyio.fail_after(5):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.01)
