"""`devenv images save` and `load` on an engine of the test's own: saved images start without a registry."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.cli import main
from support.docker_cli import docker
from support.dockerd import Dockerd, dockerd
from support.schemas import checked_document
from support.stack import place_of

pytestmark = pytest.mark.engine

COMPOSE = """name: shop
services:
  web: {build: web}
  db: {image: "shop.test/db:1"}
"""


@pytest.fixture(scope="module", params=["false", "true"], ids=["overlay2", "containerd"])
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """An empty engine, with each way to store images: they differ in an image's id."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "config.json").write_text(f'{{"features": {{"containerd-snapshotter": {request.param}}}}}')
    with dockerd(folder, options=[f"--config-file={folder}/config.json"]) as engine:
        yield engine


@pytest.fixture
def project(own: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose images are the only ones on the engine."""
    monkeypatch.setenv("DOCKER_HOST", own.host)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    if there := docker("images", "-aq"):
        docker("rmi", "-f", *dict.fromkeys(there.split()))
    for name in ("node", "shop.test/db:1"):
        imported(name, tmp_path)
    folder = tmp_path / "shop"
    (folder / "web").mkdir(parents=True)
    (folder / "compose.yml").write_text(COMPOSE)
    (folder / "web/Dockerfile").write_text("FROM node AS dev\nFROM scratch\nCOPY --from=dev /x /x\n")
    monkeypatch.chdir(folder)
    return folder


def imported(name: str, folder: Path) -> None:
    """Import an image with one file, which contains its name."""
    content = name.encode() * 5000
    with tarfile.open(folder / "root.tar", "w") as tar:
        info = tarfile.TarInfo("x")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    docker("import", str(folder / "root.tar"), name)


def listed() -> dict[str, str]:
    """Every name on the engine, with the id of its image; an image without a name has its id."""
    lines = docker("images", "--no-trunc", "--format={{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    return {(name if "<none>" not in name else id_): id_ for name, id_ in (line.split() for line in lines)}


def test_saved_images_are_loaded_with_the_same_ids(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Images have only our own names; a project is built with them, and the output says so."""
    before = listed()
    assert main.run(["images", "save", "../shop.tar"]) == 0
    assert "holds shop.test/db:1, node:latest\n" in capfd.readouterr().out
    docker("rmi", *before)
    assert listed() == {}
    assert main.run(["images", "load", "../shop.tar"]) == 0
    assert listed() == {
        "loaded.devenv/docker.io/library/node:latest": before["node:latest"],
        "loaded.devenv/shop.test/db:1": before["shop.test/db:1"],
    }
    assert main.run(["images", "--output", "json"]) == 0
    rows = checked_document("images", capfd.readouterr().out.splitlines()[-1])["images"]
    assert {(row["image"], row["source"], row["id"]) for row in rows} == {
        ("node", "loaded", before["node:latest"]),
        ("shop.test/db:1", "loaded", before["shop.test/db:1"]),
    }
    assert main.run(["build"]) == 0
    assert any(name.startswith("shop-web:") for name in listed())
    assert [path.name for path in project.parent.glob("shop.tar*")] == ["shop.tar"]


@pytest.mark.parametrize(("place", "code"), [(0, 5), (100, 5), (600, 5), (-600, 5), (-1, 5), (None, 5)], ids=str)
def test_damaged_file_is_refused_before_loading(project: Path, place: int | None, code: int) -> None:
    """A file with a flipped bit, or a truncated one, is refused."""
    assert main.run(["images", "save", "../shop.tar"]) == 0
    path = project.parent / "shop.tar"
    content = bytearray(path.read_bytes())
    if place is None:
        del content[len(content) // 2 :]
    else:
        content[place] ^= 4
    path.write_bytes(content)
    docker("rmi", *listed())
    assert main.run(["images", "load", "../shop.tar"]) == code
    assert listed() == {}


def test_missing_image_ends_the_save(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The image is named, and no file is written."""
    docker("rmi", "shop.test/db:1")
    assert main.run(["images", "save", "../shop.tar"]) == 4
    assert f"shop.test/db:1 ({place_of(project, 'shop.test/db:1')})" in capfd.readouterr().err
    assert [*project.parent.glob("shop.tar*")] == []


def test_newer_file_replaces_the_images_of_an_older_one(project: Path, tmp_path: Path) -> None:
    """The older image, which has no other name, is removed."""
    assert main.run(["images", "save", "../old.tar"]) == 0
    docker("rmi", *listed())
    for name in ("node", "shop.test/db:1"):
        (tmp_path / "newer").mkdir(exist_ok=True)
        imported(name, tmp_path / "newer")
    newer = listed()
    assert main.run(["images", "save", "../new.tar"]) == 0
    docker("rmi", *newer)
    assert main.run(["images", "load", "../old.tar"]) == 0
    assert main.run(["images", "load", "../new.tar"]) == 0
    assert {*listed().values()} == {*newer.values()}
    assert len(listed()) == 2
    assert project.is_dir()
