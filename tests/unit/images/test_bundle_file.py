"""Files of images are not trusted."""

from __future__ import annotations

import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devenv.errors import ConfigError, RefusedError
from devenv.images import bundle_file
from devenv.images.bundle_file import Bundle, BundledImage
from support.archives import Entries, add, blob, engine_archive, header, saved_file, tarred

NODE_NAME = "docker.io/library/node:22"


def test_damage_anywhere_is_detected(tmp_path: Path) -> None:
    """A file that is cut, longer, or has any bit flipped is refused."""
    archive, ids = engine_archive("node")
    good = saved_file(archive, [entry(NODE_NAME, ids[0])])
    assert checked(good, tmp_path).images == (BundledImage(NODE_NAME, ids[0], "linux/amd64", False),)
    chance = random.Random(7)
    bad = [good[:n] for n in chance.sample(range(len(good)), 60)] + [good + b"\0", good * 2]
    for place in (*range(512), *chance.sample(range(512, len(good)), 300), len(good) - 1):
        tipped = bytearray(good)
        tipped[place] ^= 1 << chance.randrange(8)
        bad.append(bytes(tipped))
    for content in bad:
        with pytest.raises(ConfigError, match="not a file of `devenv images save`, or it is damaged"):
            checked(content, tmp_path)


def entry(reference: object, id_: object, **more: object) -> dict[str, Any]:
    return {"reference": reference, "id": id_, "platform": "linux/amd64", "stand_in": False, **more}


def checked(content: bytes, folder: Path) -> Bundle:
    path = folder / "x.tar"
    path.write_bytes(content)
    with path.open("rb") as file:
        return bundle_file.check(file, "x.tar")


@pytest.mark.parametrize(
    "note",
    [
        {"format": 2},
        {"project": "a\x1b[31m"},
        {"project": 1},
        {"images": []},
        {"images": "x"},
        {"images": [{"reference": "a"}]},
        {"images": [entry("node:22", "ID")]},  # an incomplete entry
        {"images": [entry("docker.io/../node:22", "ID")]},
        {"images": [entry(1, "ID")]},
        {"images": [entry(NODE_NAME, f"sha256:{'0' * 64}")]},  # missing in the archive
        {"images": [entry(NODE_NAME, ["ID"])]},
        {"images": [entry(NODE_NAME, "ID", platform="a\nb")]},
        {"images": [entry(NODE_NAME, "ID", stand_in="no")]},
        {"images": [entry(NODE_NAME, "ID", more=1)]},
        {"archive": "0"},
    ],
    ids=str,
)
def test_an_invalid_note_is_refused(note: dict[str, Any], tmp_path: Path) -> None:
    """It is refused though its own digest is right."""
    archive, ids = engine_archive("node")
    for image in note.get("images", ()):
        if isinstance(image, dict) and image.get("id") == "ID":
            image["id"] = ids[0]
    with pytest.raises(ConfigError):
        checked(saved_file(archive, [entry(NODE_NAME, ids[0])], **note), tmp_path)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HEX = "e" * 64
ODD: dict[str, Callable[[Entries], object]] = {
    "another name": lambda e: e.update({"etc/passwd": b""}),
    "a path out": lambda e: e.update({"../x": b""}),
    "a link": lambda e: e.update({blob(HEX): link(blob(HEX), "/etc/passwd")}),
    "a link out": lambda e: e.update({"x": link(f"{HEX}/layer.tar", "../../x")}),
    "a hard link": lambda e: e.update({blob(HEX): link(blob(HEX), "oci-layout", tarfile.LNKTYPE)}),
    "a device": lambda e: e.update({blob(HEX): link(blob(HEX), "", tarfile.CHRTYPE)}),
    "a name twice": lambda e: e.update({"x": link("oci-layout", "", tarfile.REGTYPE)}),
    "tags": lambda e: e.update({"manifest.json": e["manifest.json"].replace(b"loaded.devenv/saving-0", b"node")}),
    "loaded tags": lambda e: e.update({"manifest.json": e["manifest.json"].replace(b"saving-0123", b"library/")}),
    "a reference": lambda e: e.update({
        "index.json": b'{"manifests": [{"digest": "d", "annotations": {"org.opencontainers.image.ref.name": "x"}}]}'
    }),
    "an annotation": lambda e: e.update({
        "index.json": b'{"manifests": [{"digest": "sha256:1", "annotations": {"io.containerd.image.name": "node"}}]}'
    }),
    "old tags": lambda e: e.update({"repositories": b'{"node": {"22": "x"}}'}),
}  # fmt: skip


@pytest.mark.parametrize("change", ODD.values(), ids=ODD.keys())
def test_content_that_no_engine_writes_is_refused(change: Callable[[Entries], object], tmp_path: Path) -> None:
    """An archive that would do more than bring images without names is refused, though all its digests are right."""
    archive, ids = engine_archive("node", change=change)
    with pytest.raises(RefusedError, match=r"^x\.tar (holds|would)") as raised:
        checked(saved_file(archive, [entry(NODE_NAME, ids[0])]), tmp_path)
    assert raised.value.exit_code == 6


def test_too_many_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the descriptions in memory is limited."""
    monkeypatch.setattr(bundle_file, "ALL_SMALL", 100)
    archive, ids = engine_archive("node")
    with pytest.raises(RefusedError, match="more descriptions"):
        checked(saved_file(archive, [entry(NODE_NAME, ids[0])]), tmp_path)


def test_a_note_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note has a limit, too."""
    monkeypatch.setattr(bundle_file, "NOTE_LIMIT", 10)
    archive, ids = engine_archive("node")
    with pytest.raises(ConfigError):
        checked(saved_file(archive, [entry(NODE_NAME, ids[0])]), tmp_path)


@pytest.mark.parametrize("size", [-512, 1 << 61, 1 << 70])
def test_an_archive_of_impossible_size(size: int, tmp_path: Path) -> None:
    """A header may name a size that no file has."""
    with pytest.raises(ConfigError):
        checked(header(bundle_file.IMAGES, size) + bytes(2048), tmp_path)


def test_the_form_of_older_engines(tmp_path: Path) -> None:
    """Docker before 25 wrote layers into folders, with links for duplicates."""
    entries: Entries = {
        f"{HEX}/layer.tar": b"x",
        f"{'f' * 64}/layer.tar": link(f"{'f' * 64}/layer.tar", f"../{HEX}/layer.tar"),
    }
    entries |= {
        f"{HEX}.json": b"{}",
        "manifest.json": json.dumps([{"Config": f"{HEX}.json", "RepoTags": None}]).encode(),
    }
    id_ = f"sha256:{HEX}"
    archive = checked(saved_file(tarred(entries), [entry(NODE_NAME, id_)]), tmp_path)
    assert archive.ids == {id_: frozenset({id_})}


def test_all_ids_of_an_image(tmp_path: Path) -> None:
    """Engines name an image by its configuration, its manifest or its index: each leads to all."""

    def indexed(entries: Entries) -> None:
        manifest = json.loads(entries["index.json"])["manifests"][0]
        del manifest["annotations"]
        inner = add(entries, json.dumps({"manifests": [manifest]}).encode())
        entries["index.json"] = json.dumps({"manifests": [{"digest": inner}]}).encode()

    archive, ids = engine_archive("node", change=indexed)
    image_ids = checked(saved_file(archive, [entry(NODE_NAME, ids[0])]), tmp_path).ids
    assert len(image_ids[ids[0]]) == 3
    assert {image_ids[image_id] for image_id in image_ids[ids[0]]} == {image_ids[ids[0]]}
