"""A detached process that outlives us: it waits at a pipe, and tears down what a dead run left.

Until the pipe closes it holds nothing but the standard library. A byte on the pipe before it closes says that
the run ended by itself and nothing is left to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devenv.engine.endpoint import Endpoint
    from devenv.lifecycle.rundir import Run

READY = b"ready"
TERMINAL = 6  # the place of its name among the arguments
AS_IT_WAS = b"\x1b[0m\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"


def main(argv: list[str]) -> int:
    """Stand by for a run. `argv`: lifeline and ready descriptors, endpoint, context, folder, drawn terminal."""
    lifeline, ready = int(argv[1]), int(argv[2])
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(sign, signal.SIG_IGN)
    os.write(ready, READY)
    os.close(ready)
    if os.read(lifeline, 1):
        return 0
    if len(argv) > TERMINAL:
        _give_back(argv[TERMINAL])
    return _take_over(endpoint=argv[3], context=argv[4] or None, folder=argv[5])


def _give_back(terminal: str) -> None:
    """The screen and the cursor of a terminal that was drawn on; how it takes keys, the shell sets anew by itself."""
    with contextlib.suppress(OSError):
        descriptor = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        os.write(descriptor, AS_IT_WAS)
        os.close(descriptor)


def _take_over(*, endpoint: str, context: str | None, folder: str) -> int:
    import anyio  # noqa: PLC0415 - standing by must stay small

    from devenv.engine.endpoint import Endpoint  # noqa: PLC0415 - as above
    from devenv.errors import StateError  # noqa: PLC0415 - as above
    from devenv.lifecycle.rundir import Run  # noqa: PLC0415 - as above

    run = Run(folder)
    try:
        with run.lock(wait=5.0, cleaning=True):
            return anyio.run(_finish, run, Endpoint(endpoint, context))
    except StateError:
        return 0  # a new run has taken the project over already


async def _finish(run: Run, endpoint: Endpoint) -> int:
    from devenv.engine import process  # noqa: PLC0415 - as above
    from devenv.engine.api import Engine  # noqa: PLC0415 - as above
    from devenv.lifecycle.ledger import Wish  # noqa: PLC0415 - as above
    from devenv.lifecycle.teardown import finish  # noqa: PLC0415 - as above

    def say(event: object) -> None:
        with contextlib.suppress(OSError):  # a full disk
            print(event, flush=True)  # noqa: T201 - its own log, not the terminal

    await process.end_recorded(run.children)  # a build, say, before anything was created
    ledger = run.read()
    if ledger is None or ledger.phase != "up":
        return 0
    async with Engine.connect(endpoint) as engine:
        return int(bool((await finish(engine, run, say, Wish.SAVE, "the devenv process died")).survivors))


class Guardian:
    """Our end of the pipe to a guardian that has acknowledged; let go by `dismiss` or by dying."""

    def __init__(self, endpoint: str, context: str | None, run: Run, terminal: str = "") -> None:
        from devenv import statefiles  # noqa: PLC0415 - the guardian itself must not load it early
        from devenv.engine import process  # noqa: PLC0415 - as above

        lifeline_read, self._lifeline = os.pipe()
        ready_read, ready_write = os.pipe()
        log_descriptor = statefiles.open_log(run.log)
        try:
            module = [sys.executable, "-m", "devenv.lifecycle.guardian"]
            words = [str(lifeline_read), str(ready_write), endpoint, context or "", run.path]
            words += [terminal] if terminal else []
            process.detach([*module, *words], pass_fds=(lifeline_read, ready_write), log=log_descriptor)
        finally:
            for descriptor in (lifeline_read, ready_write, log_descriptor):
                os.close(descriptor)
        self._ready = ready_read

    def wait_ready(self) -> bool:
        """Whether the guardian stands by; blocks until it says so or has ended."""
        try:
            return os.read(self._ready, len(READY)) == READY
        finally:
            os.close(self._ready)

    def dismiss(self) -> None:
        """The run ended by itself: the guardian goes without doing anything."""
        try:
            os.write(self._lifeline, b"x")
        except BrokenPipeError:
            pass
        finally:
            os.close(self._lifeline)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
