"""`devenv down` of a run in the background: its keeper ends it, and this process shows how.

The keeper is asked before most modules are imported. `up.down` is the command for all other runs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import anyio

from devenv.cli import main, options
from devenv.events import Notice, Stopped
from devenv.lazy_dataclass import dataclass
from devenv.run import client
from devenv.run.view_messages import TimedEvent, message_of
from devenv.ui.console import Console

if TYPE_CHECKING:
    import _socket

GOES_ON = "the run still ends, in the background"


@dataclass
class KeeperView:
    """The events of a keeper that ends its run: `has_begun`, if it does; `stopped`: the last event."""

    stream: _socket.socket
    console: Console
    has_begun: bool = False
    stopped: Stopped | None = None

    async def show(self) -> None:
        """Show the events until the keeper closes the connection."""
        async for line in self._lines():
            if line.isdigit():  # an answer: the run is in the foreground, or of another version
                return
            self.has_begun = True
            with contextlib.suppress(ValueError, TypeError, KeyError):  # the empty line, or of another version
                if isinstance(message := message_of(line), TimedEvent):
                    self.console.emit(message.event, message.at)
                    self.stopped = message.event if isinstance(message.event, Stopped) else self.stopped

    async def _lines(self) -> AsyncIterator[bytes]:
        """The lines that the keeper sends, of which the first has to come within the time limit."""
        rest, patience = b"", client.PATIENCE
        self.stream.setblocking(False)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while True:
                with anyio.fail_after(patience):
                    await anyio.wait_readable(self.stream)
                if not (piece := self.stream.recv(1 << 16)):
                    return
                patience = math.inf
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    yield line


def show(stream: _socket.socket, arguments: list[str]) -> int:
    """Show the events of the keeper; return the exit code.

    If it did not end the run, the command with these arguments is run here. Ctrl-C only ends this process.
    """
    options.begin(arguments)
    options.shared.typed_name = next(iter(options.values(arguments, "-p", "--project-name")), None)
    view = KeeperView(stream, options.console())
    try:
        anyio.run(view.show)
    except KeyboardInterrupt:
        if view.has_begun:
            view.console.emit(Notice(GOES_ON, "devenv ls"))
        return main.INTERRUPTED
    finally:
        stream.close()
        view.console.close()
    return main.run(arguments) if view.stopped is None else int(bool(view.stopped.survivors))
