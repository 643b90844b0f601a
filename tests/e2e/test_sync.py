"""`devenv sync` brings containers up to date with the tree, and changes nothing else."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from support.cli import Devenv
from support.stack import NewStack, Stack, idle_service

pytestmark = pytest.mark.engine


@pytest.fixture
def stack(new_stack: NewStack) -> Stack:
    """A project that plain Compose has started, with two replicas of a service that syncs."""
    stack = new_stack()
    for path in ("a", "deep/b", "deep/c"):
        stack.write(f"src/{path}", f"{path}\n")
    rule = {"path": "./src", "action": "sync", "target": "/app/src", "ignore": ["*.log"]}
    stack.compose_file({"web": idle_service(develop={"watch": [rule]}, scale=2), "db": idle_service()})
    assert stack.compose("up", "-d", "web").returncode == 0
    return stack


def sync(stack: Stack, *args: str, code: int = 0) -> Devenv:
    """Run the command to its end, with this exit code."""
    run = Devenv("sync", *args, cwd=stack.folder, env=stack.env)
    assert run.wait(timeout=60) == code, run.report()
    return run


def test_sync_makes_containers_of_anybody_equal_to_the_tree(stack: Stack) -> None:
    """Both replicas get all files, later changes with the second call; the containers' own files stay."""
    run = sync(stack, "--verify")
    compared = run.all("compared")
    assert [(c["files"], c["different"]) for c in compared] == [(3, []), (3, [])]
    assert run.all("synced", service="web", files=3)
    stack.execute_in_all("web", "sh", "-c", "echo own > /app/src/deep/own; echo own > /app/src/x.log")
    stack.write("src/a", "new\n")
    shutil.move(stack.folder / "src/deep", stack.folder / "src/moved")
    assert sync(stack, "--verify").all("compared", different=[])
    assert stack.read_all("web", "/app/src/a") == {"new\n"}
    assert stack.read_all("web", "/app/src/moved/b") == {"deep/b\n"}
    assert stack.read_all("web", "/app/src/deep/b") == {None}
    assert stack.read_all("web", "/app/src/deep/own") == {"own\n"}
    assert stack.read_all("web", "/app/src/x.log") == {"own\n"}


def test_dry_run_lists_operations_and_changes_nothing(stack: Stack) -> None:
    """Copies and deletes are listed, one per line."""
    sync(stack)
    stack.write("src/a", "new\n")
    (stack.folder / "src/deep/b").unlink()
    messages = {n["message"] for n in sync(stack, "--dry-run").all("notice")}
    assert messages == {
        f"web sync /app/src/a <- {stack.folder}/src/a",
        "web delete /app/src/deep/b <- src/deep/b",
    }
    assert stack.read_all("web", "/app/src/a") == {"a\n"}
    assert stack.read_all("web", "/app/src/deep/b") == {"deep/b\n"}


def test_missing_source_deletes_nothing(stack: Stack) -> None:
    """A source that was moved away or emptied as a whole is reported, and nothing is deleted."""
    sync(stack)
    shutil.rmtree(stack.folder / "src")
    for _ in range(2):
        run = sync(stack)
        assert run.all("notice", message="src does not exist or is empty: nothing of it is deleted in containers")
        assert stack.read_all("web", "/app/src/a") == {"a\n"}
        (stack.folder / "src").mkdir(exist_ok=True)


def test_files_changed_in_the_container_are_restored(stack: Stack) -> None:
    """A file that was changed or deleted in the container is restored."""
    sync(stack)
    stack.execute_in_all("web", "sh", "-c", "echo wrong > /app/src/a; rm /app/src/deep/c")
    assert sync(stack, "web").all("synced", files=2)
    assert stack.read_all("web", "/app/src/a") == {"a\n"}
    assert stack.read_all("web", "/app/src/deep/c") == {"deep/c\n"}


def test_unknown_service_is_an_error(stack: Stack) -> None:
    """An unknown service is an error; a service without rules, or without containers, is not."""
    assert stack.compose("up", "-d", "db").returncode == 0
    assert sync(stack, "nope", code=2).all("error", message="there is no service `nope`")
    assert sync(stack, "db").all("notice")
    stack.compose("down", "-t", "0")
    assert sync(stack).all("notice", hint="devenv up")


def test_stopped_container_with_pending_deletes_is_not_equal(stack: Stack) -> None:
    """Files are put; the deletes that cannot be done are reported, and the exit code is not 0."""
    sync(stack)
    assert stack.compose("stop", "-t", "0", "web").returncode == 0
    stack.write("src/a", "new\n")
    assert sync(stack, "--verify").all("compared", different=[])
    (stack.folder / "src/deep/b").unlink()
    run = sync(stack, "--verify", code=1)
    assert run.all("problem", hint="docker compose start web, then: devenv sync"), run.report()
    assert run.all("compared", different=["/app/src/deep/b"])
    assert stack.compose("start", "web").returncode == 0
    assert sync(stack, "--verify").all("compared", different=[])
    assert stack.read_all("web", "/app/src/a") == {"new\n"}


def test_unsyncable_paths_are_problems_of_their_own(stack: Stack) -> None:
    """Two loops, a pipe and a socket are each named, and all else arrives; exit code 0 after they are removed."""
    src = stack.folder / "src"
    odd = [src / name for name in ("loop", "deep/loop", "pipe", "socket")]
    odd[0].symlink_to("loop")
    odd[1].symlink_to("../loop")
    os.mkfifo(odd[2])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(odd[3]) if len(str(odd[3])) > 100 else str(odd[3]))
    for args in ((), ("--verify",)):
        stack.write("src/a", f"new {args}\n")
        run = sync(stack, *args, code=1)
        assert {problem["message"] for problem in run.all("problem")} == {
            "src/deep/loop (+1 more): a link that leads to itself: not synced",
            "src/pipe (+1 more): neither a file, a folder nor a link: not synced",
        }
        assert not any(event["different"] for event in run.all("compared"))
        assert stack.read_all("web", "/app/src/a") == {f"new {args}\n"}
    assert sync(stack, "--dry-run").all("problem")
    for path in odd:
        path.unlink()
    run = sync(stack, "--verify")
    assert not run.all("problem")
    assert len(run.all("compared", different=[])) == 2


def test_files_replaced_by_special_files_are_not_equal(stack: Stack) -> None:
    """The next call deletes the old content of the files; in a stopped container it is a difference."""
    src = stack.folder / "src"
    stack.write("src/deep/stays", "x\n")
    sync(stack)
    pipe, socket_path, loop = gone = [src / path for path in ("a", "deep/b", "deep/c")]
    for path in gone:
        path.unlink()
    os.mkfifo(pipe)
    loop.symlink_to("c")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(socket_path))
    assert stack.compose("stop", "-t", "0", "web").returncode == 0
    run = sync(stack, "--verify", code=1)
    different = [f"/app/src/{path.relative_to(src)}" for path in gone]
    assert [sorted(event["different"]) for event in run.all("compared")] == [different] * 2
    assert stack.compose("start", "web").returncode == 0
    run = sync(stack, "--verify", code=1)
    assert [event["different"] for event in run.all("compared")] == [[]] * 2
    assert [stack.read_all("web", target) for target in different] == [{None}] * 3


def test_folder_replaced_by_a_pipe_is_deleted_with_its_content(stack: Stack) -> None:
    """A folder that a pipe replaces is deleted as a file is."""
    sync(stack)
    shutil.rmtree(stack.folder / "src/deep")
    os.mkfifo(stack.folder / "src/deep")
    assert sync(stack, "--verify", code=1).all("compared", different=[])
    stack.execute_in_all("web", "sh", "-c", "[ $(ls -A /app/src) = a ]")


@pytest.mark.parametrize("count", [0, 60])
def test_target_behind_a_link_is_compared_and_synced(stack: Stack, count: int) -> None:
    """Behind a link, equal files are equal, and different files are reported and synced."""
    for number in range(count):
        stack.write(f"src/more{number}", "more\n")
    sync(stack)
    stack.execute_in_all("web", "sh", "-c", "mv /app/src /data; ln -s /data /app/src")
    run = sync(stack, "--verify")
    assert [event["different"] for event in run.all("compared")] == [[]] * 2
    assert not run.all("synced")
    stack.execute_in_all("web", "sh", "-c", "echo other > /data/a")
    assert sync(stack, "--verify").all("synced", files=1)
    assert stack.read_all("web", "/data/a") == {"a\n"}


def test_only_paths_removed_by_this_call_are_counted(stack: Stack) -> None:
    """Folders with other content of the container are not counted."""
    for number in range(110):
        stack.write(f"src/old/{number % 5}/{number}", "x\n")
    stack.write("src/kept/x", "x\n")
    sync(stack)
    shutil.rmtree(stack.folder / "src/old")
    shutil.rmtree(stack.folder / "src/kept")
    stack.execute_in_all("web", "sh", "-c", "rm -r /app/src/old; touch /app/src/kept/own")
    (removed,) = {(event["files"], event["deleted"]) for event in sync(stack).all("synced")}
    assert removed == (0, 1)
    assert not sync(stack, "--verify").all("synced")


@pytest.mark.parametrize(
    ("size", "most"),
    [(150 << 20, 100), pytest.param(6 << 30, 150, marks=(pytest.mark.long, pytest.mark.alone))],
    ids=["150 MB", "6 GB"],
)
def test_large_sparse_file_is_synced_with_little_memory(stack: Stack, size: int, most: int) -> None:
    """A file that is mostly a hole is sent and read back by a process of so many MB."""
    os.truncate(stack.write("src/large", ""), size)
    run = Devenv("sync", "--verify", cwd=stack.folder, env=stack.env)
    peak = 0
    while run.process.poll() is None:
        with contextlib.suppress(OSError, StopIteration):
            status = Path(f"/proc/{run.process.pid}/status").read_text(encoding="utf-8").splitlines()
            peak = max(peak, int(next(line for line in status if line.startswith("VmHWM")).split()[1]))
        time.sleep(0.05)
    assert run.wait(timeout=5) == 0, run.report()
    assert 0 < peak < most * 1024
    assert run.all("synced", files=4)
    assert [event["different"] for event in run.all("compared")] == [[]] * 2
    stack.execute_in_all("web", "sh", "-c", f"[ $(stat -c %s /app/src/large) = {size} ]")
