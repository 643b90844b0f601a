"""A detached process that outlives us: it waits at a pipe, and tears down what a dead run left.

It holds nothing but the standard library, while it waits for the pipe and between two tries. A byte on the pipe
before it closes says that the run ended by itself and nothing is left to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from devenv.state.run_dir import Run

READY = b"ready"
BROKEN = 10.0  # seconds until the next try, at least, if one was killed
LIMIT = 25 * 3600.0  # more than the tries themselves allow, for one that is killed each time
LOOK_EVERY = 1.0  # seconds between two looks whether somebody else has taken the project over
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
    """Try until nothing is left, or nothing more can be done, with growing pauses."""
    since, died, memory = time.time(), time.monotonic(), ""
    while True:
        answer = _tried(lambda memory: _try(endpoint, context, folder, (since, died), memory), memory)
        passed = time.monotonic() - died
        if answer is None or passed > LIMIT:
            return 0
        seconds, memory = answer if answer[0] else (str(max(BROKEN, passed / 10)), memory)
        _rest(float(seconds), os.path.join(folder, "ledger.json"))


def _tried(work: Callable[[str], str], memory: str) -> tuple[str, str] | None:
    """What a child of ours says: until when to pause and what to remember, or None if all is done.

    The event loop, the engine and all else that a try needs is loaded in the child, so that we stay small.
    Both texts are empty if the child was killed.
    """
    from_child, to_parent = os.pipe()
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        try:
            os.close(from_child)
            os.write(to_parent, b"=" + work(memory).encode())
        except BaseException as error:  # noqa: BLE001 - a log has lines, no tracebacks
            _say(f"{type(error).__name__}: {error}")
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(to_parent)
    with open(from_child, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    seconds, _, memory = said.removeprefix("=").partition(" ")
    return None if said == "=" else (seconds, memory)


def _try(endpoint: str, context: str | None, folder: str, times: tuple[float, float], memory: str) -> str:
    from devenv.docker.endpoint import Endpoint  # noqa: PLC0415 - standing by must stay small
    from devenv.run.cleanup.recovery import Post, tried  # noqa: PLC0415 - as above

    return tried(Post(folder, Endpoint(endpoint, context), os.getppid(), *times), memory, _say, _say)


def _say(event: object) -> None:
    with contextlib.suppress(OSError):  # a full disk
        print(event, flush=True)  # noqa: T201 - its own log, not the terminal


def _rest(seconds: float, ledger: str) -> None:
    """Sleep so long, or until somebody else has replaced or removed the ledger."""
    end, before = time.monotonic() + seconds, _seen(ledger)
    while (left := end - time.monotonic()) > 0 and _seen(ledger) == before:
        time.sleep(min(left, LOOK_EVERY))


def _seen(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class Guardian:
    """Our end of the pipe to a guardian that has acknowledged; let go by `dismiss` or by dying."""

    def __init__(self, endpoint: str, context: str | None, run: Run, terminal: str = "") -> None:
        from devenv import private_files  # noqa: PLC0415 - the guardian itself must not load it early
        from devenv.docker import process  # noqa: PLC0415 - as above

        lifeline_read, self._lifeline = os.pipe()
        ready_read, ready_write = os.pipe()
        log_descriptor = private_files.open_log(run.log)
        try:
            module = [sys.executable, "-m", "devenv.run.cleanup.guardian"]
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
