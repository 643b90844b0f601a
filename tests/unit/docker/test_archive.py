"""Files of containers of an engine in memory."""

from __future__ import annotations

import io

import pytest

from devenv.docker.transport import CallError
from support.engine import FOLDER, Container, Fails, MemoryEngine, MemoryHost, Node, pack, unpack
from support.memory.played import placed

pytestmark = pytest.mark.anyio

ENTRIES = {"app": FOLDER, "app/file": Node("file", b"content"), "app/link": Node("link", target="file")}


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(MemoryHost())


@pytest.fixture
async def container(engine: MemoryEngine) -> Container:
    """A stopped container with a folder, a file and a link."""
    container = placed(engine.host, "web", "exited")
    await engine.archive.put(container.id, pack(ENTRIES))
    return container


async def test_a_folder_is_read_and_saved(engine: MemoryEngine, container: Container) -> None:
    """Names of entries begin with the folder's own name."""
    content = await engine.archive.get(container.id, "/app")
    assert content is not None
    assert [*unpack(content)] == ["app", "app/file", "app/link"]
    file = io.BytesIO()
    await engine.archive.save(container.id, "/app", file)
    assert file.getvalue() == content


async def test_a_path_that_does_not_exist(engine: MemoryEngine, container: Container) -> None:
    file = io.BytesIO()
    for path in ("/none", "/app/file/none"):
        assert await engine.archive.get(container.id, path) is None
        assert await engine.archive.is_link(container.id, path) is None
        await engine.archive.save(container.id, path, file)
    assert file.getvalue() == b""


async def test_a_link_is_told_from_a_file(engine: MemoryEngine, container: Container) -> None:
    links = [await engine.archive.is_link(container.id, f"/app/{name}") for name in ("link", "file", "")]
    assert links == [True, False, False]


async def test_a_head_request_that_fails_is_followed_by_a_get(engine: MemoryEngine, container: Container) -> None:
    """Its answer has no reason; a link that leads to itself exists, and any other error is raised."""
    request = f"HEAD containers/{container.id}/archive"
    engine.faults.on(request, Fails(500, ""))
    assert await engine.archive.is_link(container.id, "/app") is True
    for reason, expected in (("too many links", True), ("no space left", None)):
        engine.faults.on(request, Fails(500, ""))
        engine.faults.on(f"GET containers/{container.id}/archive", Fails(500, reason))
        if expected:
            assert await engine.archive.is_link(container.id, "/app") is expected
        else:
            with pytest.raises(CallError, match=reason):
                await engine.archive.is_link(container.id, "/app")


async def test_a_broken_tar_is_refused(engine: MemoryEngine, container: Container) -> None:
    with pytest.raises(CallError):
        await engine.archive.put(container.id, b"no tar" * 1000)
