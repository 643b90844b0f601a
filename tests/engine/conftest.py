"""Fixtures for the tests on a real engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.docker.client import Engine
from devenv.model.project import WatchRule
from support import docker_cli as docker
from support.boxes import Boxes, Image, built, static_busybox
from support.docker_cli import engine_socket
from support.proxy import Proxy
from support.rig import Rig
from support.stack import unique_name

ImageOf = Callable[[str], Image]


@pytest.fixture
def anyio_backend() -> str:
    """The backend that devenv runs on."""
    return "asyncio"


@pytest.fixture
async def api(engine: str) -> AsyncIterator[Engine]:
    """A client of the engine."""
    async with Engine.connect() as client:
        yield client


@pytest.fixture
def boxes(base_image: str) -> Iterator[list[str]]:
    """Containers that are removed at the end."""
    made: list[str] = []
    yield made
    for name in made:
        docker.succeeds("rm", "-fv", name)


@pytest.fixture(scope="session")
def image_of(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageOf]:
    """Builds images by kind: `debian`, `busybox`, or `scratch`; each once, removed at the end."""
    made: dict[str, Image] = {}
    with ExitStack() as stack:

        def get(kind: str) -> Image:
            if kind != "debian" and static_busybox() is None:
                pytest.skip("no static busybox is installed")
            if kind not in made:
                made[kind] = stack.enter_context(built(kind, tmp_path_factory.mktemp("image") / kind))
            return made[kind]

        yield get


class NewRig:
    """Makes rigs with a running container each; the containers are removed at the end."""

    def __init__(self, image_of: ImageOf, folder: Path, stack: ExitStack) -> None:
        self._image_of = image_of
        self._folder = folder
        self._stack = stack

    def __call__(
        self,
        kind: str = "busybox",
        user: int = 1000,
        *options: str,
        command: Sequence[str] = (),
        through: Proxy | None = None,
        more_rules: Callable[[Path], Sequence[WatchRule]] = lambda _: (),
    ) -> Rig:
        """A rig that is not running yet."""
        image = self._image_of(kind)
        if command:
            image = replace(image, command=tuple(command))
        boxes = Boxes(image, unique_name("rig"), f"--user={user}:{user}", *options)
        self._stack.callback(boxes.remove)
        boxes.start()
        return Rig(self._folder, boxes, owner=(user, user), through=through, more_rules=more_rules)


@pytest.fixture
def new_rig(image_of: ImageOf, tmp_path: Path) -> Iterator[NewRig]:
    """Makes rigs: `new_rig(kind, user, *docker_options) -> Rig`."""
    with ExitStack() as stack:
        yield NewRig(image_of, tmp_path, stack)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before the engine, whose faults are the same in each run."""
    with Proxy(engine=engine_socket(), seed=13, stall=1) as proxy:
        yield proxy
