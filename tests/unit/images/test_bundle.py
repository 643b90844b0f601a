"""Files of a project's images: written whole or not at all, and read with no trust."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import random
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from devenv.compose import resolve as loading
from devenv.docker.cli import LocalImage
from devenv.docker.client import Engine
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, UsageError
from devenv.events import Event, Notice
from devenv.images import acquire, bundle
from devenv.images.acquire import Provided
from devenv.images.mirrors import exact
from devenv.images.needs import Need
from devenv.images.standins.build import FOR
from devenv.model.project import Project
from support.archives import Entries, add, blob, engine_archive, saved_file, tarred

SELECTION = loading.Selection("/p")
NODE, MYSQL = "node:22", f"x.test/mysql@sha256:{'d' * 64}"
NODE_NAME, MYSQL_NAME = "docker.io/library/node:22", f"x.test/mysql@sha256:{'d' * 64}"


@dataclass
class World:
    """An engine of tables: id -> names; and what a project needs, reference -> name."""

    ids: dict[str, set[str]] = field(default_factory=dict)
    wanted: dict[str, str | None] = field(default_factory=dict)
    archive: bytes = b""
    lost: tuple[str, ...] = ()
    broken: Exception | None = None
    stuck: bool = False
    events: list[Event] = field(default_factory=list)
    platform: str = "linux/amd64"

    @property
    def images(self) -> World:
        """Its images, as `Engine.images`."""
        return self

    async def provide(self, *_: object, **__: object) -> Provided:
        """Nothing is pulled."""
        swaps = {reference: name for reference, name in self.wanted.items() if name and name != reference}
        missing = {reference: None for reference, name in self.wanted.items() if name is None}
        return Provided(swaps, missing, tuple(Need(reference, ()) for reference in self.wanted))

    async def local_images(self, asked: Iterable[str]) -> tuple[LocalImage, ...]:
        """By id or by name."""
        wanted = {*asked} | {exact(one) for one in asked}
        labels = {FOR: "x"}
        return tuple(
            LocalImage(id_, tuple(names), 1, "", labels if "stand-in.devenv/x:1" in names else {}, "linux/amd64")
            for id_, names in self.ids.items()
            if id_ in wanted or wanted & {exact(name) for name in names}
        )

    async def export(self, names: Sequence[str], take: Callable[[bytes], object]) -> None:
        """The archive, in pieces."""
        assert {name for mine in self.ids.values() for name in mine if "/saving-" in name} == {*names}
        for start in range(0, len(self.archive), 1000):
            take(self.archive[start : start + 1000])
        if self.stuck:
            await anyio.sleep_forever()
        if self.broken:
            raise self.broken

    async def load(self, archive: AsyncIterator[bytes]) -> tuple[str, ...]:
        """The images of an archive, under the names that it gives them."""
        packed = b"".join([chunk async for chunk in archive])
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            listed = tar.extractfile("manifest.json")
            assert listed
            for one in json.load(listed):
                if (id_ := "sha256:" + one["Config"][-64:]) not in self.lost:
                    self.ids.setdefault(id_, set()).update(one["RepoTags"] or ())
        return ()

    async def tag(self, id_: str, name: str) -> None:
        """The name moves."""
        for names in self.ids.values():
            names.discard(name)
        self.ids[id_].add(name)

    async def untag(self, name: str) -> None:
        """The name is gone, and an image that has no other."""
        for id_, names in [*self.ids.items()]:
            names.discard(name)
            if not names:
                del self.ids[id_]

    async def remove(self, id_: str) -> None:
        """Only what has no name may go."""
        assert not self.ids.pop(id_)

    def said(self) -> list[str]:
        """What people were told."""
        return [event.message for event in self.events if isinstance(event, Notice)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    made.archive, ids = engine_archive("node", "mysql")
    made.ids = {ids[0]: {"node:22"}, ids[1]: {"stand-in.devenv/x:1"}}
    made.wanted = {NODE: NODE, "library/node:22": NODE, MYSQL: "stand-in.devenv/x:1", "docker/dockerfile:1": None}

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[World]:
        yield made

    async def loaded(_: object) -> object:
        return SimpleNamespace(project=Project("shop", "/p", ("/p/compose.yml",), ()))

    monkeypatch.setattr(Engine, "connect", connect)
    monkeypatch.setattr(loading, "load", loaded)
    monkeypatch.setattr(acquire, "provide", made.provide)
    return made


def save(world: World, path: Path) -> None:
    before = {id_: {*names} for id_, names in world.ids.items()}
    try:
        anyio.run(lambda: bundle.save(SELECTION, str(path), world.events.append, stand_ins=True))
    finally:
        assert world.ids == before


def load(world: World, path: Path) -> None:
    anyio.run(lambda: bundle.load(str(path), world.events.append))


def test_there_and_back(world: World, tmp_path: Path) -> None:
    """What was saved is loaded under names of its own, with the same ids, and nothing under any other name."""
    save(world, tmp_path / "a.tar")
    ids, world.ids = [*world.ids], {}
    load(world, tmp_path / "a.tar")
    digest_name = f"loaded.devenv/x.test/mysql:sha256-{'d' * 64}"
    assert world.ids == {ids[0]: {f"loaded.devenv/{NODE_NAME}"}, ids[1]: {digest_name}}
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert world.said()[0].startswith("nobody has docker/dockerfile:1")
    assert "holds node:22, x.test/mysql@sha256:" in world.said()[1]
    assert world.said()[1].endswith(" (a stand-in)")
    assert world.said()[2].endswith("has this digest by the file's word: only a pull proves it")
    assert world.said()[3].startswith("loaded node:22, x.test/mysql@sha256:")


def test_the_file_is_a_tar(world: World, tmp_path: Path) -> None:
    """Anybody can look into it, and names of our own are all that the engine's archive in it has."""
    save(world, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["images.tar.gz", "images.json"]
        note = json.load(tar.extractfile("images.json") or io.BytesIO())
    assert [one["reference"] for one in note["images"]] == [NODE_NAME, MYSQL_NAME]


def test_a_second_load_changes_nothing(world: World, tmp_path: Path) -> None:
    """What is there already stays as it is."""
    save(world, tmp_path / "a.tar")
    load(world, tmp_path / "a.tar")
    before = {id_: {*names} for id_, names in world.ids.items()}
    load(world, tmp_path / "a.tar")
    assert world.ids == before


def test_what_a_newer_file_replaces_goes(world: World, tmp_path: Path) -> None:
    """An image that loses its only name is removed; one that has another stays."""
    save(world, tmp_path / "a.tar")
    world.ids = {"sha256:old": {f"loaded.devenv/{NODE_NAME}"}, "sha256:kept": {"mine:1"}}
    load(world, tmp_path / "a.tar")
    assert "sha256:old" not in world.ids
    assert world.ids["sha256:kept"] == {"mine:1"}


def test_an_image_that_does_not_arrive(world: World, tmp_path: Path) -> None:
    """Nothing gets a name then, and what came goes."""
    save(world, tmp_path / "a.tar")
    ids, world.ids = [*world.ids], {}
    world.lost = (ids[1],)
    with pytest.raises(EngineError, match=r"has no x\.test/mysql"):
        load(world, tmp_path / "a.tar")
    assert world.ids == {}


def test_another_platform_is_told(world: World, tmp_path: Path) -> None:
    """It may work by emulation, so it is loaded; but it is said."""
    save(world, tmp_path / "a.tar")
    world.platform = "linux/arm64"
    load(world, tmp_path / "a.tar")
    assert "node:22 is for linux/amd64, and the engine for linux/arm64" in world.said()


def test_a_file_that_is_there_stays(world: World, tmp_path: Path) -> None:
    """Saving overwrites nothing."""
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        save(world, tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_text() == "mine"


def test_nothing_to_save(world: World, tmp_path: Path) -> None:
    """A project without images makes no file."""
    world.wanted = {}
    with pytest.raises(UsageError, match="shop needs no image"):
        save(world, tmp_path / "a.tar")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (EngineError("the engine is gone"), "the engine is gone"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write .*: No space left on device"),
    ],
)
def test_a_save_that_fails_leaves_nothing(world: World, tmp_path: Path, broken: Exception, expected: str) -> None:
    """Neither the file nor a part of it."""
    world.broken = broken
    with pytest.raises(DevenvError, match=expected):
        save(world, tmp_path / "a.tar")
    assert [*tmp_path.iterdir()] == []


def test_a_save_that_is_cancelled_leaves_nothing(world: World, tmp_path: Path) -> None:
    """As a signal does it."""
    world.stuck = True
    before = {id_: {*names} for id_, names in world.ids.items()}

    async def main() -> None:
        with anyio.move_on_after(0.2):
            await bundle.save(SELECTION, str(tmp_path / "a.tar"), world.events.append, stand_ins=False)

    anyio.run(main)
    assert [*tmp_path.iterdir()] == []
    assert world.ids == before


def test_half_an_archive_of_the_engine_is_not_saved(world: World, tmp_path: Path) -> None:
    """What the engine sent must end as a tar does."""
    world.archive = world.archive[:-600]
    with pytest.raises(EngineError, match="could not be saved: the engine's archive ends too early"):
        save(world, tmp_path / "a.tar")
    assert [*tmp_path.iterdir()] == []


def test_what_reads_back_different_is_not_saved(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is read back as well."""
    monkeypatch.setattr(bundle, "_padding", lambda size: b"x" * (-size % 512))
    monkeypatch.setattr(bundle, "_layout", lambda _: ({}, 0))
    with pytest.raises(EngineError, match="reads back different"):
        save(world, tmp_path / "a.tar")
    assert [*tmp_path.iterdir()] == []


def test_no_file(world: World, tmp_path: Path) -> None:
    """What cannot be read is the command line's fault."""
    with pytest.raises(UsageError, match=r"cannot read .*: No such file"):
        load(world, tmp_path / "none.tar")


def test_damage_is_seen_wherever_it_is(tmp_path: Path) -> None:
    """Cut anywhere, longer than it was, or with any one bit tipped, it is refused."""
    archive, ids = engine_archive("node")
    good = saved_file(archive, [kept(NODE_NAME, ids[0])])
    assert checked(good, tmp_path).images == (bundle.Kept(NODE_NAME, ids[0], "linux/amd64", False),)
    chance = random.Random(7)
    bad = [good[:n] for n in chance.sample(range(len(good)), 60)] + [good + b"\0", good * 2]
    for place in (*range(512), *chance.sample(range(512, len(good)), 300), len(good) - 1):
        tipped = bytearray(good)
        tipped[place] ^= 1 << chance.randrange(8)
        bad.append(bytes(tipped))
    for content in bad:
        with pytest.raises(ConfigError, match="no file of `devenv images save`, or it is damaged"):
            checked(content, tmp_path)


def kept(reference: object, id_: object, **more: object) -> dict[str, Any]:
    return {"reference": reference, "id": id_, "platform": "linux/amd64", "stand_in": False, **more}


def checked(content: bytes, folder: Path) -> bundle.Archive:
    path = folder / "x.tar"
    path.write_bytes(content)
    with path.open("rb") as file:
        return bundle.check(file, "x.tar")


@pytest.mark.parametrize(
    "note",
    [
        {"format": 2},
        {"project": "a\x1b[31m"},
        {"project": 1},
        {"images": []},
        {"images": "x"},
        {"images": [{"reference": "a"}]},
        {"images": [kept("node:22", "ID")]},  # not in full
        {"images": [kept("docker.io/../node:22", "ID")]},
        {"images": [kept(1, "ID")]},
        {"images": [kept(NODE_NAME, f"sha256:{'0' * 64}")]},  # not in the archive
        {"images": [kept(NODE_NAME, ["ID"])]},
        {"images": [kept(NODE_NAME, "ID", platform="a\nb")]},
        {"images": [kept(NODE_NAME, "ID", stand_in="no")]},
        {"images": [kept(NODE_NAME, "ID", more=1)]},
        {"archive": "0"},
    ],
    ids=str,
)
def test_a_note_that_makes_no_sense(note: dict[str, Any], tmp_path: Path) -> None:
    """It is refused though its own digest is right."""
    archive, ids = engine_archive("node")
    for one in note.get("images", ()):
        if isinstance(one, dict) and one.get("id") == "ID":
            one["id"] = ids[0]
    with pytest.raises(ConfigError):
        checked(saved_file(archive, [kept(NODE_NAME, ids[0])], **note), tmp_path)


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
def test_what_no_engine_writes(change: Callable[[Entries], object], tmp_path: Path) -> None:
    """An archive that would do more than bring images without names is refused, though all its digests are right."""
    archive, ids = engine_archive("node", change=change)
    with pytest.raises(RefusedError, match=r"^x\.tar (holds|would)") as raised:
        checked(saved_file(archive, [kept(NODE_NAME, ids[0])]), tmp_path)
    assert raised.value.exit_code == 6


def test_too_many_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept in memory of it has a limit."""
    monkeypatch.setattr(bundle, "ALL_SMALL", 100)
    archive, ids = engine_archive("node")
    with pytest.raises(RefusedError, match="more descriptions"):
        checked(saved_file(archive, [kept(NODE_NAME, ids[0])]), tmp_path)


def test_a_note_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So has the note."""
    monkeypatch.setattr(bundle, "NOTE_LIMIT", 10)
    archive, ids = engine_archive("node")
    with pytest.raises(ConfigError):
        checked(saved_file(archive, [kept(NODE_NAME, ids[0])]), tmp_path)


def test_the_form_of_older_engines(tmp_path: Path) -> None:
    """Docker before 25 wrote layers into folders, with links where one is there twice."""
    entries: Entries = {
        f"{HEX}/layer.tar": b"x",
        f"{'f' * 64}/layer.tar": link(f"{'f' * 64}/layer.tar", f"../{HEX}/layer.tar"),
    }
    entries |= {
        f"{HEX}.json": b"{}",
        "manifest.json": json.dumps([{"Config": f"{HEX}.json", "RepoTags": None}]).encode(),
    }
    id_ = f"sha256:{HEX}"
    archive = checked(saved_file(tarred(entries), [kept(NODE_NAME, id_)]), tmp_path)
    assert archive.ids == {id_: frozenset({id_})}


def test_all_ids_of_an_image(tmp_path: Path) -> None:
    """Engines name an image by its configuration, its manifest or its index: each leads to all."""

    def indexed(entries: Entries) -> None:
        manifest = json.loads(entries["index.json"])["manifests"][0]
        del manifest["annotations"]
        inner = add(entries, json.dumps({"manifests": [manifest]}).encode())
        entries["index.json"] = json.dumps({"manifests": [{"digest": inner}]}).encode()

    archive, ids = engine_archive("node", change=indexed)
    found = checked(saved_file(archive, [kept(NODE_NAME, ids[0])]), tmp_path).ids
    assert len(found[ids[0]]) == 3
    assert {found[one] for one in found[ids[0]]} == {found[ids[0]]}


def test_pull(world: World) -> None:
    """It is what `up` does before it builds."""
    anyio.run(lambda: bundle.pull(SELECTION, world.events.append, stand_ins=True))
    assert world.said()[0] == "nobody has docker/dockerfile:1: the engine's own builder is used in its place"
    assert world.said()[1].startswith("the engine has all that shop needs: node:22, x.test/mysql@sha256:")
