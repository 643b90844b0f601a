"""The first signal ends a run gracefully, a separate second signal hurries, a third exits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from signal import SIGHUP, SIGINT, SIGTERM

import anyio
import anyio.lowlevel
import pytest

from devenv.errors import DevenvError
from devenv.signals import Reaction, Received, ShutdownSignals, endable

pytestmark = pytest.mark.anyio
END, NOTHING, SKIP, HURRY, LEAVE = Reaction.END, Reaction.NOTHING, Reaction.SKIP, Reaction.HURRY, Reaction.LEAVE


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


def reactions(*signals: tuple[signal.Signals, float], skippable: tuple[float, float] = (0, 0)) -> list[Reaction]:
    """The reactions to signals at these seconds; the first signal that skips ends what can be skipped."""
    received, found = Received(), []
    for sign, at in signals:
        can_skip = skippable[0] <= at < skippable[1] and SKIP not in found
        received, reaction = received.react(sign, at, skippable=can_skip)
        found.append(reaction)
    return found


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        # A process of its own each time.
        ([(SIGINT, 0), (SIGINT, 0.5), (SIGINT, 1)], [END, HURRY, LEAVE]),
        ([(SIGTERM, 0), (SIGTERM, 20), (SIGTERM, 40)], [END, HURRY, LEAVE]),
        ([(SIGTERM, 0), (SIGINT, 0.6), (SIGTERM, 5)], [END, HURRY, LEAVE]),
        # Forwarded: npm and IDEs send a signal twice, some at once and some a little later.
        ([(SIGINT, 0), (SIGINT, 0)], [END, NOTHING]),
        ([(SIGINT, 0), (SIGINT, 0.499)], [END, NOTHING]),
        ([(SIGTERM, 0), (SIGINT, 0.001)], [END, NOTHING]),
        ([(SIGINT, 0), (SIGTERM, 0.2)], [END, NOTHING]),
        ([(SIGINT, 0), (SIGINT, 0.1), (SIGINT, 0.2), (SIGINT, 0.4)], [END, NOTHING, NOTHING, NOTHING]),
        # An ignored signal does not delay the second.
        ([(SIGINT, 0), (SIGINT, 0.4), (SIGINT, 0.5)], [END, NOTHING, HURRY]),
        # In a hurry, each further signal exits, even immediately.
        ([(SIGINT, 0), (SIGINT, 0.5), (SIGINT, 0.5)], [END, HURRY, LEAVE]),
        ([(SIGINT, 0), (SIGINT, 1), (SIGTERM, 1.1)], [END, HURRY, LEAVE]),
        # A closed terminal: HUP ends the run, and has no other effect, however often it comes.
        ([(SIGHUP, 0), (SIGHUP, 0)], [END, NOTHING]),
        ([(SIGHUP, 0), (SIGHUP, 1), (SIGHUP, 2), (SIGHUP, 60)], [END, NOTHING, NOTHING, NOTHING]),
        ([(SIGHUP, 0), (SIGINT, 0.1)], [END, NOTHING]),
        ([(SIGHUP, 0), (SIGINT, 0.5), (SIGINT, 0.6)], [END, HURRY, LEAVE]),
        ([(SIGHUP, 0), (SIGHUP, 0.4), (SIGTERM, 0.6)], [END, NOTHING, HURRY]),
        ([(SIGINT, 0), (SIGHUP, 1), (SIGHUP, 2)], [END, NOTHING, NOTHING]),
        ([(SIGINT, 0), (SIGHUP, 1), (SIGINT, 1.1)], [END, NOTHING, HURRY]),
        ([(SIGINT, 0), (SIGINT, 1), (SIGHUP, 2), (SIGHUP, 2)], [END, HURRY, NOTHING, NOTHING]),
        ([(SIGTERM, 0), (SIGHUP, 0), (SIGINT, 0), (SIGHUP, 0)], [END, NOTHING, NOTHING, NOTHING]),
    ],
)
def test_reactions_to_signals(signals: list[tuple[signal.Signals, float]], expected: list[Reaction]) -> None:
    """Signals and when they come, and what each of them does."""
    assert reactions(*signals) == expected


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        # The run failed by itself: the first signal skips, and the next ones act as usual.
        ([(SIGINT, 1), (SIGINT, 1.1), (SIGINT, 2), (SIGINT, 2)], [SKIP, NOTHING, HURRY, LEAVE]),
        ([(SIGHUP, 1), (SIGHUP, 1)], [END, NOTHING]),
        ([(SIGHUP, 1), (SIGINT, 2), (SIGINT, 3)], [END, SKIP, HURRY]),
        # Ended by a signal: a second signal skips, and the same signal forwarded again does not hurry.
        ([(SIGINT, 0), (SIGINT, 1), (SIGINT, 1.1), (SIGINT, 2), (SIGINT, 2)], [END, SKIP, NOTHING, HURRY, LEAVE]),
        ([(SIGINT, 0.9), (SIGINT, 1)], [END, NOTHING]),
        ([(SIGINT, 0), (SIGHUP, 1), (SIGTERM, 2)], [END, NOTHING, SKIP]),
    ],
)
def test_reactions_while_a_step_can_be_skipped(
    signals: list[tuple[signal.Signals, float]], expected: list[Reaction]
) -> None:
    """From the first to the third second such a step runs."""
    assert reactions(*signals, skippable=(1, 3)) == expected


def test_the_first_signal_stays_the_first() -> None:
    """The exit code is that of the first signal, whatever comes after it."""
    received = Received()
    for sign, at in ((SIGHUP, 0.0), (SIGINT, 1.0), (SIGTERM, 2.0)):
        received, _ = received.react(sign, at)
    assert received.first is SIGHUP


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_the_first_signal_cancels_and_the_second_hurries(sign: signal.Signals, code: int) -> None:
    """The scope is cancelled, the exit code is that of a shell, and hurry is set by the next signal."""
    told: list[None] = []
    clock = Clock()
    ending = ShutdownSignals(lambda: told.append(None), clock)
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.fail_after(20), ending.scope() as scope:
            os.kill(os.getpid(), sign)
            await anyio.sleep(60)
        assert scope.cancelled_caught
        assert len(told) == 1
        assert (ending.signal, ending.exit_code) == (sign, code)
        for again, seconds in ((signal.SIGTERM, 0.4), (signal.SIGHUP, 0.6)):
            clock.now += seconds
            await received(ending, told, again)
            assert not ending.hurry.is_set()
        await received(ending, told, signal.SIGTERM)
        assert ending.hurry.is_set()
        assert ending.signal == sign
        tasks.cancel_scope.cancel()


async def received(ending: ShutdownSignals, told: list[None], sign: signal.Signals) -> None:
    """Send this process the signal, and wait until it is received."""
    before = len(told)
    os.kill(os.getpid(), sign)
    with anyio.fail_after(20):
        while len(told) == before:  # noqa: ASYNC110 - nothing else tells
            await anyio.sleep(0.01)


async def test_a_signal_skips_what_can_be_skipped() -> None:
    """Once; what comes after it hurries as ever, also after a run that failed without a signal."""
    clock = Clock()
    ending = ShutdownSignals(clock=clock)
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.fail_after(20), ending.scope():
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep(60)
        clock.now += 1
        with anyio.fail_after(20), ending.skippable() as skip:
            os.kill(os.getpid(), signal.SIGTERM)
            await skip.wait()
            assert not ending.hurry.is_set()
        clock.now += 1
        os.kill(os.getpid(), signal.SIGINT)
        with anyio.fail_after(20):
            await ending.hurry.wait()
        assert ending.signal == signal.SIGINT
        tasks.cancel_scope.cancel()


async def test_without_a_signal_nothing_happens() -> None:
    """A run that ends by itself has exit code 0 and uncancelled scopes."""
    ending = ShutdownSignals()
    with ending.scope() as scope:
        await anyio.lowlevel.checkpoint()
    assert not scope.cancel_called
    assert ending.exit_code == 0


async def test_a_scope_after_the_signal_is_cancelled_from_the_start() -> None:
    """A signal between two scopes is not lost."""
    ending = ShutdownSignals()
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        os.kill(os.getpid(), signal.SIGINT)
        with anyio.fail_after(20):
            while ending.signal is None:  # noqa: ASYNC110 - the world tells no event
                await anyio.sleep(0.01)
        with anyio.fail_after(20), ending.scope() as scope:
            await anyio.sleep(60)
        assert scope.cancelled_caught
        tasks.cancel_scope.cancel()


async def test_the_way_down_sees_no_error_after_a_signal() -> None:
    """Of nested scopes only the inner one ends: the code after it runs undisturbed."""
    ending = ShutdownSignals()
    seen: list[str] = []
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.fail_after(20), ending.scope():
            try:
                with ending.scope():
                    async with anyio.create_task_group() as work:
                        work.start_soon(anyio.sleep, 60)
                        os.kill(os.getpid(), signal.SIGINT)
                        await anyio.sleep(60)
            except BaseException as error:
                seen.append(repr(error))
                raise
            await anyio.sleep(0.01)
            seen.append("after")
        tasks.cancel_scope.cancel()
    assert seen == ["after"]


LEAVES = """
import os, signal, sys
import anyio
from devenv.errors import DevenvError
from devenv.signals import ShutdownSignals, endable

async def main():
    ending = ShutdownSignals()
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.CancelScope(shield=True):
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(0.55)
            await anyio.sleep(30)

anyio.run(main)
"""


def test_the_third_signal_leaves_at_once() -> None:
    """Even if a shielded teardown hangs, three signals end the process."""
    done = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


async def test_work_that_a_signal_ends() -> None:
    """The exit code is that of a shell; work that ends by itself has 0, and its exceptions are raised unchanged."""

    async def stay() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(60)

    async def fail() -> None:
        raise DevenvError("it failed")

    with anyio.fail_after(20):
        assert await endable(stay) == 143
        assert await endable(anyio.lowlevel.checkpoint) == 0
        with pytest.raises(DevenvError, match="it failed"):
            await endable(fail)
