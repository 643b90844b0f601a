"""The corridor in this process, on the real engine, between a folder and containers that are not Compose's."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import socket
import stat
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import anyio
from anyio.from_thread import start_blocking_portal

from devenv.concurrent import first
from devenv.config.load import Loaded, Selection
from devenv.engine.api import Engine
from devenv.engine.endpoint import DEFAULT_SOCKET, Endpoint
from devenv.lifecycle.failures import Examiner
from devenv.lifecycle.health import Observer
from devenv.model.events import Event, Problem
from devenv.model.observed import Container
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.watch import rules
from devenv.watch.loop import Corridor
from support.boxes import Boxes
from support.proxy import Proxy

TARGET = "/app"
IGNORED = ".ignored"
OWN = b"made-here"
LIMIT = 35.0  # seconds until all is equal once the faults have ended: a container that was overlooked is found in 30


def engine_socket() -> str:
    """The path of the engine's unix socket that the docker command line uses, too."""
    return (os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET).removeprefix("unix://")


@dataclass(frozen=True)
class Entry:
    """One file, folder or link: `content` is its bytes, or where a link leads. A folder's mode does not count."""

    kind: str
    mode: int = 0
    content: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind} {self.mode:o} {len(self.content)} B {self.content[:24]!r}"


Tree = dict[bytes, Entry]
E = TypeVar("E", bound=Event)


def short(said: object) -> str:
    """As text, very long names cut."""
    return re.sub(r"x{20,}", "xxx...", str(said))


def on_host(folder: Path) -> Tree:
    """Everything below the folder that is to be synced, by relative path."""
    top = os.fsencode(folder)
    found: Tree = {}
    for place, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(place, name)
            entry = _look(path)
            if entry is not None and not name.endswith(IGNORED.encode()):
                found[os.path.relpath(path, top)] = entry
    return found


def _look(path: bytes) -> Entry | None:
    mode = os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        return Entry("link", 0o777, os.readlink(path))
    if stat.S_ISDIR(mode):
        return Entry("folder")
    if not stat.S_ISREG(mode):
        return None
    with open(path, "rb") as file:
        return Entry("file", mode & 0o777, file.read())


def in_container(container: str, folder: str = TARGET) -> tuple[Tree, dict[bytes, tuple[int, int]]]:
    """Everything below the folder, by relative path, and whose it is (the folder itself as `.`)."""
    tree: Tree = {}
    owners: dict[bytes, tuple[int, int]] = {}
    tar = _archive(container, folder)
    if tar is None:
        return tree, owners
    with (
        contextlib.suppress(tarfile.ReadError),  # the tree changed while the engine read it
        tarfile.open(fileobj=io.BytesIO(tar), errors="surrogateescape") as archive,
    ):
        for member in archive:
            path = os.fsencode(member.name).partition(b"/")[2].rstrip(b"/")
            owners[path or b"."] = (member.uid, member.gid)
            if not path:
                continue
            if member.issym():
                tree[path] = Entry("link", 0o777, os.fsencode(member.linkname))
            elif member.isdir():
                tree[path] = Entry("folder")
            else:
                file = archive.extractfile(member)
                tree[path] = Entry("file", member.mode & 0o777, file.read() if file else b"")
    return tree, owners


def _archive(container: str, folder: str) -> bytes | None:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(engine_socket())
    with contextlib.closing(connection):
        connection.request("GET", f"/containers/{container}/archive?path={quote(folder)}")
        answer = connection.getresponse()
        body = answer.read()
    if answer.status == 404:
        return None
    assert answer.status == 200, body
    return body


class Rig:
    """A source folder, containers, and the corridor between them for as long as `running` lasts."""

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
        self._puts = str(folder / "puts")
        watch = WatchRule(str(self.source), Action.SYNC, TARGET, ignore=(f"**/*{IGNORED}",))
        service = Service(boxes.service, watch=(watch, *more_rules(self.source)))
        self.project = Project(boxes.project, str(folder), (), (service,))

    def path(self, name: str) -> Path:
        """A path below the source folder."""
        return self.source / name

    def told(self, kind: type[E]) -> list[E]:
        """Every event of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def problems(self) -> list[Problem]:
        """What devenv complained of."""
        return self.told(Problem)

    @contextlib.contextmanager
    def running(self) -> Iterator[Rig]:
        """The corridor open, the containers that are there already served."""
        failed: BaseException | None = None
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(self._corridor()):
            try:
                yield self
            except BaseException as error:  # noqa: BLE001 - raised again where no task group wraps it
                failed = error
        if failed is not None:
            raise failed

    @contextlib.asynccontextmanager
    async def _corridor(self) -> AsyncIterator[None]:
        host = f"unix://{engine_socket()}" if self._through is None else self._through.host
        async with Engine.connect(Endpoint(host)) as engine:
            corridor = Corridor(
                engine,
                self.project,
                rules.bind(self.project, {}),
                emit=self.events.append,
                rebuild=self._rebuild,
                ending=self._ending,
                mark=self.project.name,
                puts=self._puts,
            )
            observer = Observer(
                engine,
                self.project,
                frozenset({self.boxes.service}),
                emit=self.events.append,
                logs=False,
                on_start=corridor.adopt,
                on_gone=corridor.drop,
                on_return=self._left_alone,
                examiner=lambda: Examiner(engine, Loaded(self.project, {}), Selection(self.project.directory)),
            )

            async def run(*, task_status: anyio.abc.TaskStatus[None]) -> None:
                # What would end a real run must not end the test before it has said what differs.
                try:
                    await corridor.run(task_status=task_status)
                except Exception as error:  # noqa: BLE001 - told with the differences
                    self.ended = first(error)

            async with anyio.create_task_group() as tasks:
                await tasks.start(run)
                corridor.open()
                tasks.start_soon(observer.run)
                yield
                tasks.cancel_scope.cancel()
            await corridor.close()

    async def _rebuild(self, service: str, cause: str) -> None:
        raise AssertionError(f"no rule rebuilds, and {cause} is to rebuild {service}")

    async def _left_alone(self, _containers: Sequence[Container]) -> None:
        """What an engine took along when it ended is started by the tests."""

    @contextlib.asynccontextmanager
    async def _ending(self, _containers: Sequence[Container]) -> AsyncIterator[None]:
        yield

    # --- the oracle ----------------------------------------------------------------------------------------------

    def settle(self, limit: float = LIMIT) -> float:
        """The seconds until every container was what the host is; AssertionError with every path that is not."""
        began = time.monotonic()
        ids = self.boxes.ids
        wanted = on_host(self.source)
        while wrong := [line for one in ids for line in self.differences(one, wanted)]:
            if time.monotonic() - began > limit:
                told = [problem.message for problem in self.problems[-5:]]
                text = "\n".join(wrong[:40])
                raise AssertionError(f"{len(wrong)} differences after {limit} s:\n{text}\n{told}\n{self.ended!r}")
            time.sleep(0.05)
        assert self.ended is None, self.ended
        self.rounds.append(time.monotonic() - began)
        return self.rounds[-1]

    def differences(self, container: str, wanted: Tree) -> list[str]:
        """One line for each path that is not in the container what it is on the host.

        What the container made itself (its name begins with `made-here`) is there, in folders that are only there
        for its sake, and stand where a file would go; an image without a shell may also keep what is gone on the
        host.
        """
        found, owners = in_container(container)
        own = {path for path in found if os.path.basename(path).startswith(OWN)}
        own |= {b"/".join(path.split(b"/")[:depth]) for path in own for depth in range(1, path.count(b"/") + 1)}
        lines = [
            f"{container[:6]} {short(path)}: {wanted.get(path)} on the host, {found.get(path)} in the container"
            for path in sorted(wanted.keys() | found.keys())
            if wanted.get(path) != found.get(path)
            and path not in own
            and (path in wanted or self.boxes.image.has_shell)
        ]
        lines += [
            f"{container[:6]} {short(path)} belongs to {whose}"
            for path, whose in owners.items()
            if whose != self.owner and path not in own
        ]
        return lines
