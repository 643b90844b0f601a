"""One try of a guardian to end what a dead run left, and the time of the next try."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import anyio

from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, StateError
from devenv.events import Emit
from devenv.lazy_dataclass import dataclass
from devenv.remote.line import line
from devenv.run.cleanup import remains
from devenv.run.cleanup.teardown import finish
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.state.run_lock import LOOKED_AT
from devenv.tasks import first

LIMIT = 24 * 3600.0  # seconds after which the guardian gives up
SHORTEST, LONGEST = 1.0, 20.0  # seconds between two tries: what is left is gone a minute after the engine is back
SHARE = 0.1  # the next pause as a part of the time that has passed
LOCK_WAIT = 5.0  # seconds, for the first try: a command that only reads may have the lock
LEFT_TRIES = 6  # while the engine answers, but something cannot be removed


@dataclass(frozen=True, slots=True)
class Post:
    """What a guardian watches."""

    folder: str
    endpoint: Endpoint
    pid: int  # of the guardian
    since: float  # when the guardian found the run dead, by the wall clock
    died: float  # the same by the monotonic clock


@dataclass(frozen=True, slots=True)
class Dead:
    """The dead run, as identified by its ledger, and how many tries have left something of it."""

    pid: int
    began: float
    left: int = 0


def pause(passed: float) -> float:
    """Seconds until the next try, if this many have passed since the run was found dead."""
    return min(max(passed * SHARE, SHORTEST), LONGEST)


def tried(post: Post, memory: str, say: Callable[[object], None]) -> str:
    """Try once. Return an empty text if the guardian may exit, else the seconds until the next try and `memory`.

    `memory`, after a space, is for the next try; it is empty for the first one. Raises nothing: `say` gets a line for
    each error, and the events.
    """
    run = Run(post.folder)
    dead = Dead(**json.loads(memory)) if memory else identity(run)
    note = remains.GuardianNote(post.pid, process.start_time(post.pid) or "", dead.began if dead else 0.0, post.since)
    begun = partial(remains.write_note, run, note)
    if dead is not None and not memory:
        begun()
    try:
        is_left = anyio.run(lambda: attempt(run, post.endpoint, dead, say, begun, is_first=not memory))
        reason = "something is left" if is_left else ""
    except Exception as error:  # noqa: BLE001 - after any error, the next try may succeed
        is_left, reason = False, _line(error)
    if dead is not None and reason:
        dead = replace(dead, left=dead.left + 1 if is_left else 0)
        passed = time.monotonic() - post.died
        if passed < LIMIT and dead.left < LEFT_TRIES:
            seconds = pause(passed)
            remains.write_note(run, replace(note, reason=reason, next_try=time.time() + seconds))
            say(f"{time.strftime('%H:%M:%S')} {reason}; next try in {seconds:.0f} s")
            return f"{seconds:.3f} {json.dumps(asdict(dead))}"
        reason = f"{reason}; given up after {passed:.0f} s: `devenv gc` or the next `devenv up` cleans up"
    if reason:
        say(f"{time.strftime('%H:%M:%S')} {reason}")
    remains.remove_note(run, post.pid)
    return ""


async def attempt(
    run: Run, endpoint: Endpoint, dead: Dead | None, emit: Emit, begun: Callable[[], object], *, is_first: bool
) -> bool:
    """End the dead run; return whether something is left. Does nothing if the ledger now belongs to another run.

    `begun` is called before anything is removed. The first try begins with the child processes that the run left. The
    project is locked only while something can be removed: a try that waits for the engine must not prevent a new
    `up`. Raises DevenvError.
    """
    async with contextlib.AsyncExitStack() as stack:
        if is_first:
            if not _locked(run, stack, wait=LOCK_WAIT):
                return False
            await process.end_recorded(run.children)
        if _ledger(run, dead) is None:
            return False
        reached, _ = await stack.enter_async_context(line(endpoint, emit))
        engine = await stack.enter_async_context(Engine.connect(reached))
        if not is_first and (not _locked(run, stack, wait=LOOKED_AT) or _ledger(run, dead) is None):
            return False
        begun()
        # What was to be lost is saved: nobody sees what happens here.
        policy = VolumePolicy.SAVE if run.wish in (None, VolumePolicy.DROP) else run.wish
        return bool((await finish(engine, run, emit, policy, "the devenv process died")).survivors)


def identity(run: Run) -> Dead | None:
    """The run that is up according to its ledger; None if there is none, or if the ledger cannot be read."""
    with contextlib.suppress(StateError):
        if (ledger := run.read()) is not None and ledger.phase == "up":
            return Dead(ledger.pid, ledger.began)
    return None


def is_up(folder: str) -> bool:
    """Whether the ledger says that the run of the folder ends with its process."""
    return identity(Run(folder)) is not None


def _ledger(run: Run, dead: Dead | None) -> Ledger | None:
    """The ledger, if it still belongs to the dead run."""
    ledger = run.read()
    if dead is None or ledger is None or (ledger.pid, ledger.began) != (dead.pid, dead.began):
        return None
    return ledger if ledger.phase in remains.PHASES else None


def _locked(run: Run, stack: contextlib.AsyncExitStack, *, wait: float) -> bool:
    """Lock the project until the stack closes. Return False if a new run has it. Raises StateError."""
    try:
        stack.enter_context(run.lock.hold(wait=wait, cleaning=True))
    except StateError:
        if run.lock.is_ending():
            raise StateError("another command, or a new run that ends, has the project") from None
        if run.lock.is_held():
            return False
        raise
    return True


def _line(error: BaseException) -> str:
    cause = first(error)
    message = cause.message if isinstance(cause, DevenvError) else f"{type(cause).__name__}: {cause}"
    return " ".join(message.split())
