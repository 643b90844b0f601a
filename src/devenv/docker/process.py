"""The only place that starts child processes: own session, stdin from memory, and a ladder on cancel."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import anyio
from anyio.abc import ByteReceiveStream, Process

from devenv import private_files
from devenv.docker import trace
from devenv.errors import EngineError, StateError

INTERRUPT_GRACE = 3.0
TERMINATE_GRACE = 2.0

OnLine = Callable[[str], object]
OnOutput = Callable[[str, str], object]  # a line, and the stream that it came from

_record: str | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """A child that has ended: its exit code and everything it printed."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, undecodable bytes escaped."""
        return _text(self.stdout)

    @property
    def error_text(self) -> str:
        """Standard error as text, undecodable bytes escaped."""
        return _text(self.stderr)


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    on_line: OnLine | None = None,
    on_error_line: OnLine | None = None,
) -> Completed:
    """The ended child. On cancel it is interrupted, then terminated, then killed, and always reaped.

    Each line of its output is handed on as it comes. `env` is added to our own environment. Raises EngineError
    where the program is not there.
    """
    out, err = bytearray(), bytearray()
    async with started(argv, stdin=stdin is not None, env=env, cwd=cwd) as process:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_drain, process.stdout, out, on_line)
            tasks.start_soon(_drain, process.stderr, err, on_error_line)
            if stdin is not None:
                tasks.start_soon(_feed, process, stdin)
            await process.wait()
        return Completed(process.returncode or 0, bytes(out), bytes(err))


@contextlib.asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    stdin: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> AsyncIterator[Process]:
    """A running child in a session of its own; whatever happens inside, it is gone afterwards."""
    with trace.command(argv) as told:
        async with _started(argv, stdin=stdin, env=env, cwd=cwd) as process:
            yield process
            told.outcome = f"exit {process.returncode}"


@contextlib.asynccontextmanager
async def _started(
    argv: Sequence[str], *, stdin: bool, env: Mapping[str, str] | None, cwd: str | None
) -> AsyncIterator[Process]:
    try:
        with anyio.CancelScope(shield=True):  # a child whose start was cut off would be nobody's
            process = await anyio.open_process(
                list(argv),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        if cwd is not None and not os.path.isdir(cwd):
            raise EngineError(f"the folder {cwd} does not exist") from error
        raise EngineError(f"`{argv[0]}` is not installed, or not on PATH") from error
    except PermissionError as error:
        raise EngineError(f"`{argv[0]}` may not be run: permission denied") from error
    is_over = False
    try:
        _note(process.pid)
        yield process
        is_over = process.returncode is not None
    finally:
        with anyio.CancelScope(shield=True):
            if not is_over:
                await _end(process)
            await process.aclose()


async def foreground(argv: Sequence[str]) -> int:
    """The exit code of a child that has our terminal for itself until it ends, and with it what Ctrl-C means.

    Raises EngineError where the program is not there.
    """
    with trace.command(argv) as told, _job_control() as ours:
        try:
            child = subprocess.Popen(list(argv), process_group=0)  # noqa: ASYNC220 - on the terminal, nothing to await
        except FileNotFoundError as error:
            raise EngineError(f"`{argv[0]}` is not installed, or not on PATH") from error
        try:
            _note(child.pid)
            with contextlib.suppress(OSError):  # one that has ended already has no group
                os.tcsetpgrp(0, child.pid)
                os.killpg(child.pid, signal.SIGCONT)  # it may have asked for the terminal before it had it
            code = await anyio.to_thread.run_sync(child.wait, abandon_on_cancel=True)
            told.outcome = f"exit {code}"
            return code
        finally:
            if child.returncode is None:
                child.terminate()
            with contextlib.suppress(OSError):  # the terminal has gone
                os.tcsetpgrp(0, ours)


@contextlib.contextmanager
def _job_control() -> Iterator[int]:
    """Our own process group, which may take the terminal back from another one meanwhile."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield os.getpgrp()
    finally:
        signal.signal(signal.SIGTTOU, before)


def _text(data: bytes | bytearray) -> str:
    return data.decode(errors="backslashreplace")


def detach(argv: Sequence[str], *, pass_fds: Sequence[int], log: int) -> int:
    """The pid of a child that outlives us: own session, root folder, output to the descriptor `log`."""
    with trace.command(argv) as told:
        told.outcome = "goes on"
    child = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )
    child.returncode = 0  # it is never waited for: without this, Popen warns when it is collected
    return child.pid


def record_children(path: str | None) -> None:
    """From now on every child is written to that file before it is waited for, so that others can end it.

    Raises StateError if the file is a link, or somebody else's.
    """
    global _record  # noqa: PLW0603 - one process, one record, like its children themselves
    if path is not None:
        with contextlib.suppress(OSError):  # a full disk
            private_files.append(path, "")
    _record = path


async def end_recorded(path: str, grace: float = 3.0) -> None:
    """The children named in a dead run's record ended: interrupted, after `grace` seconds killed.

    A pid counts only with the start time that was written beside it, since pids are used again.
    """
    alive = [(pid, begun) for pid, begun in _recorded(path) if start_time(pid) == begun]
    for sign in (signal.SIGINT, signal.SIGKILL):
        for pid, begun in alive:
            if start_time(pid) in (begun, None):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, sign)
        with anyio.move_on_after(grace):
            while any(start_time(pid) == begun for pid, begun in alive):  # noqa: ASYNC110 - not our children
                await anyio.sleep(0.05)


def start_time(pid: int) -> str | None:
    """When a living process began, in a form that is good for comparing only; None where there is none."""
    if not os.path.isdir("/proc/self"):
        shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "".join(shown.stdout.split()) or None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == b"Z" else f"{fields[18].decode()}@{_boot()}"


@functools.cache
def _boot() -> str:
    """Linux counts start times from the boot: after another one, they say nothing of what was before."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return ""


def _recorded(path: str) -> list[tuple[int, str]]:
    rows = list[list[str]]()
    with contextlib.suppress(StateError):  # not ours: no reason to leave containers and networks in place
        rows = [line.split() for line in (private_files.read(path) or "").splitlines()]
    return [(int(row[0]), row[1]) for row in rows if len(row) == 2]  # noqa: PLR2004 - a torn last line is no row


def _note(pid: int) -> None:
    if _record is not None:
        with contextlib.suppress(OSError, StateError):  # a full disk; the child runs already
            private_files.append(_record, f"{pid} {start_time(pid) or '-'}\n")


async def _end(process: Process) -> None:
    ladder = ((signal.SIGINT, INTERRUPT_GRACE), (signal.SIGTERM, TERMINATE_GRACE), (signal.SIGKILL, 60.0))
    for sign, grace in ladder if process.returncode is None else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
            os.killpg(process.pid, sign)
        with anyio.move_on_after(grace):
            await process.wait()
            break
    with contextlib.suppress(PermissionError):
        _end_rest(process.pid)


def _end_rest(leader: int) -> None:
    """The children of a child that has ended are killed, where they did not go with it.

    Nobody else gets its number while one of them lives: who has it is a stranger.
    """
    try:
        os.kill(leader, 0)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)


async def _drain(source: ByteReceiveStream | None, into: bytearray, on_line: OnLine | None) -> None:
    assert source is not None  # noqa: S101 - `open_process` makes a pipe of both by default
    begun = 0
    async for chunk in source:
        into += chunk
        while on_line and (end := into.find(b"\n", begun)) >= 0:
            on_line(_text(into[begun:end]))
            begun = end + 1
    if on_line and begun < len(into):
        on_line(_text(into[begun:]))


async def _feed(process: Process, data: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - `started` was asked for it
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.send(data)
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()


def replace(argv: Sequence[str], env: Mapping[str, str] | None = None) -> NoReturn:
    """Nothing: our own process becomes the program. Raises EngineError where the program is not there."""
    with trace.command(argv) as told:
        told.outcome = "takes over"
    try:
        os.execvpe(argv[0], list(argv), {**os.environ, **(env or {})})  # noqa: S606 - no shell is wanted
    except FileNotFoundError as error:
        raise EngineError(f"`{argv[0]}` is not installed, or not on PATH") from error


def handed_over(data: bytes) -> str:
    """A path by which the program that replaces us reads `data`; no other can, and no file has that name."""
    descriptor = scratch()
    os.set_inheritable(descriptor, True)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return f"/dev/fd/{descriptor}"


def scratch() -> int:
    """A descriptor of an empty file that has no name, in memory if the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("devenv")
    import tempfile  # noqa: PLC0415 - not on Linux

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
