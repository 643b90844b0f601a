"""`devenv images pull`, `save` and `load`: a project's images brought to the engine, into one file, and back.

The file is a tar of two entries: the engine's own archive of all images, compressed, and a note that makes it count.
Both headers follow from the entries' names and sizes, so that a change of any byte is seen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import json
import os
import re
import tarfile
import time
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import anyio

from devenv.compose import resolve as loading
from devenv.compose.parse import is_image
from devenv.compose.user_config import user_settings
from devenv.docker.cli import LocalImage
from devenv.docker.client import Engine
from devenv.errors import ConfigError, EngineError, RefusedError, UsageError
from devenv.events import Emit, Notice, Step
from devenv.images import acquire
from devenv.images.local import local_images
from devenv.images.mirrors import LOADED_REGISTRY, exact, loaded
from devenv.images.standins.build import FOR
from devenv.model.image_ref import familiar
from devenv.model.project import Project
from devenv.model.snapshot import shown
from devenv.state.verified_archive import CHUNK, TAR_END, Draft, Unpacked, UnverifiedError

IMAGES, NOTE = "images.tar.gz", "images.json"
FORMAT = 1
BLOCK = tarfile.BLOCKSIZE
SMALL, ALL_SMALL, NOTE_LIMIT = 1 << 20, 64 << 20, 16 << 20
TOLD_EVERY = 0.2
# What engines write into an archive of images, in today's form and that of Docker before 25.
_HEX = "[0-9a-f]{64}"
ENTRY = re.compile(
    rf"blobs(/sha256(/{_HEX})?)?|(index|manifest)\.json|oci-layout|repositories|{_HEX}(\.json|/(VERSION|json|layer\.tar))?"
)
LAYER_LINK = re.compile(rf"\.\./{_HEX}/layer\.tar")
NAMED, REFERENCE = "io.containerd.image.name", "org.opencontainers.image.ref.name"
SAVING = re.compile(rf"{LOADED_REGISTRY}/saving-[0-9a-f]{{8}}:[0-9]+")
WORD = re.compile(r"[a-z0-9_/.-]*")
HINT = "Save it anew: devenv images save FILE"


@dataclass(frozen=True, slots=True)
class Kept:
    """One image of an archive: the reference in full, the engine's id, its platform, and whether it is a stand-in."""

    reference: str
    id: str
    platform: str
    stand_in: bool


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that was verified whole: whose images it holds, and how many bytes they take in it.

    `ids` are all by which engines may know an image: they differ by how an engine stores images. `names` are those
    that the images have while they travel.
    """

    project: str
    images: tuple[Kept, ...]
    length: int
    ids: Mapping[str, frozenset[str]]
    names: frozenset[str]


async def pull(selection: loading.Selection, emit: Emit, *, stand_ins: bool) -> None:
    """Every image that the project needs is on the engine. Raises EngineError naming those that cannot be had."""
    project = (await loading.load(selection)).project
    async with Engine.connect() as engine:
        names = await _names(engine, project, emit, stand_ins=stand_ins)
    here = ", ".join(dict.fromkeys(map(familiar, names))) or "no image"
    emit(Notice(f"the engine has all that {project.name} needs: {here}"))


async def save(selection: loading.Selection, path: str, emit: Emit, *, stand_ins: bool) -> None:
    """A new file with every image that the project needs, read back before it has its name.

    What is not here is pulled first. Raises UsageError where the file is there already or cannot be written,
    EngineError naming the images that cannot be had.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already", hint="Name a file that is not.")
    project = (await loading.load(selection)).project
    async with Engine.connect() as engine:
        names = await _names(engine, project, emit, stand_ins=stand_ins)
        here = await local_images(engine, [*names.values()])
        kept = tuple(dict.fromkeys(_kept(reference, here[name]) for reference, name in names.items()))
        if not kept:
            raise UsageError(f"{project.name} needs no image")
        with _sibling(path) as (file, part):
            size = await _write(engine, file, part, project.name, kept, emit)
    emit(Notice(f"{path} ({shown(size)}) holds {_list(kept)}", f"devenv images load {path}"))


async def load(path: str, emit: Emit) -> None:
    """The images of a saved file are on the engine, under names that begin with `loaded.devenv/`.

    All of the file is verified before the engine gets any of it. Raises UsageError where it cannot be read,
    ConfigError where it is no such file or damaged, RefusedError where it would do more than that.
    """
    with _opened(path) as file:
        emit(Step("load", "detail", f"checking {path}"))
        archive = await anyio.to_thread.run_sync(check, file, path)
        async with Engine.connect() as engine:
            await _load(engine, file, archive, emit)
    for one in archive.images:
        if "@" in one.reference:
            emit(Notice(f"{familiar(one.reference)} has this digest by the file's word: only a pull proves it"))
    emit(Notice(f"loaded {_list(archive.images)}, needed by {archive.project}", "devenv up"))


async def _names(engine: Engine, project: Project, emit: Emit, *, stand_ins: bool) -> dict[str, str]:
    """Reference as written -> the name that it is on the engine under, for all that the project needs."""
    mirrors, consent = acquire.mirrors_of(project), stand_ins or user_settings().stand_ins
    provided = await acquire.provide(engine, project, mirrors=mirrors, stand_ins=consent, emit=emit)
    wanted = [need.reference for need in provided.wanted]
    spare = [reference for reference, name in provided.frontends.items() if name is None]
    if spare:
        emit(Notice(f"nobody has {', '.join(spare)}: the engine's own builder is used in its place"))
    return {reference: provided.swaps.get(reference, reference) for reference in wanted if reference not in spare}


def _kept(reference: str, image: LocalImage) -> Kept:
    return Kept(exact(reference), image.id, image.platform, FOR in image.labels)


def _list(kept: Iterable[Kept]) -> str:
    return ", ".join(f"{familiar(one.reference)}{' (a stand-in)' if one.stand_in else ''}" for one in kept)


# --- writing ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sibling(path: str) -> Iterator[tuple[BinaryIO, str]]:
    """A file that takes its name once all has gone well; otherwise nothing of it is left."""
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with open(part, "xb") as file:
            yield file, part
        os.rename(part, path)
        _sync_folder(os.path.dirname(path) or ".")
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", hint=f"df -h {os.path.dirname(path) or '.'}"
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _write(engine: Engine, file: BinaryIO, part: str, project: str, kept: Sequence[Kept], emit: Emit) -> int:
    """The size of the file, written, flushed to the disk and read back."""
    file.write(bytes(BLOCK))
    draft = Draft(file, float("inf"))
    async with _named(engine, dict.fromkeys(one.id for one in kept)) as names:
        await engine.images.export(names, _told(draft, emit))
    emit(Step("save", "detail", "reading it back"))
    try:
        stored = await anyio.to_thread.run_sync(draft.finish, part, abandon_on_cancel=False)
    except UnverifiedError as error:
        raise EngineError(f"the images could not be saved: {error.message}", hint=HINT) from error
    note = {
        "format": FORMAT,
        "project": project,
        "saved": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "images": [asdict(one) for one in kept],
        "archive": stored,
    }
    content = json.dumps({"digest": _digest(note), **note}, indent=1).encode()
    file.write(_padding(draft.stored) + _header(NOTE, len(content)) + content + _padding(len(content)) + TAR_END)
    file.seek(0)
    file.write(_header(IMAGES, draft.stored))
    file.flush()
    os.fsync(file.fileno())
    with _opened(part) as again:
        if _layout(again) != (note, draft.stored):
            raise EngineError("the images could not be saved: the file reads back different", hint=HINT)
        return os.fstat(again.fileno()).st_size


@contextlib.asynccontextmanager
async def _named(engine: Engine, ids: Iterable[str]) -> AsyncIterator[list[str]]:
    """Names of our own for images, for a while: of several without a name, engines write only one into the index."""
    word = f"{LOADED_REGISTRY}/saving-{os.urandom(4).hex()}"
    names = {id_: f"{word}:{number}" for number, id_ in enumerate(ids)}
    try:
        for id_, name in names.items():
            await engine.images.tag(id_, name)
        yield [*names.values()]
    finally:
        await _unnamed(engine, names.values())


async def _unnamed(engine: Engine, names: Iterable[str]) -> None:
    with anyio.CancelScope(shield=True):
        for name in names:
            await engine.images.untag(name)


def _told(draft: Draft, emit: Emit) -> Callable[[bytes], object]:
    told = time.monotonic()

    def take(chunk: bytes) -> None:
        nonlocal told
        draft.write(chunk)
        if (now := time.monotonic()) >= told + TOLD_EVERY:
            told = now
            emit(Step("save", "detail", f"saving images ({shown(draft.size)})"))

    return take


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _digest(note: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


# --- reading ----------------------------------------------------------------------------------------------------


class _OddError(Exception):
    """What an archive holds that no engine writes."""


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def check(file: BinaryIO, path: str) -> Archive:
    """What the file holds, all of it read. Raises ConfigError and RefusedError."""
    damaged = ConfigError(f"{path} is no file of `devenv images save`, or it is damaged", hint=HINT)
    try:
        note, length = _layout(file)
        file.seek(BLOCK)
        unpacked, odd, ids, names = Unpacked(file, length), None, dict[str, frozenset[str]](), frozenset[str]()
        try:
            ids, names = _walk(unpacked)
        except _OddError as error:
            odd = error
        while unpacked.read(CHUNK):
            pass
        if unpacked.stored.hexdigest() != note["archive"]:
            raise damaged  # whatever it seemed to hold
        if odd:
            raise RefusedError(f"{path} {odd}", hint=HINT)
        kept = tuple(Kept(**one) for one in note["images"])
        if not kept or not all(_is_sound(one, ids) for one in kept) or not WORD.fullmatch(note["project"]):
            raise damaged
        return Archive(note["project"], kept, length, ids, names)
    except (ValueError, TypeError, LookupError, AttributeError, EOFError, tarfile.TarError, zlib.error) as error:
        raise damaged from error


def _layout(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The note without its digest, and the length of the other entry. Raises ValueError where a byte is off."""
    length = _entry(file, IMAGES)
    file.seek(length, os.SEEK_CUR)
    _require(file, _padding(length))
    size = _entry(file, NOTE)
    if size > NOTE_LIMIT:
        raise ValueError(size)
    note = json.loads(content := file.read(size))
    _require(file, _padding(size) + TAR_END)
    if file.read(1) or json.dumps(note, indent=1).encode() != content or note.pop("digest") != _digest(note):
        raise ValueError(NOTE)
    if note["format"] != FORMAT:
        raise ValueError(note["format"])
    return note, length


def _entry(file: BinaryIO, name: str) -> int:
    """The size of the entry that begins here, whose header can be but one."""
    header = file.read(BLOCK)
    size = tarfile.TarInfo.frombuf(header, "utf-8", "strict").size
    if size < 0 or header != _header(name, size):
        raise ValueError(name)
    return size


def _require(file: BinaryIO, expected: bytes) -> None:
    if file.read(len(expected)) != expected:
        raise ValueError("not what belongs here")


def _is_sound(kept: Kept, ids: Collection[str]) -> bool:
    said = exact(kept.reference) == kept.reference and WORD.fullmatch(kept.platform) is not None
    return kept.id in ids and is_image(kept.reference) and said and isinstance(kept.stand_in, bool)


def _walk(unpacked: io.RawIOBase) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Each id that an engine may give an image -> all of its ids; and the images' names. Raises _OddError, too."""
    texts: dict[str, bytes] = {}
    with tarfile.open(fileobj=unpacked, mode="r|") as tar:
        for member in tar:
            name = member.name.rstrip("/")
            plain = member.isfile() or member.isdir() or (member.issym() and LAYER_LINK.fullmatch(member.linkname))
            if not plain or not ENTRY.fullmatch(name) or name in texts:
                raise _OddError(f"holds an entry that no engine writes: {name[:80]!r}")
            content = tar.extractfile(member) if member.isfile() and member.size <= SMALL else None
            if content is not None:
                texts[name] = content.read()
            if sum(map(len, texts.values())) > ALL_SMALL:
                raise _OddError("holds more descriptions than any images have")
    listed = json.loads(texts["manifest.json"])
    index = json.loads(texts.get("index.json", b"{}")).get("manifests", ())
    old = json.loads(texts.get("repositories", b"{}"))
    names = {name for one in listed for name in one.get("RepoTags") or ()}
    names |= {f"{repository}:{tag}" for repository, tags in old.items() for tag in tags}
    noted = [one.get("annotations") or {} for one in index]
    names |= {name for one in noted for name in [one.get(NAMED) or one.get(REFERENCE)] if name}
    if not all(SAVING.fullmatch(name) for name in names):
        raise _OddError("would give images names of its own choice")
    groups = [_ids(one["digest"], texts) for one in index]
    groups += [{"sha256:" + re.findall(_HEX, one["Config"])[0]} for one in listed]
    found: dict[str, frozenset[str]] = {}
    for group in groups:
        group |= {other for one in group for other in found.get(one, ())}
        found |= dict.fromkeys(group, frozenset(group))
    return found, frozenset(names)


def _ids(digest: str, texts: Mapping[str, bytes]) -> set[str]:
    """The digest of an index or a manifest, and all that it leads to, down to the configuration of the image."""
    text = json.loads(texts.get(f"blobs/sha256/{digest.removeprefix('sha256:')}", b"{}"))
    below = [one["digest"] for one in text.get("manifests", ())]
    return {
        digest,
        *([text["config"]["digest"]] if "config" in text else []),
        *(i for d in below for i in _ids(d, texts)),
    }


# --- loading ----------------------------------------------------------------------------------------------------


async def _load(engine: Engine, file: BinaryIO, archive: Archive, emit: Emit) -> None:
    names = {one.reference: loaded(one.reference) for one in archive.images}
    replaced = (await local_images(engine, [*names.values()])).values()
    try:
        await engine.images.load(_chunks(file, archive.length, emit))
        found = {one.reference: await _found(engine, one, archive) for one in archive.images}
        for reference, id_ in found.items():
            await engine.images.tag(id_, names[reference])
    finally:
        await _unnamed(engine, archive.names)
    for image in await engine.images.local_images([image.id for image in replaced]):
        if not image.names:
            await engine.images.remove(image.id)
    for one in archive.images:
        if one.platform and one.platform != engine.platform:
            emit(Notice(f"{familiar(one.reference)} is for {one.platform}, and the engine for {engine.platform}"))


async def _found(engine: Engine, kept: Kept, archive: Archive) -> str:
    """The id under which the engine has it now."""
    for image in await engine.images.local_images(archive.ids[kept.id]):
        return image.id
    raise EngineError(f"the engine took the file, and has no {familiar(kept.reference)}", hint="docker images")


async def _chunks(file: BinaryIO, length: int, emit: Emit) -> AsyncIterator[bytes]:
    file.seek(BLOCK)
    done, told = 0, 0.0
    while done < length and (chunk := file.read(min(CHUNK, length - done))):
        yield chunk
        done += len(chunk)
        if (now := time.monotonic()) >= told + TOLD_EVERY:
            told = now
            emit(Step("load", "detail", f"loading images ({done / length:.0%})"))
