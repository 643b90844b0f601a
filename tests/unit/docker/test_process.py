"""Child processes: input, output, the signals on cancel, and the record by which others end them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest
from anyio.abc import Process

from devenv.docker import process
from devenv.errors import EngineError, StateError
from support.terminal import Terminal

pytestmark = pytest.mark.anyio


def python(code: str, *args: str) -> list[str]:
    """The command line of a child that runs this code."""
    return [sys.executable, "-c", code, *args]


@pytest.fixture(autouse=True)
def short_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short times between the signals."""
    monkeypatch.setattr(process, "INTERRUPT_GRACE", 0.3)
    monkeypatch.setattr(process, "TERMINATE_GRACE", 0.3)


async def test_output_exit_code_and_environment() -> None:
    """The whole output and the exit code; `env` is added to our environment."""
    code = (
        "import os,sys; print(os.environ['MORE'], bool(os.environ['PATH'])); print('e', file=sys.stderr); sys.exit(3)"
    )
    done = await process.run(python(code), env={"MORE": "yes"}, cwd="/")
    assert (done.returncode, done.text, done.error_text) == (3, "yes True\n", "e\n")


async def test_undecodable_output_is_shown() -> None:
    """Bytes that are not UTF-8 are escaped."""
    done = await process.run(["printf", r"a\377b"])
    assert done.text == r"a\xffb"


async def test_much_input_and_output_at_once() -> None:
    """More than a pipe holds, in both directions at once, without a deadlock."""
    data = os.urandom(1 << 20)
    done = await process.run(["cat"], stdin=data)
    assert done.stdout == data


async def test_a_child_that_does_not_read_its_input() -> None:
    """It may end before its input is written."""
    done = await process.run(["true"], stdin=b"x" * (1 << 20))
    assert done.returncode == 0


async def test_a_child_without_input() -> None:
    """It never reads from our terminal."""
    assert (await process.run(["cat"])).stdout == b""


async def test_a_child_ended_by_a_signal_has_failed() -> None:
    """Its code is not 0."""
    done = await process.run(["sh", "-c", "kill -9 $$"])
    assert done.returncode == -signal.SIGKILL


async def test_lines_are_passed_on_while_it_runs() -> None:
    """Before the child ends."""
    seen = anyio.Event()
    async with anyio.create_task_group() as tasks:
        argv = ["sh", "-c", "echo now; sleep 60"]
        tasks.start_soon(lambda: process.run(argv, on_line=lambda _: seen.set()))
        with anyio.fail_after(20):
            await seen.wait()
        tasks.cancel_scope.cancel()


async def test_lines_are_complete() -> None:
    """Independent of the pieces of the output; without line endings. The last line needs none."""
    lines: list[str] = []
    done = await process.run(["sh", "-c", "printf 'a'; sleep 0.1; printf 'b\\n\\nc\\377'"], on_line=lines.append)
    assert (lines, done.stdout) == (["ab", "", "c\\xff"], b"ab\n\nc\xff")


@pytest.mark.parametrize(
    ("argv", "cwd", "message"),
    [
        (["no-such-program-here"], None, "`no-such-program-here` is not installed, or not on PATH"),
        (["/etc/passwd"], None, "cannot run `/etc/passwd`: permission denied"),
        (["true"], "/no/such/folder", "the folder /no/such/folder does not exist"),
    ],
)
async def test_a_child_that_cannot_be_started(argv: list[str], cwd: str | None, message: str) -> None:
    """The error names the cause: the program, the permission, or the folder."""
    with pytest.raises(EngineError) as caught:
        await process.run(argv, cwd=cwd)
    assert caught.value.message == message


IGNORES = """
import os, signal, sys, time
for name in sys.argv[2:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
with open(sys.argv[1], "w") as file:
    file.write(str(os.getpid()))
    file.flush()
    os.rename(sys.argv[1], sys.argv[1] + ".ready")
time.sleep(60)
"""


async def until_there(file: Path) -> None:
    """Wait for a file."""
    with anyio.fail_after(20):
        while not file.exists():  # noqa: ASYNC110 - the world tells no event
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    ("ignored", "least", "end"),
    [([], 0.0, signal.SIGINT), (["SIGINT"], 0.3, signal.SIGTERM), (["SIGINT", "SIGTERM"], 0.6, signal.SIGKILL)],
)
async def test_the_signals_on_cancel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ignored: list[str], least: float, end: signal.Signals
) -> None:
    """Interrupt, terminate, kill: a child that ignores a signal gets the next, and is reaped."""
    if not ignored:
        monkeypatch.setattr(process, "INTERRUPT_GRACE", 60)  # Python itself is slow to end on a busy machine
    argv = python(IGNORES, str(tmp_path / "pid"), *ignored)
    async with anyio.create_task_group() as tasks, process.started(argv) as child:
        await until_there(tmp_path / "pid.ready")
        began = time.monotonic()
        tasks.cancel_scope.cancel()
        await anyio.sleep_forever()
    assert time.monotonic() - began >= least
    assert child.returncode == -end
    assert process.start_time(child.pid) is None
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)  # noqa: ASYNC222 - what the test itself does


async def test_a_cancel_reaches_the_childs_children(tmp_path: Path) -> None:
    """The whole process group gets the signal, as from a terminal."""
    script = f"{shlex.join([sys.executable, '-c', IGNORES, f'{tmp_path}/pid'])} & wait"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.run, ["sh", "-c", script])
        await until_there(tmp_path / "pid.ready")
        tasks.cancel_scope.cancel()
    pid = int((tmp_path / "pid.ready").read_text(encoding="ascii"))
    with anyio.fail_after(20):
        while process.start_time(pid) is not None:  # noqa: ASYNC110 - the world tells no event
            await anyio.sleep(0.01)


async def test_a_cancel_reaches_processes_that_outlive_the_child(tmp_path: Path) -> None:
    """A process of an ended child may still hold its output, for which we wait."""
    script = f"echo $$ >{tmp_path}/sh; sleep 60 & echo $! >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid"

    async def until_over() -> None:
        while process.start_time(int((tmp_path / "sh").read_text())) is not None:  # noqa: ASYNC110 - not our child
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(process.run, ["sh", "-c", script])
        await until_there(tmp_path / "pid")
        with anyio.fail_after(20):
            await until_over()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(20):
        while process.start_time(int((tmp_path / "pid").read_text())) is not None:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.01)


async def test_a_pid_that_was_used_again_gets_no_signal() -> None:
    """After a child is reaped, its pid may belong to a stranger's process."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:  # noqa: ASYNC220 - what the test itself does
        await process._end(cast("Process", SimpleNamespace(pid=other.pid, returncode=0)))
        other.terminate()
        assert other.wait(10) == -signal.SIGTERM


async def test_an_error_inside_ends_the_child() -> None:
    """The child has always ended after the block."""
    with pytest.raises(RuntimeError, match="inside"):
        async with process.started(["sleep", "60"]) as child:
            raise RuntimeError("inside")
    assert child.returncode == -signal.SIGINT


async def test_children_are_recorded_and_can_be_ended_by_others(tmp_path: Path) -> None:
    """The record has pid, start time and boot, so that another process ends exactly this child."""
    record = tmp_path / "children"
    process.record_children(str(record))
    try:
        await process.run(["true"])
    finally:
        process.record_children(None)
    assert len(record.read_text(encoding="ascii").split()) == 2
    with stubborn(tmp_path) as child, subprocess.Popen(["sleep", "60"], start_new_session=True) as other:  # noqa: ASYNC220 - what the test itself does
        its_own = process.start_time(other.pid) or ""
        before_the_boot = f"{its_own.partition('@')[0]}@00000000-0000-0000-0000-000000000000"
        with record.open("a", encoding="ascii") as file:
            file.write(f"{child.pid} {process.start_time(child.pid)}\n{other.pid} 1{its_own}\n")
            file.write(f"{other.pid} {before_the_boot}\n{child.pid}")
        with anyio.fail_after(20):
            await process.end_recorded(str(record), 0.2)
        assert child.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


async def test_a_child_that_runs_already_is_recorded(tmp_path: Path) -> None:
    """One that has ended is not."""
    record = tmp_path / "children"
    await process.run(["true"])
    async with process.started(["sleep", "60"]) as child:
        process.record_children(str(record))
        process.record_children(None)
        assert record.read_text(encoding="ascii") == f"{child.pid} {process.start_time(child.pid)}\n"


async def test_a_link_in_the_place_of_the_record_is_refused(tmp_path: Path) -> None:
    """Nothing is written to the target of the link, and processes named there are not killed."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:  # noqa: ASYNC220 - what the test itself does
        victim = tmp_path / "victim"
        victim.write_text(content := f"{other.pid} {process.start_time(other.pid)}\n")
        (tmp_path / "children").symlink_to(victim)
        with pytest.raises(StateError, match="children is a symbolic link"):
            process.record_children(str(tmp_path / "children"))
        await process.run(["true"])
        await process.end_recorded(str(tmp_path / "children"), 0.1)
        assert victim.read_text() == content
        assert other.poll() is None
        other.kill()


async def test_without_a_record_there_is_nothing_to_end(tmp_path: Path) -> None:
    """A run that never started a child has no record."""
    await process.end_recorded(str(tmp_path / "nothing"), 0.1)


def stubborn(folder: Path) -> subprocess.Popen[bytes]:
    """A running child in a session of its own that ignores SIGINT."""
    child = subprocess.Popen(python(IGNORES, str(folder / "it"), "SIGINT"), start_new_session=True)
    until((folder / "it.ready").exists)
    return child


def until(met: Callable[[], bool]) -> None:
    """Wait until the condition holds. Raises AssertionError after a while."""
    deadline = time.monotonic() + 10
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_times_tell_processes_apart() -> None:
    """Constant for a process; None for a process that has ended, reaped or not."""
    assert process.start_time(os.getpid()) == process.start_time(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as child:
        assert process.start_time(child.pid)
        child.kill()
        until(lambda: process.start_time(child.pid) is None)
    assert process.start_time(child.pid) is None


def test_start_time_of_a_process_with_an_odd_name(tmp_path: Path) -> None:
    """Spaces and brackets in the name do not shift the columns."""
    odd = tmp_path / "a) b (c"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as child:
        ticks = [int((process.start_time(pid) or "").partition("@")[0]) for pid in (os.getpid(), child.pid)]
        assert ticks == sorted(ticks)
        child.kill()


def test_a_detached_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    """It inherits the given descriptors, and writes to the log."""
    reader, writer = os.pipe()
    with (tmp_path / "log").open("wb") as log:
        code = "import os,sys; print(os.getcwd(), os.getsid(0) == os.getpid()); os.write(int(sys.argv[1]), b'x')"
        pid = process.detach(python(code, str(writer)), pass_fds=[writer], log=log.fileno())
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"x"
    os.waitpid(pid, 0)
    assert (tmp_path / "log").read_text(encoding="ascii") == "/ True\n"


FOREGROUND = """
import anyio, os, sys
from devenv.docker import process
code = anyio.run(process.foreground, ["sh", "-c", "echo ready; read line; echo got $line; exit 3"])
print("code", code, os.tcgetpgrp(0) == os.getpgrp())
try:
    anyio.run(process.foreground, ["there-is-no-such-program"])
except process.EngineError as error:
    print(error.message)
"""


def test_a_child_in_the_foreground() -> None:
    """It reads from our terminal and gets Ctrl-C; afterwards the terminal is ours again."""
    with Terminal(*python(FOREGROUND), cwd=Path.cwd(), env={}) as terminal:
        terminal.type("word\n")
        terminal.until("got word")
        terminal.until("code 3 True")
        terminal.until("`there-is-no-such-program` is not installed")
        assert terminal.process.wait(10) == 0
    with Terminal(*python(FOREGROUND), cwd=Path.cwd(), env={}) as terminal:
        terminal.until("ready")
        terminal.type("\x03")
        terminal.until("code -2 True")


async def test_git_gives_its_output_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without output it is empty; None without a repository and without git."""
    await process.run(["git", "init", "-q", str(tmp_path / "tree")])
    assert await process.git(str(tmp_path / "tree"), "status", "--porcelain") == b""
    assert await process.git(str(tmp_path / "tree"), "hash-object", "--stdin", stdin=b"") != b""
    assert await process.git(str(tmp_path), "status") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await process.git(str(tmp_path / "tree"), "status") is None
