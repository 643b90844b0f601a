"""The content of layers, from tars of all kinds of engines."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any, cast

import anyio.to_thread
import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.docker.transport import CallError
from devenv.images import layer_contents as contents
from devenv.images.layers import Contents
from devenv.model.images import Anatomy

pytestmark = pytest.mark.anyio
NO_ENGINE = Engine(cast("Client", None), Endpoint("unix:///x"))
IMAGE = Anatomy("it", "sha256:0", 0, ())
Entry = bytes | str | None  # a file's content, a link's target, a folder


def tarred(entries: Mapping[str, Entry]) -> bytes:
    """A tar of these."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
            else:
                hard = content is not None and content.startswith("=")
                entry.type = tarfile.DIRTYPE if content is None else tarfile.LNKTYPE if hard else tarfile.SYMTYPE
                entry.linkname = (content or "").removeprefix("=")
            tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


LOWER = tarred(
    {"etc": None, "etc/passwd": b"12345", "./bin/sh": "dash", "big/x": b"x" * 5000, "one": b"1234", "two": "=./one"}
)
UPPER = tarred(
    {
        "etc/.wh.passwd": b"",
        "big/.wh..wh..opq": b"",
        "app/package.json": b"{}",
        "app/node_modules/a/package.json": b"{}",
    }
)
FOUND = [
    Contents({"etc/passwd": 5, "bin/sh": 0, "big/x": 5000, "one": 0, "two": 0}),
    Contents(
        {
            "app/package.json": 2,
            "app/node_modules/a/package.json": 2,
        },
        frozenset({"etc/passwd"}),
        frozenset({"big"}),
    ),
]


def saved(*layers: str, **files: Entry) -> bytes:
    """An image as an engine saves it: blobs, and a manifest with the layers."""
    manifest = json.dumps([{"Config": "config.json", "Layers": layers}]).encode()
    return tarred({"blobs": None, "config.json": b'{"x": 1}', **files, "manifest.json": manifest})


@pytest.fixture
def exporting(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], list[int]]:
    """Make the engine export these bytes in pieces; the list gets the reported progress."""

    def prepare(archive: bytes) -> list[int]:
        async def export(_engine: Any, references: list[str], take: Callable[[memoryview], object]) -> None:
            assert references == [IMAGE.id]
            for start in range(0, len(archive), 100_000):
                await anyio.to_thread.run_sync(take, memoryview(archive)[start : start + 100_000])

        monkeypatch.setattr("devenv.docker.images.Images.export", export)
        return []

    return prepare


async def read(archive: bytes, exporting: Callable[[bytes], list[int]]) -> list[Contents] | None:
    """Parse the archive; all of it must be read."""
    came = exporting(archive)
    layers = await contents.contents(NO_ENGINE, IMAGE, came.append)
    assert came[-1] == len(archive)
    assert came == sorted(came)
    return layers


@pytest.mark.parametrize("pack", [lambda tar: tar, gzip.compress], ids=["plain", "gzip"])
async def test_layers_in_the_order_of_the_manifest(
    pack: Callable[[bytes], bytes], exporting: Callable[[bytes], list[int]]
) -> None:
    """The order is that of the manifest, not of the tar; each layer has its files and whiteouts."""
    assert await read(saved("b/z", "b/a", **{"b/a": pack(UPPER), "b/z": pack(LOWER)}), exporting) == FOUND


async def test_layers_that_are_links_or_empty(exporting: Callable[[bytes], list[int]]) -> None:
    """Some engines store a layer once and link to it; a layer without files is just the end of a tar."""
    names = ("1/layer.tar", "2/layer.tar", "0/layer.tar")
    files: dict[str, Entry] = {names[0]: UPPER, names[1]: "../1/layer.tar", names[2]: bytes(1024)}
    archive = saved(*names, **files)
    assert await read(archive, exporting) == [FOUND[1], FOUND[1], Contents({})]


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"no tar at all" * 100,
        saved("a", a=LOWER)[:6000],
        saved("b", a=LOWER),
        saved("a", a=b"\x28\xb5\x2f\xfd" + bytes(2000)),
        saved("a", a=b"\x1f\x8b" + b"x" * 2000),
        tarred({"a": LOWER}),
        tarred({"a": LOWER, "manifest.json": b"[]"}),
        tarred({"a": LOWER, "manifest.json": b"[1]"}),
    ],
    ids=["empty", "garbage", "cut", "absent", "zstd", "no gzip", "no manifest", "no image", "odd"],
)
async def test_an_unreadable_archive_gives_no_contents(
    archive: bytes, exporting: Callable[[bytes], list[int]]
) -> None:
    """It is never an error: the layers are shown without contents."""
    if archive:
        assert await read(archive, exporting) is None
    else:
        exporting(archive)
        assert await contents.contents(NO_ENGINE, IMAGE, lambda _: None) is None


async def test_an_error_of_the_engine_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised even if a part of the layers was received."""

    async def export(_engine: Any, _references: list[str], take: Callable[[memoryview], object]) -> None:
        await anyio.to_thread.run_sync(take, memoryview(saved("a", a=LOWER))[:3000])
        raise CallError(500, "no space left", "exporting images")

    monkeypatch.setattr("devenv.docker.images.Images.export", export)
    with pytest.raises(CallError, match="no space left"):
        await contents.contents(NO_ENGINE, IMAGE, lambda _: None)


async def test_too_many_files_are_not_read(
    exporting: Callable[[bytes], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would take too much memory."""
    archive = saved("a", "b", a=LOWER, b=UPPER)
    monkeypatch.setattr(contents, "MOST", 9)
    assert await read(archive, exporting) == FOUND
    for most in (6, 2):
        monkeypatch.setattr(contents, "MOST", most)
        assert await read(archive, exporting) is None
