"""Missing sources of bind mounts: files are refused, folders are created, and removed again if still empty."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.errors import ConfigError
from devenv.run import steps
from devenv.run.bind_sources import create_folders
from devenv.run.cleanup.removal import remove_empty_folders
from devenv.volumes.holders import Holders
from support.memory.machine import Machine, Site
from support.steps import opened


def bind(source: str, target: str, *, creates: bool = True) -> dict[str, Any]:
    """An entry of `volumes` in the resolved model."""
    return {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": creates}}


def site(machine: Machine, written: str, *mounts: tuple[str, str]) -> Site:
    """A project with these mounts; `written`, their lines in the Compose file from line 4 on."""
    folder = machine.folder / "shop"
    binds = [bind(os.path.normpath(folder / source), target) for source, target in mounts]
    shop = machine.site("shop", web={"volumes": binds})
    (folder / "compose.yml").write_text(f"services:\n  web:\n    volumes:\n{written}", encoding="utf-8")
    return shop


@pytest.mark.parametrize(
    ("written", "existing", "hint"),
    [
        (
            "      - ./a:/a\n      - ./app.conf:/etc/app.conf:ro\n",
            "",
            "Create the file, or correct `volumes` of web; ",
        ),
        ("      - ./a:/a\n      - ${X:-./a}:/etc/app.conf\n", "app.conf.example", "cp ./app.conf.example ./app.conf"),
        ("      - ./a:/a\n      - ./app.conf:/etc/app.conf\n", "apps.conf", "Did you mean `./apps.conf`?"),
        ("      - ./a:/a\n      - {type: bind, target: /etc/app.conf}\n", "zzz", "Create the file, or correct "),
    ],
)
@pytest.mark.anyio
async def test_a_missing_file_is_refused(machine: Machine, written: str, existing: str, hint: str) -> None:
    """Before anything starts, with its line; nothing is created."""
    shop = site(machine, written, ("a", "/a"), ("app.conf", "/etc/app.conf"))
    if existing:
        (shop.folder / existing).touch()
    before = sorted(os.listdir(shop.folder))
    command = await machine.run_up(shop)
    assert isinstance(command.error, ConfigError)
    assert command.error.said == "compose.yml:5: ./app.conf does not exist; Docker would create a folder of that name"
    assert str(command.error.hint).startswith(hint)
    assert sorted(os.listdir(shop.folder)) == before
    assert not machine.host.containers


@pytest.mark.parametrize(("source", "target"), [("app.conf", "/x"), ("x", "/etc/app.conf")])
@pytest.mark.anyio
async def test_one_name_of_a_file_is_enough(machine: Machine, source: str, target: str) -> None:
    """On the host or in the container."""
    command = await machine.run_up(site(machine, f"      - ./{source}:{target}\n", (source, target)))
    assert isinstance(command.error, ConfigError)


@pytest.mark.parametrize("kernel", ["memory", "other"])
@pytest.mark.anyio
async def test_an_engine_in_a_virtual_machine_has_other_folders(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    """Outside the project, a path that is missing here may exist there, so it is not created."""
    shop = site(machine, "      - ../data:/data\n", ("../data", "/data"))
    system = os.uname_result((*os.uname()[:2], kernel, *os.uname()[3:]))
    monkeypatch.setattr(os, "uname", lambda: system)
    created: list[bool] = []
    await machine.run_up(shop, then=lambda: created.append((machine.folder / "data").is_dir()))
    assert created == [kernel == "memory"]


@pytest.mark.parametrize(
    ("written", "target", "is_folder"),
    [
        ("      - ./app.conf/:/etc/app.conf\n", "/etc/app.conf", True),
        ("      - ./app.conf:/etc/app.conf/\n", "/etc/app.conf", True),
        ("      - {type: bind, target: /etc/app.conf, bind: {create_host_path: true}}\n", "/etc/app.conf", True),
        ("      - ./app.conf:/is-folder\n", "/is-folder", True),
        ("      - ./data:/is-file\n", "/is-file", False),
    ],
)
@pytest.mark.anyio
async def test_kind_of_a_source_by_file_and_image(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, written: str, target: str, *, is_folder: bool
) -> None:
    """A path ending in `/`, or a folder in the image, is created; a file in the image is refused."""
    source = "data" if "data" in written else "app.conf"
    shop = site(machine, written, (source, target))
    async with opened(machine, shop) as run:

        async def modes(_holders: Holders, _image: str, paths: list[str]) -> dict[str, int]:
            known = {"/is-folder": 0o755 | 1 << 31, "/is-file": 0o644}
            return {path: known[path] for path in paths if path in known}

        monkeypatch.setattr(Holders, "modes", modes)
        if is_folder:
            built = await run.after(steps.build_images)
            assert built.desired.folders == (str(shop.folder / source),)
        else:
            with pytest.raises(ConfigError, match=r"\./data does not exist"):
                await run.after(steps.build_images)


@pytest.mark.parametrize("is_used", [False, True])
@pytest.mark.anyio
async def test_a_missing_folder_lasts_as_long_as_the_run(machine: Machine, *, is_used: bool) -> None:
    """It is created and reported; at the end it is removed if empty, and so is the folder above it."""
    shop = site(machine, "      - ./data/db:/data\n", ("data/db", "/data"))

    def then() -> None:
        assert (shop.folder / "data/db").is_dir()
        if is_used:
            (shop.folder / "data/db/x").touch()

    command = await machine.run_up(shop, then=then)
    assert "./data/db did not exist: created, and removed at the end if still empty" in command.event_lines()
    assert (shop.folder / "data/db/x").exists() == (shop.folder / "data").exists() == is_used


@pytest.mark.parametrize("end", ["guardian", "down"])
@pytest.mark.anyio
async def test_a_dead_run_leaves_no_empty_folder(machine: Machine, end: str) -> None:
    """Any command that ends the run removes it, by the ledger."""
    shop = site(machine, "      - ./data:/data\n", ("data", "/data"))
    async with anyio.create_task_group() as tasks:
        command = await machine.up(shop, tasks=tasks)
        await command.killed()
    assert (shop.folder / "data").is_dir()
    if end == "guardian":
        await machine.guard(command)
    else:
        await machine.down(shop)
    assert not (shop.folder / "data").exists()


def test_only_created_folders_are_removed(tmp_path: Path) -> None:
    """A folder that existed before, has content, was replaced, or is a link, stays."""
    (tmp_path / "old").mkdir()
    names = ["old", "empty", "used", "replaced", "linked", "old/new"]
    created, failed = create_folders([str(tmp_path / name) for name in names])
    assert [place.path for place in created] == [str(tmp_path / name) for name in names[1:]]
    assert not failed
    (tmp_path / "used" / "x").touch()
    for name in ("replaced", "linked"):
        (tmp_path / name).rename(tmp_path / f"{name}-before")
    (tmp_path / "replaced").mkdir()
    (tmp_path / "linked").symlink_to("linked-before")
    remove_empty_folders(created)
    assert not os.listdir(tmp_path / "old")
    assert sorted(os.listdir(tmp_path)) == ["linked", "linked-before", "old", "replaced", "replaced-before", "used"]


def test_folder_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    """The path above is a file; the other folders are created anyway."""
    (tmp_path / "file").touch()
    created, failed = create_folders([str(tmp_path / "file/x"), str(tmp_path / "y")])
    assert [place.path for place in created] == [str(tmp_path / "y")]
    assert failed == {str(tmp_path / "file/x"): "File exists"}


@pytest.mark.parametrize(("euid", "owners"), [(0, [(4321, 4322), (4321, 4322)]), (1000, [])])
def test_as_root_a_folder_belongs_to_the_owner_of_the_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, euid: int, owners: list[tuple[int, int]]
) -> None:
    """The owner is the user under sudo."""
    given: list[tuple[int, int]] = []
    real = os.stat

    def stat(path: Any, **more: Any) -> Any:
        status = real(path, **more)
        return os.stat_result((*status[:4], 4321, 4322, *status[6:]))

    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "chown", lambda _, user, group, **__: given.append((user, group)))
    create_folders([str(tmp_path / "a/b")])
    assert given == owners


def test_a_folder_that_cannot_be_given_away_is_recorded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may refuse to change the owner; without the record the folder would stay."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", refused)
    created, failed = create_folders([str(tmp_path / "a")])
    assert [place.path for place in created] == [*failed] == [str(tmp_path / "a")]
