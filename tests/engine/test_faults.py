"""Failures of containers, calls, disks, the engine, or devenv itself: all is equal soon after they end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import docker_cli
from support.boxes import Boxes, built
from support.dockerd import dockerd
from support.edits import become
from support.naive import TARGET, in_container
from support.proxy import FAULTS, Proxy
from support.rig import Rig
from support.stack import unique_name

if TYPE_CHECKING:
    from engine.conftest import NewRig

pytestmark = pytest.mark.engine

SOON = 5.0  # seconds from the end of a fault until all is equal
EATER = f"until [ -e {TARGET}/made-here-eat ]; do sleep 0.1; done; rm {TARGET}/made-here-eat; exec tail /dev/zero"


def edit(rig: Rig, number: int) -> None:
    """Save one of a few files, delete one, and move one."""
    names = [f"{folder}/{name}" for folder in "abc" for name in "xyz"]
    rig.path(names[number % 9]).parent.mkdir(exist_ok=True)
    rig.path(names[number % 9]).write_text(f"edit {number}")
    rig.path(names[(number * 5 + 1) % 9]).unlink(missing_ok=True)
    here, there = rig.path(names[(number * 7 + 2) % 9]), rig.path(names[(number * 2 + 3) % 9])
    if here.exists() and there.parent.exists():
        here.rename(there)


def is_killed(state: Mapping[str, Any]) -> bool:
    """Whether the container has ended for lack of memory; the engine knows of the lack before the end."""
    return bool(state["OOMKilled"]) and not state["Running"]


OFTEN = tuple(
    fault for fault in FAULTS if fault != "404"
)  # a missing container is looked up again half a minute later


@pytest.mark.parametrize(
    "faults", [OFTEN, *(pytest.param((fault,), marks=pytest.mark.long) for fault in FAULTS)], ids="-".join
)
@pytest.mark.parametrize(
    ("kind", "user", "edits"),
    [("debian", 0, 120), ("busybox", 1000, 120), pytest.param("debian", 1000, 500, marks=pytest.mark.long)],
)
def test_failing_calls_lose_no_change(
    new_rig: NewRig, proxy: Proxy, kind: str, user: int, edits: int, faults: tuple[str, ...]
) -> None:
    """All changes arrive though a fifth of the calls fails, is cut, torn or delayed, and shells are cut."""
    rig = new_rig(kind, user, through=proxy)
    chance = random.Random(20)
    with rig.running():
        proxy.chaos(20, faults)
        for number in range(edits):
            edit(rig, number)
            rig.path(f"once{number}").write_text("x")  # no later edit repairs this
            time.sleep(chance.choice([0.01, 0.1]))
            if number % 40 == 20:
                proxy.drop("/exec/")
        proxy.calm()
        rig.settle()
    assert sum(call.fault is not None for call in proxy.calls) > 3


@pytest.mark.parametrize(
    ("kind", "user", "rounds"),
    [("debian", 0, 5), ("busybox", 1000, 5), pytest.param("busybox", 0, 100, marks=pytest.mark.long)],
)
def test_kinds_change_while_connections_are_cut(
    new_rig: NewRig, proxy: Proxy, kind: str, user: int, rounds: int
) -> None:
    """Files and folders replace each other in two replicas while shells and calls are cut."""
    rig = new_rig(kind, user, through=proxy)
    rig.boxes.start()
    with rig.running():
        for number in range(rounds):
            chance = random.Random(number)
            end = time.monotonic() + 1
            while time.monotonic() < end:
                entry = chance.choice(["nothing", "file", "full", "full", "folder"])
                become(rig.path(f"t{chance.randrange(4)}"), entry, str(number))
                time.sleep(chance.choice([0, 0.002, 0.01, 0.05]))
                if chance.random() < 0.1:
                    proxy.drop(chance.choice(["/exec/", ""]))
            rig.settle(2 * SOON)


def test_saves_during_an_engine_outage_are_synced(new_rig: NewRig, proxy: Proxy) -> None:
    """Files saved while connections are refused, then frozen, arrive soon after."""
    rig = new_rig(through=proxy)
    with rig.running():
        edit(rig, 0)
        rig.settle()
        proxy.away = True
        proxy.drop()
        for number in range(1, 30):
            edit(rig, number)
            time.sleep(0.1)
        proxy.away = False
        assert rig.settle() < 2 * SOON
    assert len(rig.problems) < 5, rig.problems


@pytest.mark.parametrize("rounds", [3, pytest.param(50, marks=pytest.mark.long)])
def test_added_and_removed_replicas_are_equal(new_rig: NewRig, rounds: int) -> None:
    """Replicas that are added, removed, recreated or killed for lack of memory are equal within seconds."""
    rig = new_rig("busybox", 1000, "--memory=16m", command=("sh", "-c", EATER))
    boxes = rig.boxes
    with rig.running():
        for number in range(rounds):
            edit(rig, 4 * number)
            boxes.begin_start()
            edit(rig, 4 * number + 1)
            boxes.begin_start()
            boxes.wait()
            edit(rig, 4 * number + 2)
            rig.settle(SOON)
            assert len(boxes.ids) == 3
            first, second, third = boxes.ids
            docker_cli.docker("rm", "-f", first)
            docker_cli.execute(second, "touch", f"{TARGET}/made-here-eat", user="0")
            edit(rig, 4 * number + 3)
            docker_cli.until(lambda box=second: is_killed(docker_cli.inspect(box)["State"]), timeout=20)  # type: ignore[misc]
            shutil.rmtree(rig.path("b"), ignore_errors=True)
            docker_cli.docker("start", second)
            rig.settle(SOON)
            docker_cli.docker("rm", "-f", third)


def test_container_restarted_amid_edits_is_equal(new_rig: NewRig) -> None:
    """The container is killed, started, restarted and recreated, while files are saved and deleted."""
    rig = new_rig("debian", 0)
    with rig.running():
        for number, verbs in enumerate(
            [("kill", "start"), ("restart",), ("stop", "start"), ("restart", "kill", "start")]
        ):
            (box,) = rig.boxes.ids
            for verb in verbs:
                rig.boxes.begin(verb, box)
                for step in range(10):
                    edit(rig, 100 * number + step)
                    time.sleep(0.02)
            rig.boxes.wait()
            rig.settle(SOON)
        docker_cli.docker("rm", "-f", box)
        edit(rig, 1000)
        rig.boxes.start()
        edit(rig, 1001)
        rig.settle(SOON)


@pytest.mark.parametrize("kind", ["debian", "busybox"])
def test_loop_and_pipe_do_not_stop_the_sync(new_rig: NewRig, kind: str) -> None:
    """Each is one problem, also after a restart of the container, and solved once removed."""
    rig = new_rig(kind)
    rig.path("loop").symlink_to("loop")
    os.mkfifo(rig.path("pipe"))
    rig.path("file").write_text("1")
    with rig.running():
        rig.settle()
        for number in range(3):
            docker_cli.docker("restart", "-t", "0", *rig.boxes.ids)
            rig.path("file").write_text(f"restarted {number}")
            rig.path(f"new{number}").write_text("x")
            rig.settle()
        assert sorted(problem.message for problem in rig.problems) == [
            "src/loop: a link that leads to itself: not synced",
            "src/pipe: neither a file, a folder nor a link: not synced",
        ]
        rig.path("there").symlink_to("back")
        rig.settle()
        rig.path("back").symlink_to("there")
        rig.settle()
        docker_cli.docker("restart", "-t", "0", *rig.boxes.ids)
        rig.path("file").write_text("last")
        rig.settle()
        assert len(rig.problems) == 3
        for name in ("loop", "pipe", "back"):
            rig.path(name).unlink()
        rig.path("loop").write_text("a file by now")
        rig.settle()
    assert len(rig.problems) == 3
    assert in_container(rig.boxes.ids[0])[0].keys() == {b"file", b"loop", b"new0", b"new1", b"new2", b"there"}


@pytest.mark.parametrize("kind", ["busybox", "debian"])
@pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.long)])
def test_no_staged_file_is_left_after_a_kill(new_rig: NewRig, kind: str, rounds: int) -> None:
    """The container is killed a few milliseconds after many files were saved."""
    rig = new_rig(kind, 1000)
    (box,) = rig.boxes.ids
    rig.path("many").mkdir()
    with rig.running():
        for number in range(rounds):
            for file in range(40):
                rig.path(f"many/{file}").write_text(f"{number} {file}")
                rig.path(f"{file % 5}").write_text(f"{number} {file}")
            time.sleep(random.Random(number).uniform(0, 0.05))
            docker_cli.docker("kill", box)
            docker_cli.docker("start", box)
            rig.settle(SOON)


@pytest.mark.parametrize(("end", "begin"), [("kill", "start"), ("pause", "unpause")])
@pytest.mark.parametrize(("kind", "others"), [("busybox", 0), ("busybox", 1), ("debian", 1)])
def test_kinds_changed_while_a_container_is_stopped_are_synced(
    new_rig: NewRig, end: str, begin: str, kind: str, others: int
) -> None:
    """Folders with files, empty ones, files and links change or are deleted meanwhile."""
    rig = new_rig(kind, 1000)
    (box,) = rig.boxes.ids
    for _ in range(others):
        rig.boxes.start()
    for number in range(4):
        rig.path(f"full{number}/deep").mkdir(parents=True)
        rig.path(f"full{number}/deep/inside").write_text("x")
        rig.path(f"empty{number}").mkdir()
        rig.path(f"file{number}").write_text("x")
        rig.path(f"link{number}").symlink_to("nowhere")
    with rig.running():
        rig.settle()
        docker_cli.docker(end, box)
        for name in ("full", "empty", "file", "link"):
            become(rig.path(f"{name}0"), "nothing", "")
            become(rig.path(f"{name}1"), "file", "y")
            become(rig.path(f"{name}2"), "link", "y")
            become(rig.path(f"{name}3"), "full", "y")
        time.sleep(0.5)
        docker_cli.docker(begin, box)
        rig.settle(SOON)


def test_container_paused_amid_edits_is_equal(new_rig: NewRig) -> None:
    """The other replica never waits."""
    rig = new_rig("debian", 1000)
    other = rig.boxes.start()
    with rig.running():
        for number in range(20):
            edit(rig, number)
        rig.settle()
        paused = next(box for box in rig.boxes.ids if box != other)
        docker_cli.docker("pause", paused)
        began = time.monotonic()
        for number in range(20, 40):
            edit(rig, number)
            time.sleep(0.05)
        rig.path("now").write_text("now")
        docker_cli.until(lambda: b"now" in in_container(other)[0], timeout=2)
        time.sleep(max(0.0, 5 - (time.monotonic() - began)))
        docker_cli.docker("unpause", paused)
        rig.settle(SOON)


def test_full_disk_is_reported_once_and_repaired(new_rig: NewRig) -> None:
    """The file that does not fit is reported; the rest arrives; the file is synced once there is space."""
    volume = f"type=volume,target={TARGET},volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs"
    rig = new_rig("debian", 0, f"--mount={volume},volume-opt=o=size=1m")
    (box,) = rig.boxes.ids
    with rig.running():
        rig.path("fits").write_bytes(b"1" * 400_000)
        rig.settle()
        docker_cli.execute(box, "sh", "-c", f"head -c 300000 /dev/zero > {TARGET}/made-here")
        rig.path("too big").write_bytes(b"2" * 500_000)
        rig.path("small").write_text("3")
        docker_cli.until(lambda: docker_cli.read(box, f"{TARGET}/small"), lambda text: text == "3", timeout=5)
        docker_cli.until(lambda: rig.problems, timeout=5)
        rig.path("small").write_text("4")
        docker_cli.until(lambda: docker_cli.read(box, f"{TARGET}/small"), lambda text: text == "4", timeout=5)
        time.sleep(6)  # long enough for retries to become rare
        problems = [problem for problem in rig.problems if problem.path == str(rig.path("too big"))]
        assert len(problems) == 1, rig.problems
        assert "no space left" in problems[0].message.lower()
        assert in_container(box)[0][b"fits"].content == b"1" * 400_000
        docker_cli.execute(box, "rm", f"{TARGET}/made-here")
        rig.settle(SOON)


@pytest.mark.parametrize("rounds", [1, pytest.param(50, marks=pytest.mark.long)])
def test_engine_restarted_amid_edits_ends_equal(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    """After a kill or stop, all is equal soon after the engine answers and the container runs."""
    if os.getuid() != 0:
        pytest.skip("an engine of its own needs root")
    with dockerd(tmp_path_factory.mktemp("engine")) as own:
        monkeypatch.setenv("DOCKER_HOST", own.host)
        with built("busybox", tmp_path / "image") as image:
            boxes = Boxes(image, unique_name("engine"))
            boxes.start()
            rig = Rig(tmp_path, boxes)
            with rig.running():
                for number in range(rounds):
                    edit(rig, 10 * number)
                    own.end(signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
                    for step in range(1, 6):
                        edit(rig, 10 * number + step)
                    own.start()
                    edit(rig, 10 * number + 6)
                    boxes.all_running()
                    rig.settle(2 * SOON)
            assert len(rig.problems) <= 3 * rounds, rig.problems
            boxes.remove()


@pytest.mark.parametrize(("kind", "user"), [("debian", 0), ("busybox", 1000)])
def test_edits_between_two_runs_are_synced(new_rig: NewRig, kind: str, user: int) -> None:
    """Edits, deletes and changes of kind after a kill are synced, and nothing else."""
    rig = new_rig(kind, user)
    (box,) = rig.boxes.ids
    with rig.running():
        for number in range(30):
            edit(rig, number)
            rig.path(f"f{number}").write_text(str(number))
        rig.path("folder/deep").mkdir(parents=True)
        rig.path("folder/deep/file").write_text("x")
        rig.settle()
        docker_cli.execute(box, "touch", f"{TARGET}/made-here", f"{TARGET}/folder/made-here", user="0")
    for number in range(30, 90):
        edit(rig, number)
    for number in range(10):
        rig.path(f"f{number}").unlink()
    rig.path("f10").unlink()
    rig.path("f10").mkdir()
    shutil.rmtree(rig.path("folder"))
    with rig.running():
        rig.settle(SOON)
        assert {b"made-here", b"folder/made-here"} <= in_container(box)[0].keys()
    assert rig.problems == []
