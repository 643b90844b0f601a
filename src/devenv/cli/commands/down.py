"""`devenv down` of a run in the background: its keeper ends it, and this process shows how.

The keeper is asked before most modules are imported. `up.down` is the command for all other runs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from devenv.cli import main, options
from devenv.events import Notice, Stopped
from devenv.run import client
from devenv.run.view_messages import TimedEvent, message_of

if TYPE_CHECKING:
    import _socket

GOES_ON = "the run still ends, in the background"


def show(stream: _socket.socket, arguments: list[str]) -> int:
    """Show the events of the keeper; return the exit code.

    If it did not end the run, the command with these arguments is run here. Ctrl-C only ends this process.
    """
    options.begin(arguments)
    options.shared.typed_name = next(iter(options.values(arguments, "-p", "--project-name")), None)
    console, has_begun, stopped = options.console(), False, None
    try:
        for line in client.lines(stream):
            if line.isdigit():  # an answer: the run is in the foreground, or of another version
                break
            with contextlib.suppress(ValueError, TypeError, KeyError):  # of another version
                if isinstance(message := message_of(line), TimedEvent):
                    has_begun = True
                    console.emit(message.event, message.at)
                    stopped = message.event if isinstance(message.event, Stopped) else stopped
    except KeyboardInterrupt:
        if has_begun:
            console.emit(Notice(GOES_ON, "devenv ls"))
        return main.INTERRUPTED
    return main.run(arguments) if stopped is None else int(bool(stopped.survivors))
