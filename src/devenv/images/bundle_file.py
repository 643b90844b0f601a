"""The file of `devenv images save`: written, and verified completely before any of it is used.

It is a tar of two entries: the engine's own archive of all images, compressed, and a note about it. All other bytes
follow from the sizes of the two, so that a change of any byte is detected.
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
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

from devenv import private_files
from devenv.compose.parse import is_image
from devenv.errors import ConfigError, EngineError, RefusedError, UsageError
from devenv.images.needs import LOADED_REGISTRY, exact
from devenv.lazy_dataclass import dataclass
from devenv.state.tar_headers import TAR_END
from devenv.state.verified_archive import CHUNK, Draft, Unpacked, UnverifiedError

IMAGES, NOTE = "images.tar.gz", "images.json"
FORMAT = 1
BLOCK = tarfile.BLOCKSIZE  # the engine's archive begins after the first block
SMALL, ALL_SMALL, NOTE_LIMIT, LARGEST = 1 << 20, 64 << 20, 16 << 20, 1 << 60  # bytes
# What engines write into an archive of images, in the current form and in that of Docker before 25.
_HEX = "[0-9a-f]{64}"
ENTRY = re.compile(
    rf"blobs(/sha256(/{_HEX})?)?|(index|manifest)\.json|oci-layout|repositories|{_HEX}(\.json|/(VERSION|json|layer\.tar))?"
)
LAYER_LINK = re.compile(rf"\.\./{_HEX}/layer\.tar")
NAMED, REFERENCE = "io.containerd.image.name", "org.opencontainers.image.ref.name"
SAVING = re.compile(rf"{LOADED_REGISTRY}/saving-[0-9a-f]{{8}}:[0-9]+")
WORD = re.compile(r"[a-z0-9_/.-]*")
HINT = "Save it again: devenv images save FILE"


@dataclass(frozen=True, slots=True)
class BundledImage:
    """One image of a bundle: its full reference, the engine's id, its platform, and whether it is a stand-in."""

    reference: str
    id: str
    platform: str
    stand_in: bool


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified file: its project and images, and the length of the engine's archive in bytes.

    `ids` maps each id by which an engine may identify an image to all its ids, which depend on how the engine stores
    images. `names` are the temporary names of the images in the archive.
    """

    project: str
    images: tuple[BundledImage, ...]
    length: int
    ids: Mapping[str, frozenset[str]]
    names: frozenset[str]


class _RefusedContentError(Exception):
    """An archive contains an entry that no engine writes."""


@contextlib.contextmanager
def created(path: str) -> Iterator[tuple[BinaryIO, str]]:
    """A new file, and its temporary name until the block succeeds; otherwise it is removed. Raises UsageError."""
    part = f"{path}.{os.urandom(4).hex()}.part"
    folder = os.path.dirname(path) or "."
    try:
        with open(part, "xb") as file:
            yield file, part
        os.rename(part, path)
        private_files.sync_folder(folder)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint=f"df -h {folder}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def begin(file: BinaryIO) -> Draft:
    """Skip the header, and return the writer for the engine's archive."""
    file.write(bytes(BLOCK))
    return Draft(file, float("inf"))


def finish(file: BinaryIO, part: str, draft: Draft, project: str, images: Sequence[BundledImage]) -> int:
    """Complete the file on disk and read it back from `part`; return its size. Raises EngineError."""
    try:
        stored = draft.finish(part)
    except UnverifiedError as error:
        raise EngineError(f"the images could not be saved: {error.message}", hint=HINT) from error
    note = {
        "format": FORMAT,
        "project": project,
        "saved": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "images": [asdict(image) for image in images],
        "archive": stored,
    }
    head, tail = _frame(note, draft.stored)
    file.write(tail)
    file.seek(0)
    file.write(head)
    file.flush()
    os.fsync(file.fileno())
    with opened(part) as written:
        if _read_note(written) != (note, draft.stored):
            raise EngineError("the images could not be saved: the file reads back different", hint=HINT)
        return os.fstat(written.fileno()).st_size


def _frame(note: Mapping[str, Any], length: int) -> tuple[bytes, bytes]:
    """The bytes before and after the engine's archive of that length."""
    digest = hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()
    content = json.dumps({"digest": digest, **note}, indent=1).encode()
    tail = bytes(-length % BLOCK) + _header(NOTE, len(content)) + content + bytes(-len(content) % BLOCK) + TAR_END
    return _header(IMAGES, length), tail


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, open for reading. Raises UsageError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def check(file: BinaryIO, path: str) -> Bundle:
    """Read and verify the whole file, and return its description.

    Raises ConfigError if it is damaged or of another kind, RefusedError if it contains entries that no engine writes.
    """
    damaged = ConfigError(f"{path} is not a file of `devenv images save`, or it is damaged", hint=HINT)
    try:
        note, length = _read_note(file)
        file.seek(BLOCK)
        unpacked, refused, ids, names = Unpacked(file, length), None, dict[str, frozenset[str]](), frozenset[str]()
        try:
            texts = _descriptions(unpacked)
            names, ids = _image_names(texts), _image_ids(texts)
        except _RefusedContentError as error:
            refused = error
        while unpacked.read(CHUNK):
            pass
        if unpacked.stored.hexdigest() != note["archive"]:
            raise damaged  # whatever it seems to contain
        if refused:
            raise RefusedError(f"{path} {refused}", hint=HINT)
        images = tuple(BundledImage(**image) for image in note["images"])
        if not images or not all(_is_sound(image, ids) for image in images) or not WORD.fullmatch(note["project"]):
            raise damaged
        return Bundle(note["project"], images, length, ids, names)
    except (ValueError, TypeError, LookupError, AttributeError, EOFError, tarfile.TarError, zlib.error) as error:
        raise damaged from error


def _read_note(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The note without its digest, and the length of the engine's archive.

    Raises ValueError if any byte around the archive differs from what is written for that note.
    """
    head = file.read(BLOCK)
    length = tarfile.TarInfo.frombuf(head, "utf-8", "strict").size
    if not 0 <= length < LARGEST:
        raise ValueError(length)
    file.seek(BLOCK + length)
    tail = file.read(NOTE_LIMIT + 1)
    start = -length % BLOCK + BLOCK
    size = tarfile.TarInfo.frombuf(tail[start - BLOCK : start], "utf-8", "strict").size
    note = json.loads(tail[start : start + size])
    del note["digest"]
    if (head, tail) != _frame(note, length) or note["format"] != FORMAT:
        raise ValueError(NOTE)
    return note, length


def _is_sound(image: BundledImage, ids: Collection[str]) -> bool:
    is_full = is_image(image.reference) and exact(image.reference) == image.reference
    return image.id in ids and is_full and bool(WORD.fullmatch(image.platform)) and isinstance(image.stand_in, bool)


def _descriptions(unpacked: io.RawIOBase) -> dict[str, bytes]:
    """Path -> content of the small files in an engine's archive. Raises _RefusedContentError, tarfile.TarError."""
    texts: dict[str, bytes] = {}
    with tarfile.open(fileobj=unpacked, mode="r|") as tar:
        for member in tar:
            name = member.name.rstrip("/")
            plain = member.isfile() or member.isdir() or (member.issym() and LAYER_LINK.fullmatch(member.linkname))
            if not plain or not ENTRY.fullmatch(name) or name in texts:
                raise _RefusedContentError(f"holds an entry that no engine writes: {name[:80]!r}")
            content = tar.extractfile(member) if member.isfile() and member.size <= SMALL else None
            if content is not None:
                texts[name] = content.read()
            if sum(map(len, texts.values())) > ALL_SMALL:
                raise _RefusedContentError("holds more descriptions than any images have")
    return texts


def _image_names(texts: Mapping[str, bytes]) -> frozenset[str]:
    """The names that loading the archive would assign. Raises _RefusedContentError unless all are temporary."""
    repositories = json.loads(texts.get("repositories", b"{}"))
    names = {name for image in json.loads(texts["manifest.json"]) for name in image.get("RepoTags") or ()}
    names |= {f"{repository}:{tag}" for repository, tags in repositories.items() for tag in tags}
    annotations = (manifest.get("annotations") or {} for manifest in _index(texts))
    names |= {name for noted in annotations if (name := noted.get(NAMED) or noted.get(REFERENCE))}
    if not all(SAVING.fullmatch(name) for name in names):
        raise _RefusedContentError("would give images names of its own choice")
    return frozenset(names)


def _image_ids(texts: Mapping[str, bytes]) -> dict[str, frozenset[str]]:
    """Each id that an engine may use for an image -> all ids of that image."""
    groups = [_ids_below(manifest["digest"], texts) for manifest in _index(texts)]
    groups += [{"sha256:" + re.findall(_HEX, image["Config"])[0]} for image in json.loads(texts["manifest.json"])]
    ids: dict[str, frozenset[str]] = {}
    for group in groups:
        group |= {other for id_ in group for other in ids.get(id_, ())}
        ids |= dict.fromkeys(group, frozenset(group))
    return ids


def _index(texts: Mapping[str, bytes]) -> list[dict[str, Any]]:
    return list(json.loads(texts.get("index.json", b"{}")).get("manifests", ()))


def _ids_below(digest: str, texts: Mapping[str, bytes]) -> set[str]:
    """The digest of an index or a manifest, and all digests that it refers to, down to the image's configuration."""
    text = json.loads(texts.get(f"blobs/sha256/{digest.removeprefix('sha256:')}", b"{}"))
    ids = {digest, *([text["config"]["digest"]] if "config" in text else [])}
    return ids.union(*(_ids_below(manifest["digest"], texts) for manifest in text.get("manifests", ())))
