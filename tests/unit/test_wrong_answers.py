"""Invalid answers of an engine are errors of the engine, never a crash."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.errors import EngineError
from devenv.model.containers import Container

pytestmark = pytest.mark.anyio

BOX = Container("id", "name", "web", "running", ours=True)
VALUES: list[Any] = [
    None, True, 5, 1.5, "text", [], {}, [None], [5], ["text"], [[]], [{}], {"Id": None}, {"Id": 5}, {"Id": []},
    {"Volumes": [5]}, {"Volumes": {"a": 1}}, {"Volumes": "text"}, {"Names": 3}, [{"Names": 3, "Ports": 5, "Id": 5}],
    [{"Id": "x", "Labels": []}], [{"Id": "x", "Labels": None}], [{"Id": "x", "Name": None, "Labels": "x"}],
    {"Name": {}, "Labels": 3}, {"Config": 5, "State": {}}, {"State": {"Health": 5}}, {"Containers": [5]},
    {"Containers": {"a": None}}, [{"RepoTags": 5, "Labels": 5}], [{"RepoTags": [5]}], {"Config": {"Env": 5}},
    {"Descriptor": None}, {"Descriptor": {"digest": None}}, {"ID": None, "DockerRootDir": 5}, {"ExitCode": "x"},
    {"cpu_stats": 5}, {"RepoTags": 7}, {"RepoTags": [7]}, {"Os": 5, "Architecture": []}, [{"CreatedBy": None}],
]  # fmt: skip
BODIES = [*(json.dumps(value).encode() for value in VALUES), b"", b"\xff", b"<html>", b"{", b"[" * 100_000, b"NaN"]
Ask = Callable[[Engine], Awaitable[object]]
CALLS: dict[str, Ask] = {
    "scene": lambda engine: engine.project_state("p"),
    "containers": lambda engine: engine.containers.list("p"),
    "identity": lambda engine: engine.identity(),
    "volume": lambda engine: engine.volumes.inspect("v"),
    "names": lambda engine: engine.networks.names(),
    "volume_times": lambda engine: engine.volumes.times(),
    "published": lambda engine: engine.containers.published(),
    "volume_users": lambda engine: engine.volumes.users("v"),
    "network_users": lambda engine: engine.networks.users("n"),
    "inspect": lambda engine: engine.containers.inspect("c"),
    "usage": lambda engine: engine.containers.usage("c"),
    "health_output": lambda engine: engine.containers.health_output("c"),
    "clock": lambda engine: engine.clock(),
    "execute": lambda engine: engine.exec.run("c", ["true"]),
    "create_container": lambda engine: engine.containers.create({}),
    "create_volume": lambda engine: engine.volumes.create({}),
    "images": lambda engine: engine.images.ids(),
    "image_platform": lambda engine: engine.images.platform("i"),
    "image_variables": lambda engine: engine.images.variables("i"),
    "image_tags": lambda engine: engine.images.tags("i"),
    "stop": lambda engine: engine.containers.stop(BOX),
    "remove_volume": lambda engine: engine.volumes.remove("v"),
    "local_images": lambda engine: engine.images.local_images(["i"]),
    "distribution": lambda engine: engine.images.distribution("i"),
    "pull": lambda engine: engine.images.pull("i"),
    "push": lambda engine: engine.images.push("i"),
    "written": lambda engine: engine.images.recorded_texts("i"),
    "inspect image": lambda engine: engine.images.inspect("i"),
    "labelled": lambda engine: engine.images.labelled("l"),
    "load": lambda engine: engine.images.load(cast("Any", b"")),
}


class Answers(Client):
    """Answers every request with one body."""

    def __init__(self, body: bytes, status: int) -> None:
        super().__init__(cast("Any", None))
        self.body, self.status = body, status

    @contextlib.asynccontextmanager
    async def request(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """Return that body in one piece."""
        pieces = [self.body]

        async def chunk() -> bytes:
            return pieces.pop() if pieces else b""

        async def read() -> bytes:
            return self.body

        yield SimpleNamespace(status=self.status, date="never", read=read, chunk=chunk)


async def outcome(ask: Ask, body: bytes, status: int = 200) -> object:
    """The result of the call, or the engine error that it raises; other exceptions fail the test."""
    engine = Engine(Answers(body, status), Endpoint("unix:///x"))
    try:
        return await ask(engine)
    except EngineError as error:
        return error


@pytest.mark.parametrize("ask", CALLS.values(), ids=list(CALLS))
async def test_no_answer_is_a_crash(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call with each wrong answer, as a success and as a failure."""
    monkeypatch.setattr("devenv.docker.exec.EXIT_PAUSES", (0.0,))
    for body in BODIES:
        for status in (200, 500, 404):
            await outcome(ask, body, status)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body[:20].decode(errors="replace"))
async def test_a_container_without_an_id_is_none(body: bytes) -> None:
    """An id is a text: other values are not ids, and no request is made for them."""
    result = await outcome(CALLS["create_container"], body)
    assert isinstance(result, EngineError)
    assert result.message == "creating a container: unexpected answer from the engine at unix:///x"
    assert result.hint == "docker info"
