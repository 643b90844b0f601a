"""The lineages on disk: complete or an error, and one for what devenv 0.1 saved."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv import private_files
from devenv.errors import StateError
from devenv.model.snapshot import Snapshot
from devenv.state.identity import Place
from devenv.volumes.lineage import NOTHING, Lineage, LiveVolume, WantedVolume
from devenv.volumes.lineages import Lineages, fresh

ENGINE, AT = "id /var/lib/docker", "2026-11-30T10:00:00Z"
WANTED = WantedVolume(ENGINE, "tcp://x:1", Place("/shop", 1, 2), "shop", "data", "shop_data", is_fixed=False)
PLAIN = Lineage("1", ENGINE, WANTED.place, "shop", "data", "shop_data")
FULL = replace(
    PLAIN,
    id="2",
    head=("20261130-1", "data"),
    saved=1764500000.25,
    asked=("20261130-2", "more"),
    torn=("20261130-3", "data"),
    live=LiveVolume("shop_data", AT, 5.5, ("20261130-1", "data")),
)
FIXED = Lineage("3", ENGINE, Place(""), "shop", "data", "data-of-all", head=("4", "data"), asked=NOTHING)


@pytest.fixture
def lineages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lineages:
    """None yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Lineages.at_home()


@pytest.mark.parametrize("lineage", [PLAIN, FULL, FIXED, replace(FULL, live=LiveVolume("x", "", 1.0))])
def test_written_and_read_are_the_same(lineages: Lineages, lineage: Lineage) -> None:
    """Nothing asked for, and an empty volume asked for, are two things; the file is for the user alone."""
    lineages.write(lineage)
    assert lineages.get(lineage.id) == lineage
    assert Lineages.at_home().all() == (lineage,)
    (path,) = Path(lineages.path).iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_unknown_lineage_is_none(lineages: Lineages) -> None:
    """No lineage, and no error."""
    assert lineages.all() == ()
    assert lineages.get("1") is None
    lineages.change("1", lambda now: replace(now, saved=1.0))
    assert lineages.all() == ()


def changed(**fields: Any) -> str:
    """The file of PLAIN with other fields; without those that are None."""
    known = {"v": 1, "id": "1", "engine": ENGINE, "place": {"path": "/shop", "device": 1, "inode": 2},
             "project": "shop", "key": "data", "name": "shop_data", "head": ["", ""], "saved": 0.0, "asked": None,
             "torn": ["", ""], "live": None}  # fmt: skip
    return json.dumps({key: value for key, value in {**known, **fields}.items() if value != "left out"})


def test_undamaged_file_is_read(lineages: Lineages) -> None:
    """Without the damage, each file of the table is valid."""
    Path(lineages.path, "1.json").write_text(changed())
    assert lineages.all() == (PLAIN,)


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "null", "[]", "\x00", "\udcff", changed()[:-1], changed(v=2), changed(v="left out"),
        changed(head="left out"), changed(place="left out"), changed(place={"folder": "/"}), changed(extra=1),
        changed(live={"name": "x"}), changed(head=5), changed(head=["a"]), changed(head=["a", "b", "c"]),
        changed(head=["a", 1]), changed(asked="ab"), changed(saved="now"), changed(saved=float("nan")),
        changed(saved=float("inf")), changed(id=5), changed(id="2"), changed(torn=[["a"], "b"]),
        changed(live={"name": "x", "created": AT, "since": 1.0, "parent": ["a"]}),
    ],
)  # fmt: skip
def test_a_damaged_file_is_an_error(lineages: Lineages, content: str) -> None:
    """Its head must not be passed over: the file is named, and what to type."""
    lineages.write(FULL)
    path = Path(lineages.path, "1.json")
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    for ask in (lineages.all, lambda: lineages.get("1"), lambda: lineages.find(WANTED, ()), lineages.needed):
        with pytest.raises(StateError, match=r"1\.json is damaged") as caught:
            ask()
        assert f"rm {path}" in (caught.value.hint or "")
    assert lineages.get("2") == FULL


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_special_file_is_an_error(lineages: Lineages, tmp_path: Path, kind: str) -> None:
    """No link is followed."""
    path = Path(lineages.path, "1.json")
    if kind == "link":
        (tmp_path / "elsewhere").write_text(changed())
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
    with pytest.raises(StateError, match=r"1\.json is"):
        lineages.all()


def test_a_full_disk_keeps_the_old_file(lineages: Lineages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partial lineage would be a damaged one."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    lineages.write(PLAIN)
    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(OSError, match="No space"):
                lineages.change("1", lambda now: replace(now, saved=9.0))
        assert lineages.all() == (PLAIN,)


CHANGER = """
import sys
from dataclasses import replace
from devenv.volumes.lineages import Lineages
lineages = Lineages(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(30):
    lineages.change("1", lambda now: replace(now, saved=now.saved + 1))
"""


def test_one_change_at_a_time(lineages: Lineages) -> None:
    """A change of one process does not undo that of another."""
    lineages.write(PLAIN)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CHANGER, lineages.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.communicate("go\n", timeout=60)[0] == ""
    assert lineages.all() == (replace(PLAIN, saved=90.0),)


def test_snapshots_needed_by_lineages(lineages: Lineages, tmp_path: Path) -> None:
    """They are head, interrupted and requested states; not those of removed folders, but always of fixed names."""
    there = replace(FULL, place=Place(str(tmp_path)))
    gone = replace(FULL, id="4", place=Place(f"{tmp_path}/gone"), head=("5", "data"))
    for lineage in (there, gone, FIXED, replace(PLAIN, id="5", place=Place(str(tmp_path)))):
        lineages.write(lineage)
    assert lineages.needed() == {
        ("20261130-1", "data"), ("20261130-2", "more"), ("20261130-3", "data"), ("4", "data")
    }  # fmt: skip


@pytest.mark.parametrize(("is_fixed", "place"), [(False, WANTED.place), (True, Place(""))])
def test_a_new_lineage(is_fixed: bool, place: Place) -> None:
    """It has a new id, and is found for the volume."""
    wanted = replace(WANTED, is_fixed=is_fixed)
    first, other = fresh(wanted), fresh(wanted)
    assert first.id != other.id
    assert first == Lineage(first.id, ENGINE, place, "shop", "data", "shop_data")
    assert first.is_for(wanted)


def test_the_lineage_of_a_renamed_folder(lineages: Lineages, tmp_path: Path) -> None:
    """It is found if its folder has a new name, and the old path does not exist, not even as a dangling link."""
    folder = tmp_path / "store"
    folder.mkdir()
    state = folder.stat()
    lineages.write(replace(PLAIN, place=Place(f"{tmp_path}/shop", state.st_dev, state.st_ino)))
    wanted = replace(WANTED, place=Place(str(folder), state.st_dev, state.st_ino), project="store")
    lineage = lineages.find(wanted, ())
    assert lineage is not None
    assert lineage.id == "1"
    (tmp_path / "shop").symlink_to(tmp_path / "nowhere")
    assert lineages.find(wanted, ()) is None


# --- devenv 0.1 -------------------------------------------------------------------------------------------------


def old(set_id: str, created: float, **more: Any) -> Snapshot:
    """A state that devenv 0.1 saved."""
    made = Snapshot(set_id, "data", "shop_data", "shop", "/shop", "tcp://x:1", created, 10, 1, "d")
    return replace(made, **more)


def test_what_devenv_0_1_saved_is_adopted(lineages: Lineages) -> None:
    """The volume gets one lineage, whose head is the last whole state; it is on disk once it is written."""
    stored = (old("1", 1.0), old("2", 2.0), old("3", 3.0, settled=False))
    lineage = lineages.find(WANTED, stored)
    assert lineage is not None
    assert (lineage.head, lineage.saved, lineage.place, lineage.live) == (("2", "data"), 2.0, WANTED.place, None)
    assert lineages.all() == ()
    assert lineages.find(replace(WANTED, project="other"), stored) is None
    assert lineages.find(replace(WANTED, address="tcp://other:1"), stored) is None
    lineages.write(lineage)
    assert lineages.find(WANTED, (*stored, old("9", 9.0))) == lineage


def test_what_devenv_0_1_saved_through_links(lineages: Lineages, tmp_path: Path) -> None:
    """A link to the folder and another name of the socket were used: 0.1 knew no real paths."""
    shop, run = tmp_path / "shop", tmp_path / "run"
    for folder in (shop, run):
        folder.mkdir()
    (tmp_path / "link").symlink_to(shop)
    (tmp_path / "var-run").symlink_to(run)
    wanted = replace(WANTED, address=f"unix://{run}/docker.sock", place=Place(str(shop), 1, 2))
    by_link = old("1", 1.0, directory=f"{tmp_path}/link", endpoint=f"unix://{tmp_path}/var-run/docker.sock")
    lineage = lineages.find(wanted, (by_link,))
    assert lineage is not None
    assert (lineage.head, lineage.place) == (("1", "data"), wanted.place)
    elsewhere = replace(by_link, endpoint=f"unix://{tmp_path}/docker.sock")
    assert lineages.find(wanted, (elsewhere,)) is None


def test_an_import_is_no_head(lineages: Lineages) -> None:
    """A colleague's state, of the same folder and project, waits until it is asked for."""
    assert lineages.find(WANTED, (old("1", 1.0, automatic=False),)) is None
    lineage = lineages.find(WANTED, (old("1", 1.0), old("9", 9.0, automatic=False)))
    assert lineage is not None
    assert lineage.head == ("1", "data")


def test_the_state_folder_is_not_followed(lineages: Lineages, tmp_path: Path) -> None:
    """A link, or a folder that others can write, is refused."""
    os.chmod(lineages.path, 0o777)  # noqa: S103 - that is the point
    with pytest.raises(StateError, match="can be written by other users"):
        Lineages.at_home()
    os.chmod(lineages.path, 0o700)
    private_files.replace(os.path.join(lineages.path, "1.json"), changed())
    assert Lineages.at_home().all() == (PLAIN,)
