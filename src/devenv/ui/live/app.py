"""Run the live view of `up` and `attach`: connect the terminal to the pure state and screen."""

from __future__ import annotations

import functools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from devenv import events as e
from devenv.bounded_search import BoundedSearch
from devenv.errors import DevenvError
from devenv.lazy_imports import LazyImports
from devenv.model.graph import Fact, ViewCommand
from devenv.run.view_messages import CommandEnd, Message, TimedEvent
from devenv.tasks import task_group
from devenv.ui.console import Console
from devenv.ui.live import commands
from devenv.ui.live.screen import screen
from devenv.ui.live.state import State, ViewTools
from devenv.ui.live.terminal import Terminal, keys

with LazyImports():  # takes long, and few open a browser
    import webbrowser

if TYPE_CHECKING:
    from devenv.run.page import PageAddress

FRAME = 1 / 15  # seconds between two drawings, at least
REST = 4.0  # the pause after a drawing, as a multiple of its duration
A_LINE = 0.00005  # seconds that a filter may take for a line; a second for all lines kept
TICK = 10.0  # seconds after which the ages on the screen may be out of date
BUSY_TICK = 1.0
ASLEEP = 0.3  # seconds between checks whether the view is in the foreground again
REPLAYED = 20  # lines of the log that are printed after a failed run
KEEPER_HINT = "devenv down"  # of the notice that a process in the background holds the run
DOWN = (e.Stopping, e.Stopped, e.Failed, e.Kept, e.VolumesStay)


class Controller(Protocol):
    """Carries out commands of the view."""

    def ask(self, command: ViewCommand) -> None:
        """Carry out the command, without waiting for it."""

    async def page(self) -> PageAddress:
        """The address of the page that shows the run. Raises DevenvError."""

    async def shell(self, container: str, /) -> None:
        """Run a shell of the container on the terminal. Raises DevenvError if the container has no shell."""


class LiveView:
    """Shows a run on the terminal until it stops; later events go to the console."""

    def __init__(self, console: Console, *, is_attached: bool = False) -> None:
        search = functools.partial(BoundedSearch, a_line=A_LINE)
        self.state = State(verbose=console.verbose, tools=ViewTools(search, _time_of_day), is_attached=is_attached)
        self.controller: Controller | None = None
        self._console = console
        self._terminal = Terminal(colour=console.colour)
        self._changed = anyio.Event()
        self._is_over = False
        self._last_words = e.Notice("left running; saves are not synced until `devenv up`", "devenv down")

    async def run(self, work: Callable[[], Awaitable[int]]) -> int:
        """Show the view while the work runs, and return its result. Always restores the terminal."""
        try:
            for sign in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(sign, self._killed)  # until the run handles them itself
            self._terminal.enter()
            async with task_group() as tasks:
                for task in (self._handle_signals, self._read, self._draw):
                    tasks.start_soon(task)
                code = await work()
                tasks.cancel_scope.cancel()
            self._detached()
        except BaseException:
            self.leave(failed=True)
            raise
        finally:
            self.leave()
        return code

    def _killed(self, sign: int, _frame: object) -> None:
        """Restore the terminal, and end by a signal that came before the run handles signals."""
        self.leave()
        signal.signal(sign, signal.SIG_DFL)
        signal.raise_signal(sign)

    def emit(self, event: e.Event) -> None:
        """Show an event."""
        if isinstance(event, DOWN) or (isinstance(event, e.Step) and event.name == "before_down"):
            self.leave(failed=isinstance(event, e.Stopping) and event.reason in ("error", "done"))
        if isinstance(event, e.Notice) and self.state.view.is_detaching and event.hint == KEEPER_HINT:
            self._last_words = event
        self._tell(event, time.time())

    def put(self, message: Message) -> None:
        """Show a message of a run in another process."""
        match message:
            case TimedEvent(at, event):
                self._tell(event, at)
            case CommandEnd(service, why):
                self.settled(service, why)
            case _:
                self.learn(message)

    def _tell(self, event: e.Event, at: float) -> None:
        """Show an event that came at this time, in seconds since 1970."""
        if self._is_over:
            self._console.emit(event)
        else:
            shown = self._console.with_options(event)
            self._safely(lambda: self.state.tell(shown, time.monotonic() - (time.time() - at)))

    def learn(self, fact: Fact) -> None:
        """Show a fact."""
        self._safely(lambda: self.state.learn(fact))

    def settled(self, service: str, why: str) -> None:
        """Show that a command for the service is done, or why it failed."""
        self._safely(lambda: self.state.settled(service, why))

    def _safely(self, change: Callable[[], object]) -> None:
        """Make the change; a bug in the view ends it, while the run goes on with plain lines."""
        try:
            change()
        except Exception as error:  # noqa: BLE001 - as above
            self.leave()
            self._console.emit(e.Problem(f"the view has failed ({type(error).__name__}: {error}); this is a bug"))
        self._changed.set()

    def leave(self, *, failed: bool = False) -> None:
        """Restore the terminal for good; if the run failed, print the last lines of its log."""
        if self._is_over:
            return
        self._is_over = True
        self._terminal.leave()
        if failed:
            for line in self.state.log.recent(REPLAYED):
                if line.service:
                    self._console.emit(e.Log(line.service, line.raw, level=line.level))
                else:
                    self._console.line(line.text)

    def _detached(self) -> None:
        """Print what is left running, if the view was shown until the run detached."""
        if self.state.view.is_detaching and self.state.ready and not self._is_over:
            self.leave()
            self._console.emit(self.state.ready.event)
            self._console.emit(self._last_words)

    async def _draw(self) -> None:
        while not self._is_over:
            began = time.perf_counter()
            self._safely(self._draw_once)
            self._changed = anyio.Event()
            took = time.perf_counter() - began
            await anyio.sleep(max(FRAME, REST * took))
            if self._terminal.is_behind:  # only the drawing waits for a slow terminal
                await anyio.wait_writable(self._terminal.descriptor)
                continue
            calm = self.state.step is None and self.state.progress.is_empty
            with anyio.move_on_after(TICK if calm else BUSY_TICK):
                await self._changed.wait()

    def _draw_once(self) -> None:
        if self._terminal.is_entered:
            size = self._terminal.size()
            self._terminal.draw(screen(self.state, *size, time.monotonic()), size)

    async def _read(self) -> None:
        rest = b""
        while not self._is_over:
            await anyio.wait_readable(0)
            if not self._terminal.is_entered:  # input is for the shell that stopped us
                await anyio.sleep(ASLEEP)
                continue
            try:
                data = b"" if self._is_over else os.read(0, 4096)
            except OSError:
                data = b""
            if not data:  # the terminal is gone, or another process has it
                return
            typed, rest = keys(rest + data)
            for key in typed:
                if command := commands.press(self.state, key):
                    await self._carry_out(command)
                    if command.verb == "quit":  # a repeated key must not act as a second Ctrl-C
                        return
                    if command.verb == "shell":  # the following keys were for the shell
                        break
            self._changed.set()

    async def _carry_out(self, command: ViewCommand) -> None:
        match command.verb:
            case "quit":
                signal.raise_signal(signal.SIGINT)
            case "shell":
                await self._shell(command.service)
            case "open":
                await self._open(command.service)
            case "page":
                await self._page()
            case _:
                assert self.controller is not None  # noqa: S101 - the work has set it
                self.controller.ask(command)

    async def _shell(self, container: str) -> None:
        assert self.controller is not None  # noqa: S101 - as above
        self._terminal.leave()
        try:
            await self.controller.shell(container)
        except DevenvError as error:
            self.state.view.note = error.said
        finally:
            if not self._is_over:
                self._terminal.enter()

    async def _page(self) -> None:
        assert self.controller is not None  # noqa: S101 - as above
        try:
            address = await self.controller.page()
        except DevenvError as error:
            self.state.view.note = error.said
        else:
            await self._open(address.url, address.once)

    async def _open(self, url: str, once: str = "") -> None:
        graphical = os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} or os.uname().sysname == "Darwin"
        if not graphical or not await anyio.to_thread.run_sync(webbrowser.open, once or url):
            self.state.view.note = f"no browser here: {url}"

    async def _handle_signals(self) -> None:
        """Handle a new size of the terminal, and Ctrl-Z."""
        with anyio.open_signal_receiver(signal.SIGWINCH, signal.SIGTSTP) as signals:
            async for sign in signals:
                if sign == signal.SIGTSTP:
                    await self._suspend()
                self._safely(self._draw_once)

    async def _suspend(self) -> None:
        """Restore the terminal and stop; once continued and in the foreground, draw again."""
        was_entered = self._terminal.is_entered
        self._terminal.leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        while was_entered and not self._is_over and not _is_in_front():  # noqa: ASYNC110 - a shell sends no event
            await anyio.sleep(ASLEEP)
        if was_entered and not self._is_over:
            self._terminal.enter()


def is_wanted() -> bool:
    """Whether input and output are a terminal that can be drawn on and is in our foreground, outside CI."""
    terminals = os.isatty(0) and os.isatty(1) and _is_in_front()
    return terminals and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")


def _time_of_day(at: float) -> str:
    """The time of day at a moment of the monotonic clock."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + at))


def _is_in_front() -> bool:
    """Whether this process is in the foreground of the terminal, and may draw and read."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # not the controlling terminal, which alone stops processes in the background
        return True
