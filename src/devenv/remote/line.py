"""The line to an engine on another machine: one ssh process, started again after each loss, for all connections.

OpenSSH does the work, so that the user's configuration, agents, jump hosts and keys count. A thread watches the
process: the line has to last through a teardown, whichever tasks are cancelled.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import anyio
import anyio.to_thread

from devenv.docker import process, ssh_lines
from devenv.docker.endpoint import LAST_BYTES, Endpoint, WayError, reason, unreachable
from devenv.docker.ssh_lines import SOCKET
from devenv.errors import DevenvError, StateError
from devenv.events import Emit, Notice
from devenv.lazy_dataclass import dataclass
from devenv.remote import ssh
from devenv.remote.folder import LineFolder, folder
from devenv.remote.forwards import Forward
from devenv.remote.hand_over import AdoptedProcess, LeftLine, left_in
from devenv.remote.ssh import Remote
from devenv.remote.wake_pipe import WakePipe

FIRST_WAIT = 60.0  # seconds for the first login: somebody may have to touch a key
AGAIN_WAIT = 15.0  # seconds for each later one
LOOK_EVERY = 0.02
SOON = 4.0  # seconds within which a line is usually back, if the machine can be reached
SHAKY = 2.0  # seconds after a line is back in which requests from before may fail
ANSWER_WAIT = 10.0
CONTROL_WAIT = 10.0
GRACE = 2.0


@dataclass(frozen=True, slots=True)
class LineState:
    """Whether the line is up, since when (`time.monotonic`), and what ssh said when it was lost."""

    is_up: bool
    since: float
    printed: str = ""


class Line:
    """The line to one machine. Its methods block; `close` may be called while another thread is in one of them.

    `left`: go on with the ssh process that another process has left.
    """

    def __init__(self, remote: Remote, folder: LineFolder, left: LeftLine | None = None) -> None:
        self.remote = remote
        self.folder = folder
        self.state = LineState(is_up=False, since=time.monotonic())
        self._left = left
        self._child: process.DependentProcess | AdoptedProcess | None = None
        self._forwards = _Forwards(self._request, frozenset(left.forwards if left else ()))
        self._asked: dict[str, Future[str]] = {}
        self._over = threading.Event()
        self._began = threading.Event()  # the first attempt has ended
        self._changes = WakePipe()
        # What the machine printed about its sockets, if the one that was tried does not answer; None until ssh has
        # logged in.
        self.found: str | None = None
        self._thread = threading.Thread(target=self._keep, name="line", daemon=True)

    @property
    def socket(self) -> str:
        """The path of the socket on this machine that leads to the engine."""
        return f"{self.folder.path}/{SOCKET}"

    @property
    def is_shaky(self) -> bool:
        """Whether the line is down, or was until a moment ago: requests from before then fail."""
        return not self.state.is_up or time.monotonic() - self.state.since < SHAKY

    @property
    def is_lost(self) -> bool:
        """Whether the line has been down for longer than it takes to log in again."""
        return not self.state.is_up and time.monotonic() - self.state.since > SOON

    def begin(self) -> None:
        """Begin to log in, in a thread."""
        self._thread.start()

    def open(self) -> bool:
        """Log in; return whether the engine answers over the line. `state.printed` has the reason if not."""
        if self._thread.ident is None:
            self.begin()
        self._began.wait()
        return self.state.is_up

    async def changed(self) -> LineState:
        """Wait until the line was lost or is back; the new state."""
        await self._changes.wait()
        return self.state

    def forward(self, wanted: frozenset[Forward]) -> dict[Forward, str]:
        """Forward these ports and no others, now and after each reconnection; the errors of those that failed.

        While the line is lost, nothing is done yet.
        """
        return self._forwards.want(wanted, lambda: self.state.is_up)

    def _request(self, action: str, forwards: Iterable[Forward]) -> str:
        places = [forward.argument for forward in forwards]
        done = process.brief(ssh.request(self.remote, self.folder.path, action, places), CONTROL_WAIT)
        return (reason(done.error_text) or f"exit {done.returncode}") if done.returncode else ""

    def begin_to_ask(self, command: str) -> None:
        """Run a shell command on the other machine, after the first login; the next `ask` returns the output.

        A second call before the `ask` does nothing.
        """

        def run() -> None:
            self._began.wait()
            answer.set_result(self._run(command))

        if command not in self._asked:
            answer = self._asked[command] = Future[str]()
            threading.Thread(target=run, daemon=True).start()

    def ask(self, command: str) -> str:
        """The output of a shell command on the other machine; empty after an error."""
        answer = self._asked.pop(command, None)
        return self._run(command) if answer is None else answer.result()

    def _run(self, command: str) -> str:
        return process.brief(ssh.control(self.remote, self.folder.path, command), CONTROL_WAIT).text

    def leave(self) -> tuple[int, ...]:
        """Leave ssh to a child of this process (see `left_in`), and return the descriptors that it has to inherit.

        There are none if the line is lost: then the child has to log in. The line cannot be used afterwards.
        """
        if not isinstance(child := self._child, process.DependentProcess) or not self.state.is_up:
            return ()
        place, forwards = self.folder, tuple(self._forwards.active)
        left = LeftLine(self.remote, *child.identity, child.pipe, child.errors, place.lock, forwards)
        try:
            left.write(place.path)
        except (OSError, StateError):  # a full disk
            return ()
        place.is_left = True
        self._over.set()
        return left.descriptors

    def close(self) -> None:
        """End the process; nothing of it is left. The line cannot be used again. A second call does nothing."""
        if self._over.is_set():
            return
        self._over.set()
        if (child := self._child) is not None:
            child.end(GRACE)
        if self._thread.ident is not None:
            self._thread.join()
        self._changes.close()

    def _keep(self) -> None:
        """Log in again and again until `close`; but only once if the first login fails."""
        wait, failures, pauses = FIRST_WAIT, 0, ssh.pauses()
        if self._left is not None:
            self._go_on(AdoptedProcess(self._left))
        while not self._over.is_set():
            was_up, printed = False, ""
            try:
                was_up, printed = self._connect(wait)
            except (DevenvError, OSError) as error:
                printed = str(error)
            self._set(is_up=False, printed=printed)
            if not self._began.is_set():
                self._began.set()
                return
            failures = 0 if was_up else failures + 1
            wait = AGAIN_WAIT
            self._over.wait(pauses[min(failures, len(pauses) - 1)])
        self._began.set()

    def _go_on(self, child: AdoptedProcess) -> None:
        """Use the ssh that another process has left, to its end."""
        if self._stay(child, AGAIN_WAIT):
            self._set(is_up=False, printed=_last(child.errors))

    def _connect(self, wait: float) -> tuple[bool, str]:
        """Run ssh to its end; return whether the engine has answered over it, and what ssh has printed."""
        for name in (SOCKET, ssh.CONTROL):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.folder.path}/{name}")
        with open(process.scratch(), "r+b", buffering=0) as errors:
            places = sorted(forward.argument for forward in self._forwards.begin())
            command = ssh.master(self.remote, self.folder.path, self.socket, places)
            is_up = self._stay(process.DependentProcess(command, errors.fileno(), self.folder.path), wait)
            return is_up, _last(errors.fileno())

    def _stay(self, child: process.DependentProcess | AdoptedProcess, wait: float) -> bool:
        """Wait until ssh has ended; return whether the engine has answered over it."""
        self._child = child
        try:
            if is_up := self._until_up(child, wait):
                self._set(is_up=True)
                self._forwards.catch_up()
                self._began.set()
                child.wait(None)
        finally:
            child.end(GRACE)
        return is_up

    def _until_up(self, child: process.DependentProcess | AdoptedProcess, wait: float) -> bool:
        end = time.monotonic() + wait
        while time.monotonic() < end and not self._over.is_set() and not child.wait(LOOK_EVERY):
            if (answer := _answers(self.socket)) is not None:
                self.found = self.found or ""
                if not answer and not self._began.is_set():
                    self.found = self.ask(ssh.find_socket(self.remote.socket))
                return answer
        return False

    def _set(self, *, is_up: bool, printed: str = "") -> None:
        since = self.state.since if is_up == self.state.is_up else time.monotonic()
        is_change, self.state = is_up != self.state.is_up, LineState(is_up, since, printed)
        if is_change:
            self._changes.wake()


class _Forwards:
    """The forwards of a line: those that are wanted, and those that its current ssh has. `request` asks this ssh."""

    def __init__(self, request: Callable[[str, Iterable[Forward]], str], active: frozenset[Forward]) -> None:
        self._request = request
        self._wanted = self.active = active
        self._turn = threading.Lock()

    def want(self, wanted: frozenset[Forward], is_up: Callable[[], bool]) -> dict[Forward, str]:
        """Replace the wanted forwards, and apply the difference if the line is up; the errors."""
        with self._turn:
            self._wanted = wanted
            return self._apply() if is_up() else {}

    def begin(self) -> frozenset[Forward]:
        """The forwards with which a new ssh is started."""
        with self._turn:
            self.active = self._wanted
            return self.active

    def catch_up(self) -> None:
        """Apply what has changed since this ssh was started."""
        with self._turn:
            self._apply()

    def _apply(self) -> dict[Forward, str]:
        if ended := self.active - self._wanted:
            self._request("cancel", ended)
            self.active -= ended
        errors: dict[Forward, str] = {}
        if (new := self._wanted - self.active) and self._request("forward", new):
            # The first that fails ends the request, and nothing tells which it is.
            errors = {each: error for each in new if (error := self._request("forward", [each]))}
        self.active |= new - errors.keys()
        return errors


def _last(errors: int) -> str:
    """The last bytes of a standard error."""
    size = os.fstat(errors).st_size
    return os.pread(errors, LAST_BYTES, max(size - LAST_BYTES, 0)).decode(errors="replace")


def _answers(path: str) -> bool | None:
    """Whether the engine answers at this socket; None if nothing listens there yet."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_WAIT)
        try:
            connection.connect(path)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/")
        return False


Login = tuple[Endpoint, Line | None]  # an engine, and the line to it if a login has begun


def _remote(endpoint: Endpoint) -> Remote | None:
    """The machine to which a line is possible."""
    return ssh.remote(endpoint.host) if hasattr(socket, "AF_UNIX") else None


@contextlib.contextmanager
def begun(endpoint: Endpoint) -> Iterator[Line | None]:
    """The line to the engine's machine, whose login begins now, in a thread; it is closed after the block.

    For `line`. None for an engine that is not reached by ssh. Raises StateError, OSError.
    """
    if (remote := _remote(endpoint)) is None:
        yield None
        return
    with folder(endpoint.host) as path:
        first = Line(remote, path)
        first.begin()
        try:
            yield first
        finally:
            first.close()


@contextlib.contextmanager
def left(path: str, endpoint: Endpoint) -> Iterator[Line | None]:
    """The line to the engine that the process before this one left in the folder `path`, closed after the block.

    For `line`. None if this process has not inherited it, or if the engine is another one.
    """
    found = left_in(path)
    if found is None or ssh_lines.read_address(path) != endpoint.host:
        yield None
        return
    with found[1].removed() as place, contextlib.closing(Line(found[0].remote, place, found[0])) as opened:
        yield opened


@contextlib.asynccontextmanager
async def line(
    endpoint: Endpoint, emit: Emit, login: Line | None = None
) -> AsyncIterator[tuple[Endpoint, Line | None]]:
    """As `line_for_requests`, but children use the line too. The block has to end in the task in which it began."""
    async with line_for_requests(endpoint, emit, login) as (reached, opened):
        with process.environment(reached.environment if opened else {}):
            yield reached, opened


@contextlib.asynccontextmanager
async def line_for_requests(
    endpoint: Endpoint, emit: Emit, login: Line | None = None
) -> AsyncIterator[tuple[Endpoint, Line | None]]:
    """The endpoint as it is reached while the block lasts, and the line if there is one; `login` has begun already.

    Without a line, requests go the way of the docker command, which a notice says if the engine is reached by ssh.
    Raises EngineError with the words of ssh if it cannot log in.
    """
    remote = _remote(endpoint)
    if remote is None:
        yield endpoint, None
        return
    with contextlib.ExitStack() as stack:
        opened = await _opened(stack, endpoint, remote, emit, login)
        if opened is None:
            yield endpoint, None
            return
        yield replace(endpoint, line=opened.socket, is_borrowed=False), opened


async def _opened(
    stack: contextlib.ExitStack, endpoint: Endpoint, remote: Remote, emit: Emit, login: Line | None
) -> Line | None:
    """The open line, which `stack` closes; None if the machine can be reached, but not in this way."""
    path = stack.enter_context(folder(endpoint.host)) if login is None else login.folder
    for _ in range(2):
        opened, login = login or Line(remote, path), None
        with contextlib.ExitStack() as attempt:
            attempt.callback(opened.close)
            if await anyio.to_thread.run_sync(opened.open, abandon_on_cancel=True):
                stack.push(attempt.pop_all())
                return opened
        if opened.found is None:
            words = reason(opened.state.printed) or "ssh has ended without a message"
            raise unreachable(endpoint, "", words) from WayError(words)
        if (elsewhere := ssh.found_socket(opened.found, remote.socket)) is None:
            break
        remote = replace(remote, socket=elsewhere)
    lack = ssh.missing(opened.found or "")
    emit(Notice(f"there is no line to {remote.name}, so each request logs in by itself: {lack}"))
    return None
