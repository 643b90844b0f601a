"""Child processes (a connection has its own): in sessions of their own, ended by three signals on cancel."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, NoReturn

from devenv import package_text, private_files
from devenv.docker import context, trace
from devenv.errors import EngineError, StateError
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from anyio.abc import ByteReceiveStream, Process

with LazyImports():  # `start_time` needs none of these
    import shutil
    import subprocess
    import tempfile

    import anyio

INTERRUPT_GRACE = 3.0
TERMINATE_GRACE = 2.0

OnLine = Callable[[str], object]
OnOutput = Callable[[str, str], object]  # a line, and the stream that it came from

_record: str | None = None
_running = set[int]()  # the pids of children by `started`
_ENVIRONMENT: ContextVar[Mapping[str, str]] = ContextVar("environment", default={})  # noqa: B039 - never changed


@dataclass(frozen=True, slots=True)
class Completed:
    """The exit code and output of a child that has ended."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, with undecodable bytes escaped."""
        return _text(self.stdout)

    @property
    def error_text(self) -> str:
        """Standard error as text, with undecodable bytes escaped."""
        return _text(self.stderr)


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | Callable[[], Awaitable[bytes]] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    on_line: OnLine | None = None,
    on_error_line: OnLine | None = None,
) -> Completed:
    """Run a child to its end. On cancel it is interrupted, then terminated, then killed, and always reaped.

    The child may be started before its input is known, which a function then returns; on cancel the input ends first.
    `on_line` and `on_error_line` get each line of its output as it comes. `env` is added to our environment.
    Raises EngineError if the program is not installed.
    """
    out, err = bytearray(), bytearray()
    with trace.command(argv) as span:
        async with started(argv, stdin=stdin is not None, env=env, cwd=cwd) as process:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_drain, process.stdout, out, on_line)
                tasks.start_soon(_drain, process.stderr, err, on_error_line)
                if stdin is not None:
                    tasks.start_soon(_feed, process, stdin)
                await process.wait()
            span.outcome = f"exit {process.returncode}"
            return Completed(process.returncode or 0, bytes(out), bytes(err))


async def git(folder: str, *arguments: str, stdin: bytes | None = None) -> bytes | None:
    """The output of a command of git in the folder; None if it fails or git is not installed."""
    try:
        done = await run(["git", "-c", "core.fsmonitor=false", "-C", folder, *arguments], stdin=stdin)
    except EngineError:
        return None
    return None if done.returncode else done.stdout


@contextlib.asynccontextmanager
async def started(
    argv: Sequence[str], *, stdin: bool = False, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> AsyncIterator[Process]:
    """Run a child in a session of its own while the block lasts; the child has always ended afterwards."""
    command, given = context.without_cli(argv)
    try:
        with anyio.CancelScope(shield=True):  # a cancel during the start would leave a running child
            process = await anyio.open_process(
                command,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                env={**surroundings(argv[0]), **given, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        if cwd is not None and not os.path.isdir(cwd):
            raise EngineError(f"the folder {cwd} does not exist") from error
        raise _not_installed(argv) from error
    except PermissionError as error:
        raise EngineError(f"cannot run `{argv[0]}`: permission denied") from error
    is_over = False
    _running.add(process.pid)
    try:
        _note(process.pid)
        yield process
        is_over = process.returncode is not None
    finally:
        with anyio.CancelScope(shield=True):
            if not is_over:
                await _end(process)
            _running.discard(process.pid)
            await process.aclose()


def surroundings(program: str = "") -> dict[str, str]:
    """The environment of children: ours, and the variables that `environment` adds.

    The program `docker` uses the ssh connection (`remote.line`) of a run that is up, unless this process has its own.
    """
    return {**os.environ, **(_ENVIRONMENT.get() or context.line_environment(program))}


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Add variables to the environment of each child of this task, and of its tasks, while the block lasts.

    Children that `detach` starts, which outlive this process, do not get them.
    """
    token = _ENVIRONMENT.set({**_ENVIRONMENT.get(), **variables})
    try:
        yield
    finally:
        _ENVIRONMENT.reset(token)


class DependentProcess:
    """A child that ends when this process ends, also if this process is killed. Its methods block.

    It runs below a shell, in a session of its own; `errors` is the descriptor of its standard error. `folder` is
    removed if this process dies.

    Raises EngineError if the program is not installed.
    """

    def __init__(self, argv: Sequence[str], errors: int, folder: str) -> None:
        with trace.command(argv) as span:
            span.outcome = "goes on"
        if shutil.which(argv[0]) is None:
            raise _not_installed(argv)
        self.errors = errors
        command = ["/bin/sh", "-c", package_text("docker/dependent.sh"), "sh", folder, *argv]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        assert self._child.stdin is not None  # noqa: S101 - a pipe by its arguments
        self._stdin = self._child.stdin
        _note(self._child.pid)

    @property
    def identity(self) -> tuple[int, str]:
        """The pid and the start time of the shell."""
        return self._child.pid, start_time(self._child.pid) or ""

    @property
    def pipe(self) -> int:
        """The descriptor that has to be open in some process as long as the child is to live."""
        return self._stdin.fileno()

    def wait(self, seconds: float | None) -> bool:
        """Wait until the child has ended, for at most `seconds`; return whether it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        return self._child.returncode is not None

    def end(self, grace: float) -> None:
        """End the child, which is killed after `grace` seconds."""
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended, or another thread was faster
            self._stdin.write(b"end\n")
            self._stdin.close()
        if not self.wait(grace):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()


def brief(argv: Sequence[str], seconds: float) -> Completed:
    """Run a short child, which is killed after `seconds`; exit code 1 if it could not be run. Blocking."""
    with trace.command(argv) as span, contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            list(argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False,
            start_new_session=True,
        )  # fmt: skip
        span.outcome = f"exit {done.returncode}"
        return Completed(done.returncode, done.stdout, done.stderr)
    return Completed(1, b"", b"")


async def foreground(argv: Sequence[str]) -> int:
    """Run a child to its end in the foreground of our terminal, where it gets Ctrl-C, and return its exit code."""
    with trace.command(argv) as span, _job_control() as ours:
        try:
            child = subprocess.Popen(list(argv), process_group=0, env=surroundings(argv[0]))  # noqa: ASYNC220 - on the terminal, nothing to await
        except FileNotFoundError as error:
            raise _not_installed(argv) from error
        try:
            _note(child.pid)
            with contextlib.suppress(OSError):  # a child that has ended already has no group
                os.tcsetpgrp(0, child.pid)
                os.killpg(child.pid, signal.SIGCONT)  # the child stopped if it used the terminal too early
            code = await anyio.to_thread.run_sync(child.wait, abandon_on_cancel=True)
            span.outcome = f"exit {code}"
            return code
        finally:
            if child.returncode is None:
                child.terminate()
            with contextlib.suppress(OSError):  # the terminal is gone
                os.tcsetpgrp(0, ours)


@contextlib.contextmanager
def _job_control() -> Iterator[int]:
    """Our process group, which may take the terminal back from another group while the block lasts."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield os.getpgrp()
    finally:
        signal.signal(signal.SIGTTOU, before)


def _text(data: bytes | bytearray) -> str:
    return data.decode(errors="backslashreplace")


def detach(argv: Sequence[str], *, pass_fds: Sequence[int], log: int) -> int:
    """Start a child that outlives us, in a session of its own and in `/`; return its pid. `log` gets its output."""
    with trace.command(argv) as span:
        span.outcome = "goes on"
    child = subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        start_new_session=True,
        pass_fds=tuple(pass_fds),
    )
    child.returncode = 0  # nobody waits for the child: Popen would warn when it is garbage-collected
    return child.pid


def record_children(path: str | None) -> None:
    """Write each child that runs, and from now on each new one, to the file at `path`: others can end them."""
    global _record  # noqa: PLW0603 - one process, one record, like its children themselves
    if path is not None:
        with contextlib.suppress(OSError):  # a full disk
            private_files.append(path, "")
    _record = path
    for pid in _running:
        _note(pid)


async def end_recorded(path: str, grace: float = 3.0) -> None:
    """End the children in the record of a dead run: interrupt them, kill them after `grace` seconds.

    Pids are used again: a process is only ended if its start time is in the record.
    """
    alive = [(pid, start) for pid, start in _recorded(path) if start_time(pid) == start]
    for sign in (signal.SIGINT, signal.SIGKILL):
        for pid, start in alive:
            if start_time(pid) in (start, None):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, sign)
        with anyio.move_on_after(grace):
            while any(start_time(pid) == start for pid, start in alive):  # noqa: ASYNC110 - not our children
                await anyio.sleep(0.05)


def start_time(pid: int) -> str | None:
    """The start time of a process, for comparison only; None if the process does not run."""
    if not os.path.isdir("/proc/self"):
        done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return "".join(done.stdout.split()) or None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == b"Z" else f"{fields[18].decode()}@{_boot()}"


@functools.cache
def _boot() -> str:
    """The id of the current boot, from which Linux counts start times."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return ""


def _recorded(path: str) -> list[tuple[int, str]]:
    rows = list[list[str]]()
    with contextlib.suppress(StateError):  # another user's file: containers and networks are still removed
        rows = [line.split() for line in (private_files.read(path) or "").splitlines()]
    return [(int(row[0]), row[1]) for row in rows if len(row) == 2]  # noqa: PLR2004 - the last line may be incomplete


def _note(pid: int) -> None:
    if _record is not None:
        with contextlib.suppress(OSError, StateError):  # a full disk must not fail a child that runs already
            private_files.append(_record, f"{pid} {start_time(pid) or '-'}\n")


async def _end(process: Process) -> None:
    signals = ((signal.SIGINT, INTERRUPT_GRACE), (signal.SIGTERM, TERMINATE_GRACE), (signal.SIGKILL, 60.0))
    for sign, grace in signals if process.returncode is None else ():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: permission denied for a zombie
            os.killpg(process.pid, sign)
        with anyio.move_on_after(grace):
            await process.wait()
            break
    # Kill the rest of the group. No process gets the pid of the leader while the group has a process: if there is a
    # process with that pid, the group is empty and the process is not ours.
    with contextlib.suppress(PermissionError):
        try:
            os.kill(process.pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def _drain(source: ByteReceiveStream | None, into: bytearray, on_line: OnLine | None) -> None:
    assert source is not None  # noqa: S101 - `open_process` makes pipes by default
    start = 0
    async for chunk in source:
        into += chunk
        while on_line and (end := into.find(b"\n", start)) >= 0:
            on_line(_text(into[start:end]))
            start = end + 1
    if on_line and start < len(into):
        on_line(_text(into[start:]))


async def _feed(process: Process, data: bytes | Callable[[], Awaitable[bytes]]) -> None:
    assert process.stdin is not None  # noqa: S101 - `started` has made a pipe
    closed = (anyio.BrokenResourceError, anyio.ClosedResourceError)
    try:
        given = data if isinstance(data, bytes) else await data()
        with contextlib.suppress(*closed):
            await process.stdin.send(given)
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(*closed):
            await process.stdin.aclose()


def exec_replace(argv: Sequence[str], env: Mapping[str, str] | None = None) -> NoReturn:
    """Replace our process by the program. Raises EngineError if the program is not installed."""
    with trace.command(argv) as span:
        span.outcome = "takes over"
    try:
        os.execvpe(argv[0], list(argv), {**surroundings(argv[0]), **(env or {})})  # noqa: S606 - no shell is wanted
    except FileNotFoundError as error:
        raise _not_installed(argv) from error


def _not_installed(argv: Sequence[str]) -> EngineError:
    return EngineError(f"`{argv[0]}` is not installed, or not on PATH")


def memfd_path(data: bytes) -> str:
    """A path to `data` in memory that only the program that replaces us can read."""
    descriptor = scratch()
    os.set_inheritable(descriptor, True)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return f"/dev/fd/{descriptor}"


def scratch() -> int:
    """A descriptor of an empty file without a name, in memory if the system supports that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("devenv")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
