"""A sync session in this process, on the real engine, between a folder and containers without Compose."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
from anyio.from_thread import start_blocking_portal

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError
from devenv.events import Event, Problem
from devenv.model.containers import Container
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.model.sync_plan import Sync
from devenv.run.active.failures import FailureReporter
from devenv.run.active.observe.observer import Observer
from devenv.sync import once
from devenv.sync.container.journal import SyncJournal
from devenv.sync.container.target import Target
from devenv.sync.rules import rules
from devenv.sync.session import SyncSession
from devenv.tasks import first
from support.boxes import Boxes
from support.docker_cli import engine_socket, pause
from support.naive import IGNORED, TARGET, Tree, in_container, on_host
from support.proxy import Proxy

OWN = b"made-here"
LIMIT = 65.0  # seconds until all is equal after the faults: two looks for an overlooked container, 30 s each


E = TypeVar("E", bound=Event)


def short(value: object) -> str:
    """The value as text, with very long names shortened."""
    return re.sub(r"x{20,}", "xxx...", str(value))


async def missing(target: Target, syncs: Sequence[Sync], top: str = "/srv") -> set[str]:
    """The syncs that the container lacks, with a rule for everything in a folder."""
    watch = (WatchRule("/anywhere", Action.SYNC, top),)
    bound = rules.bind(Project("p", "/", (), (Service("web", watch=watch),)), {})
    return {s.target for s in (await target.compare(syncs, bound)).missing}


class Rig:
    """A source folder, containers, and the sync session between them while `running` lasts."""

    def __init__(
        self,
        folder: Path,
        boxes: Boxes,
        *,
        owner: tuple[int, int] = (0, 0),
        through: Proxy | None = None,
        more_rules: Callable[[Path], Sequence[WatchRule]] = lambda _: (),
    ) -> None:
        self.source = folder / "src"
        self.source.mkdir(parents=True)
        self.boxes = boxes
        self.owner = owner
        self.events: list[Event] = []
        self.ended: BaseException | None = None
        self.rounds: list[float] = []
        self._through = through
        self._journals = str(folder / "puts")
        watch = WatchRule(str(self.source), Action.SYNC, TARGET, ignore=(f"**/*{IGNORED}",))
        service = Service(boxes.service, watch=(watch, *more_rules(self.source)))
        self.project = Project(boxes.project, str(folder), (), (service,))

    def path(self, name: str) -> Path:
        """A path below the source folder."""
        return self.source / name

    def events_of(self, kind: type[E]) -> list[E]:
        """Every event of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def problems(self) -> list[Problem]:
        """The problems that devenv reported."""
        return self.events_of(Problem)

    @contextlib.contextmanager
    def running(self) -> Iterator[Rig]:
        """Run the session, with the existing containers served."""
        failed: BaseException | None = None
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self._sync_session()):
            try:
                yield self
            except BaseException as error:  # noqa: BLE001 - raised again where no task group wraps it
                failed = error
        if failed is not None:
            raise failed

    @contextlib.asynccontextmanager
    async def _sync_session(self) -> AsyncIterator[None]:
        host = f"unix://{engine_socket()}" if self._through is None else self._through.host
        async with Engine.connect(Endpoint(host)) as engine:
            sync_session = SyncSession(
                lambda _: engine,
                emit=self.events.append,
                actions=self,
                journals=self._journals,
            )
            observer = Observer(
                engine,
                self.project,
                frozenset({self.boxes.service}),
                emit=self.events.append,
                logs=False,
                on_start=sync_session.adopt,
                on_gone=sync_session.drop,
                on_return=self._left_alone,
                reporter=lambda: FailureReporter(engine, Loaded(self.project, {}), Selection(self.project.directory)),
            )

            async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                # An error that would end a real run must not end the test before it has reported the differences.
                try:
                    async with anyio.create_task_group() as inner:
                        await sync_session.follow(inner, self.project, rules.bind(self.project, {}))
                        task_status.started()
                except Exception as error:  # noqa: BLE001 - reported with the differences
                    self.ended = first(error)

            async with anyio.create_task_group() as tasks:
                await tasks.start(run)
                sync_session.open()
                tasks.start_soon(observer.run)
                yield
                tasks.cancel_scope.cancel()
            await sync_session.end()

    async def rebuild(self, service: str, cause: str) -> None:
        """Fail: no rule of a rig rebuilds."""
        raise AssertionError(f"no rule rebuilds, and {cause} is to rebuild {service}")

    recreate = rebuild

    async def _left_alone(self, _containers: Sequence[Container]) -> None:
        """Do nothing: tests start what an engine took along when it ended."""

    @contextlib.asynccontextmanager
    async def restarting(self, _containers: Sequence[Container]) -> AsyncIterator[None]:
        """Do nothing: nothing else needs to know of a restart."""
        yield

    # --- the oracle ----------------------------------------------------------------------------------------------

    def settle(self, limit: float = LIMIT) -> float:
        """The seconds until all containers equalled the host. Raises AssertionError with every path that differs."""
        began = time.monotonic()
        ids = self.boxes.ids
        wanted = on_host(self.source)
        looked = began
        while wrong := [line for container in ids for line in self.differences(container, wanted)]:
            now = time.monotonic()
            if now - began > limit:
                messages = [problem.message for problem in self.problems[-5:]]
                text = "\n".join(wrong[:40])
                raise AssertionError(f"{len(wrong)} differences after {limit} s:\n{text}\n{messages}\n{self.ended!r}")
            time.sleep(pause(now - looked))
            looked = time.monotonic()
        assert self.ended is None, self.ended
        self.rounds.append(time.monotonic() - began)
        return self.rounds[-1]

    def verified(self, container: str) -> set[bytes] | None:
        """The relative paths that `sync --verify` would name; None if the container cannot be read."""

        async def ask() -> set[bytes] | None:
            async with Engine.connect(Endpoint(f"unix://{engine_socket()}")) as engine:
                placed = SyncJournal.of(self._journals, container).read().placed
                _, seen = await once.compare(engine, container, rules.bind(self.project, {}), placed)
                return {os.fsencode(os.path.relpath(path, TARGET)) for path in seen.different}

        try:
            return anyio.run(ask)
        except EngineError:
            return None

    def differences(self, container: str, wanted: Tree) -> list[str]:
        """One line for each path that differs between the container and the host.

        Files that the container made (named `made-here...`) remain, with the folders that contain them, and where a
        file should go; an image without a shell may also keep files that are deleted on the host.
        """
        tree, owners = in_container(container)
        own = {path for path in tree if os.path.basename(path).startswith(OWN)}
        own |= {b"/".join(path.split(b"/")[:depth]) for path in own for depth in range(1, path.count(b"/") + 1)}
        lines = [
            f"{container[:6]} {short(path)}: {wanted.get(path)} on the host, {tree.get(path)} in the container"
            for path in sorted(wanted.keys() | tree.keys())
            if wanted.get(path) != tree.get(path)
            and path not in own
            and (path in wanted or self.boxes.image.has_shell)
        ]
        lines += [
            f"{container[:6]} {short(path)} belongs to {whose}"
            for path, whose in owners.items()
            if whose != self.owner and path not in own
        ]
        return lines
