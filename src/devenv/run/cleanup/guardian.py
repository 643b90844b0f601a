"""A detached process that outlives the run: it waits on a pipe, and removes what a dead run left.

While it waits, little more than the interpreter is in memory: `typing`, `signal`, `contextlib` and `runpy` would take
longer to import than all else until it is ready. A byte on the pipe before it closes means that the run ended
by itself and nothing is left to do. The guardian of a keeper removes nothing, unless the keeper was ending the run:
it starts the keeper again.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` makes enumerations of all names
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devenv.state.run_dir import Run

READY = b"ready"
START = "import sys; from devenv.run.cleanup.guardian import main; sys.exit(main(sys.argv))"
IS_ENDING = "ending"
BROKEN = 10.0  # minimum seconds until the next try if a try was killed
LIMIT = 25 * 3600.0  # longer than the limit of the tries, in case each of them is killed
LOOK_EVERY = 1.0  # seconds between checks whether another command has taken over the project
TERMINAL = 6  # index of the argument with the name of the terminal; the command of a keeper follows
STEADY = 60.0  # seconds for which a keeper has to live: one that dies earlier twice in turn is not started again
RESTORE_TERMINAL = b"\x1b[0m\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"


def main(argv: list[str]) -> int:
    """Wait until a run ends. `argv`: lifeline and ready descriptors, endpoint, context, folder, drawn terminal.

    The words after these are the command of a keeper, if one holds the run: its last word is the number of keepers
    before it that did not live for long.
    """
    began = time.monotonic()
    lifeline, ready = int(argv[1]), int(argv[2])
    for sign in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(sign, _signal.SIG_IGN)
    os.write(ready, READY)
    os.close(ready)
    if os.read(lifeline, 1):
        return 0
    if (words := argv[TERMINAL + 1 :]) and _tried(lambda _: _ending(argv[5]), "") != (IS_ENDING, ""):
        _start_again(words, time.monotonic() - began)
        return 0
    if argv[TERMINAL:]:
        _restore_terminal(argv[TERMINAL])
    return _take_over(endpoint=argv[3], context=argv[4] or None, folder=argv[5])


def _ending(folder: str) -> str:
    """`IS_ENDING` if the keeper that died was ending the run of the folder; else empty."""
    from devenv.run.cleanup.recovery import is_up  # noqa: PLC0415 - a guardian that waits must stay small

    return IS_ENDING if is_up(folder) else ""


def _restore_terminal(terminal: str) -> None:
    """Restore screen and cursor of a terminal that a view drew on; the shell restores the modes of the keyboard."""
    try:
        descriptor = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        os.write(descriptor, RESTORE_TERMINAL)
        os.close(descriptor)
    except OSError:
        pass


def again(words: list[str], lived: float) -> list[str] | None:
    """The command of the keeper that follows one that lived for so many seconds; None if it died early again."""
    early = 0 if lived >= STEADY else int(words[-1]) + 1
    return [*words[:-1], str(early)] if early <= 1 else None


def _start_again(words: list[str], lived: float) -> None:
    """Start a keeper again that has died; it ends the child processes that were left once it holds the project."""
    if (following := again(words, lived)) is None:
        _say("the keeper has died again: the containers stay, and files are not synced until `devenv up -d`")
    else:
        _tried(lambda _: _started(following), "")


def _started(words: list[str]) -> str:
    from devenv.docker import process  # noqa: PLC0415 - a guardian that waits must stay small

    process.detach(words, pass_fds=(), log=1)  # its log is our output
    return ""


def _take_over(*, endpoint: str, context: str | None, folder: str) -> int:
    """Try, with growing pauses, until nothing is left or nothing more can be done."""
    since, died, memory = time.time(), time.monotonic(), ""
    while True:
        answer = _tried(lambda memory: _try(endpoint, context, folder, (since, died), memory), memory)
        passed = time.monotonic() - died
        if answer is None or passed > LIMIT:
            return 0
        seconds, memory = answer if answer[0] else (str(max(BROKEN, passed / 10)), memory)
        _rest(float(seconds), os.path.join(folder, "ledger.json"))


def _tried(work: Callable[[str], str], memory: str) -> tuple[str, str] | None:
    """Run one try in a child process; return the seconds to pause and what to remember, or None if all is done.

    The child imports the event loop and the client, which keeps this process small. Both texts are empty if the child
    was killed.
    """
    from_child, to_parent = os.pipe()
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        try:
            os.close(from_child)
            os.write(to_parent, b"=" + work(memory).encode())
        except BaseException as error:  # noqa: BLE001 - the log gets one line, no traceback
            _say(f"{type(error).__name__}: {error}")
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.close(to_parent)
    with open(from_child, encoding="utf-8") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    seconds, _, memory = answer.removeprefix("=").partition(" ")
    return None if answer == "=" else (seconds, memory)


def _try(endpoint: str, context: str | None, folder: str, times: tuple[float, float], memory: str) -> str:
    from devenv.docker.endpoint import Endpoint  # noqa: PLC0415 - a guardian that waits must stay small
    from devenv.run.cleanup.recovery import Post, tried  # noqa: PLC0415 - as above

    return tried(Post(folder, Endpoint(endpoint, context), os.getppid(), *times), memory, _say)


def _say(event: object) -> None:
    try:  # noqa: SIM105 - see the top
        print(event, flush=True)  # noqa: T201 - its own log, not the terminal
    except OSError:  # a full disk
        pass


def _rest(seconds: float, ledger: str) -> None:
    """Sleep for this many seconds, or until another command has replaced or removed the ledger."""
    end, before = time.monotonic() + seconds, _seen(ledger)
    while (left := end - time.monotonic()) > 0 and _seen(ledger) == before:
        time.sleep(min(left, LOOK_EVERY))


def _seen(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


class Guardian:
    """The run's end of the pipe to its guardian. It closes at `dismiss`, `release` or the end of the process."""

    def __init__(
        self, endpoint: str, context: str | None, run: Run, terminal: str = "", keeper: Sequence[str] = ()
    ) -> None:
        from devenv import private_files  # noqa: PLC0415 - the guardian itself must not load it early
        from devenv.docker import process  # noqa: PLC0415 - as above

        lifeline_read, self._lifeline = os.pipe()
        ready_read, ready_write = os.pipe()
        log_descriptor = private_files.create(run.log, os.O_WRONLY | os.O_APPEND)
        try:
            words = [str(lifeline_read), str(ready_write), endpoint, context or "", run.path]
            words += [terminal, *keeper] if terminal or keeper else []
            process.detach(
                [sys.executable, "-c", START, *words], pass_fds=(lifeline_read, ready_write), log=log_descriptor
            )
        finally:
            for descriptor in (lifeline_read, ready_write, log_descriptor):
                os.close(descriptor)
        self._ready = ready_read

    def wait_ready(self) -> bool:
        """Block until the guardian is ready or has ended; return whether it is ready."""
        try:
            return os.read(self._ready, len(READY)) == READY
        finally:
            os.close(self._ready)

    def dismiss(self) -> None:
        """Report to the guardian that the run ended by itself: it exits without doing anything."""
        try:
            os.write(self._lifeline, b"x")
        except BrokenPipeError:
            pass
        finally:
            self.release()

    def release(self) -> None:
        """Let the guardian remove what the ledger on disk lists, as if this process had died."""
        os.close(self._lifeline)
