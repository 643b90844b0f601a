"""Read an image from the engine: its layers, the images that share them, and their files."""

from __future__ import annotations

import json
import os
import posixpath
import tarfile
import zlib
from collections.abc import Callable
from typing import IO, Any
from urllib.parse import quote

import anyio

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import UsageError
from devenv.images import layers
from devenv.images.layers import Contents
from devenv.model.images import BUILT_ON, LOCAL, MARKS, Anatomy
from devenv.tasks import each, repeated, task_group

AT_ONCE = 16  # concurrent calls
MOST = 1_000_000  # files in all layers; they take about 200 MB of memory
MANIFEST_LIMIT = 4_000_000  # bytes
PIECE = 1 << 20
PROGRESS = 0.2  # seconds
BLOCK = 512
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"


async def anatomy(engine: Engine, reference: str) -> Anatomy:
    """The image with its layers and those shared with other images. Raises UsageError if it is not on the engine."""
    try:
        inspected = await engine.images.inspect(reference)
    except CallError as error:
        if not error.absent:
            raise
        raise UsageError(f"no such image or service: {reference}", hint="docker images") from error
    path = f"images/{quote(inspected['Id'])}/history"
    history = await engine.ask(path, f"reading the history of {reference}", list)
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    names = (*(inspected.get("RepoTags") or ()), reference)
    kinds = MARKS if any(name.startswith(LOCAL) for name in names) else (BUILT_ON,)  # others are the base's
    note = ", ".join(f"{MARKS[label]}: {labels[label]}" for label in kinds if label in labels)
    name = names[0] if reference.startswith("sha256:") else reference
    own = layers.layers(history, _chain(inspected))
    # The engine's own total may be that of the compressed layers.
    image = Anatomy(name, inspected["Id"], sum(layer.size for layer in own), own, note=note)
    return layers.with_shared_layers(image, await _others(engine, inspected["Id"]))


async def _others(engine: Engine, own: str) -> dict[str, list[str]]:
    """Name (or short id) -> diff-ids of all other images."""

    async def diff_ids(image: str) -> dict[str, list[str]]:
        try:
            inspected = await engine.images.inspect(image)
        except CallError as error:
            if error.absent:  # removed meanwhile
                return {}
            raise
        return {next(iter(inspected.get("RepoTags") or ()), image.removeprefix("sha256:")[:12]): _chain(inspected)}

    others = [image for image in await engine.images.ids() if image != own]
    known: dict[str, list[str]] = {}
    for start in range(0, len(others), AT_ONCE):
        for chains in await each(diff_ids, others[start : start + AT_ONCE]):
            known |= chains
    return known


def _chain(inspected: dict[str, Any]) -> list[str]:
    return [str(layer) for layer in (inspected.get("RootFS") or {}).get("Layers") or ()]


async def contents(engine: Engine, image: Anatomy, progress: Callable[[int], object]) -> list[Contents] | None:
    """The contents of the image's layers, the lowest first; None if unreadable, or if there are too many files.

    The image is read in pieces. `progress` gets the number of bytes so far. Raises like `images.export`.
    """
    reading, end = os.pipe()
    writing = open(end, "wb", buffering=0)  # noqa: ASYNC230, SIM115 - a pipe; after a cancel the thread may still write
    results: list[list[Contents] | None] = []
    received = 0

    def take(rest: memoryview) -> None:
        nonlocal received
        received += len(rest)
        while rest:
            rest = rest[writing.write(rest) :]

    def read() -> None:
        with open(reading, "rb", buffering=PIECE) as file:
            results.append(_layers(file))
            while file.read(PIECE):
                pass

    async with task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, read)
        try:
            async with repeated(lambda: progress(received), PROGRESS):
                await engine.images.export([image.id], take)
            progress(received)
        finally:
            writing.close()
    return results[0]


def _layers(file: IO[bytes]) -> list[Contents] | None:
    """The layers of the only image in a tar of `docker save`, in the order of its manifest."""
    known: dict[str, Contents] = {}
    links: dict[str, str] = {}
    manifest = b""
    try:
        with tarfile.open(fileobj=file, mode="r|", bufsize=PIECE) as outer:
            for member in outer:
                outer.members = []  # type: ignore[attr-defined] # otherwise, tarfile keeps all members
                if member.issym():
                    links[member.name] = posixpath.normpath(f"{posixpath.dirname(member.name)}/{member.linkname}")
                elif content := outer.extractfile(member):
                    if member.name == "manifest.json":
                        manifest = content.read(MANIFEST_LIMIT)
                    elif _is_tar(content.peek(BLOCK)[:BLOCK]):  # type: ignore[attr-defined] # it is a buffered reader
                        room = MOST - sum(len(layer.files) for layer in known.values())
                        known[member.name] = _contents(content, room)
        (image,) = json.loads(manifest)
        return [known[links.get(name, name)] for name in image["Layers"]]
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, LookupError, TypeError):
        return None


def _is_tar(head: bytes) -> bool:
    """Whether the first block shows a layer: a tar, compressed or not, or an empty tar."""
    return head[257:262] == b"ustar" or head.startswith(b"\x1f\x8b") or not head.strip(b"\0")


def _contents(packed: IO[bytes], room: int) -> Contents:
    """The contents of a layer. Raises ValueError for more than `room` files."""
    files: dict[str, int] = {}
    removed: set[str] = set()
    emptied: set[str] = set()
    with tarfile.open(fileobj=packed, mode="r|*", bufsize=PIECE) as tar:
        for entry in tar:
            tar.members = []  # type: ignore[attr-defined] # as above
            path = _path(entry.name)
            folder, name = posixpath.split(path)
            if name == OPAQUE:
                emptied.add(folder)
            elif name.startswith(WHITEOUT):
                removed.add(posixpath.join(folder, name.removeprefix(WHITEOUT)))
            elif not entry.isdir():
                files[path] = entry.size if entry.isreg() else 0
                if entry.islnk():
                    files[_path(entry.linkname)] = 0
                if len(files) > room:
                    raise ValueError("too many files")
    return Contents(files, frozenset(removed), frozenset(emptied))


def _path(name: str) -> str:
    return posixpath.normpath(f"/{name}").lstrip("/")
