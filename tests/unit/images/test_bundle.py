"""A project's images saved to a file, completely or not at all, and loaded from it."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.docker.client import Engine
from devenv.docker.images import LocalImage
from devenv.errors import DevenvError, EngineError, UsageError
from devenv.events import Event, Notice
from devenv.images import acquire, bundle, bundle_file
from devenv.images.acquire import AcquiredImages
from devenv.images.needs import Need, exact
from devenv.model.images import STAND_IN_LABEL
from devenv.model.project import Project
from support.archives import engine_archive

SELECTION = Selection("/p")
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

    async def acquire_images(self, *_: object, **__: object) -> AcquiredImages:
        """Nothing is pulled."""
        swaps = {reference: name for reference, name in self.wanted.items() if name and name != reference}
        missing = {reference: None for reference, name in self.wanted.items() if name is None}
        return AcquiredImages(swaps, missing, tuple(Need(reference, ()) for reference in self.wanted))

    async def local_images(self, asked: Iterable[str]) -> tuple[LocalImage, ...]:
        """Images are found by id or by name."""
        wanted = {*asked} | {exact(reference) for reference in asked}
        labels = {STAND_IN_LABEL: "x"}
        return tuple(
            LocalImage(id_, tuple(names), 1, "", labels if "stand-in.devenv/x:1" in names else {}, "linux/amd64")
            for id_, names in self.ids.items()
            if id_ in wanted or wanted & {exact(name) for name in names}
        )

    async def export(self, names: Sequence[str], take: Callable[[memoryview], object]) -> None:
        """The archive, in pieces."""
        assert {name for mine in self.ids.values() for name in mine if "/saving-" in name} == {*names}
        for start in range(0, len(self.archive), 1000):
            take(memoryview(self.archive)[start : start + 1000])
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
            for entry in json.load(listed):
                if (id_ := "sha256:" + entry["Config"][-64:]) not in self.lost:
                    self.ids.setdefault(id_, set()).update(entry["RepoTags"] or ())
        return ()

    async def tag(self, id_: str, name: str) -> None:
        """The name moves."""
        for names in self.ids.values():
            names.discard(name)
        self.ids[id_].add(name)

    async def untag(self, name: str) -> None:
        """Remove the name, and the image if it has no other name."""
        for id_, names in [*self.ids.items()]:
            names.discard(name)
            if not names:
                del self.ids[id_]

    async def remove(self, id_: str) -> None:
        """Only an image without a name may be removed."""
        assert not self.ids.pop(id_)

    def said(self) -> list[str]:
        """The notices."""
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
    monkeypatch.setattr(resolve, "load", loaded)
    monkeypatch.setattr(acquire, "acquire_images", made.acquire_images)
    return made


def save(world: World, path: Path) -> None:
    before = {id_: {*names} for id_, names in world.ids.items()}
    try:
        anyio.run(lambda: bundle.save(SELECTION, str(path), world.events.append, stand_ins=True))
    finally:
        assert world.ids == before


def load(world: World, path: Path) -> None:
    anyio.run(lambda: bundle.load(str(path), world.events.append))


def test_save_and_load(world: World, tmp_path: Path) -> None:
    """A loaded image has the same id and a name of devenv, and no other name is created."""
    save(world, tmp_path / "a.tar")
    ids, world.ids = [*world.ids], {}
    load(world, tmp_path / "a.tar")
    digest_name = f"loaded.devenv/x.test/mysql:sha256-{'d' * 64}"
    assert world.ids == {ids[0]: {f"loaded.devenv/{NODE_NAME}"}, ids[1]: {digest_name}}
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert world.said()[0].startswith("docker/dockerfile:1 cannot be pulled")
    assert "holds node:22, x.test/mysql@sha256:" in world.said()[1]
    assert world.said()[1].endswith(" (a stand-in)")
    assert world.said()[2].endswith("has this digest by the file's word: only a pull proves it")
    assert world.said()[3].startswith("loaded node:22, x.test/mysql@sha256:")


def test_the_file_is_a_tar(world: World, tmp_path: Path) -> None:
    """Any tar program can read it, and the images in it have temporary names only."""
    save(world, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["images.tar.gz", "images.json"]
        note = json.load(tar.extractfile("images.json") or io.BytesIO())
    assert [entry["reference"] for entry in note["images"]] == [NODE_NAME, MYSQL_NAME]


def test_a_second_load_changes_nothing(world: World, tmp_path: Path) -> None:
    """Existing images are unchanged."""
    save(world, tmp_path / "a.tar")
    load(world, tmp_path / "a.tar")
    before = {id_: {*names} for id_, names in world.ids.items()}
    load(world, tmp_path / "a.tar")
    assert world.ids == before


def test_replaced_images_are_removed(world: World, tmp_path: Path) -> None:
    """An image that loses its only name is removed; one with another name stays."""
    save(world, tmp_path / "a.tar")
    world.ids = {"sha256:old": {f"loaded.devenv/{NODE_NAME}"}, "sha256:kept": {"mine:1"}}
    load(world, tmp_path / "a.tar")
    assert "sha256:old" not in world.ids
    assert world.ids["sha256:kept"] == {"mine:1"}


def test_an_image_missing_after_the_load(world: World, tmp_path: Path) -> None:
    """No image gets a name, and the loaded images are removed."""
    save(world, tmp_path / "a.tar")
    ids, world.ids = [*world.ids], {}
    world.lost = (ids[1],)
    with pytest.raises(EngineError, match=r"has no x\.test/mysql"):
        load(world, tmp_path / "a.tar")
    assert world.ids == {}


def test_another_platform_is_reported(world: World, tmp_path: Path) -> None:
    """The image may run emulated, so it is loaded, with a notice."""
    save(world, tmp_path / "a.tar")
    world.platform = "linux/arm64"
    load(world, tmp_path / "a.tar")
    assert "node:22 is for linux/amd64, and the engine for linux/arm64" in world.said()


def test_an_existing_file_is_not_overwritten(world: World, tmp_path: Path) -> None:
    """Saving overwrites nothing."""
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
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
    """Neither the file nor a part of it is left."""
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


def test_a_truncated_archive_of_the_engine_is_not_saved(world: World, tmp_path: Path) -> None:
    """The engine's tar must be complete."""
    world.archive = world.archive[:-600]
    with pytest.raises(EngineError, match="could not be saved: the engine's archive ends too early"):
        save(world, tmp_path / "a.tar")
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_reads_back_different_is_not_saved(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is read back as well."""
    monkeypatch.setattr(bundle_file, "_read_note", lambda _: ({}, 0))
    with pytest.raises(EngineError, match="reads back different"):
        save(world, tmp_path / "a.tar")
    assert [*tmp_path.iterdir()] == []


def test_a_file_that_cannot_be_read(world: World, tmp_path: Path) -> None:
    """It is an error of usage."""
    with pytest.raises(UsageError, match=r"cannot read .*: No such file"):
        load(world, tmp_path / "none.tar")


def test_pull(world: World) -> None:
    """`devenv images pull` pulls what `up` pulls before it builds."""
    anyio.run(lambda: bundle.pull(SELECTION, world.events.append, stand_ins=True))
    assert world.said()[0] == "docker/dockerfile:1 cannot be pulled: the engine's own builder is used instead"
    assert world.said()[1].startswith("the engine has all that shop needs: node:22, x.test/mysql@sha256:")
