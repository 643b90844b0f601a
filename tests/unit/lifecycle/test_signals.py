"""The first signal ends a run gracefully, the second hurries, the third leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import anyio
import anyio.lowlevel
import pytest

from devenv.errors import DevenvError
from devenv.lifecycle.signals import Ending, endable

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
async def test_the_first_signal_cancels_and_the_second_hurries(sign: signal.Signals, code: int) -> None:
    """What runs in the scope is cancelled, the exit code is the shell's, and hurry comes with the next one."""
    told: list[None] = []
    ending = Ending(lambda: told.append(None))
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.fail_after(5), ending.scope() as scope:
            os.kill(os.getpid(), sign)
            await anyio.sleep(60)
        assert scope.cancelled_caught
        assert len(told) == 1
        assert (ending.signal, ending.exit_code) == (sign, code)
        assert not ending.hurry.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        with anyio.fail_after(5):
            await ending.hurry.wait()
        assert ending.signal == sign
        tasks.cancel_scope.cancel()


async def test_a_signal_skips_what_can_be_skipped() -> None:
    """Once; what comes after it hurries as ever, also after a run that failed without a signal."""
    ending = Ending()
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.fail_after(5), ending.scope():
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep(60)
        with anyio.fail_after(5), ending.skippable() as skip:
            os.kill(os.getpid(), signal.SIGTERM)
            await skip.wait()
            assert not ending.hurry.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        with anyio.fail_after(5):
            await ending.hurry.wait()
        assert ending.signal == signal.SIGINT
        tasks.cancel_scope.cancel()


async def test_without_a_signal_nothing_happens() -> None:
    """A run that ends by itself has exit code 0 and uncancelled scopes."""
    ending = Ending()
    with ending.scope() as scope:
        await anyio.lowlevel.checkpoint()
    assert not scope.cancel_called
    assert ending.exit_code == 0


async def test_a_scope_after_the_signal_is_cancelled_from_the_start() -> None:
    """A signal between two scopes is not lost."""
    ending = Ending()
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        os.kill(os.getpid(), signal.SIGINT)
        with anyio.fail_after(5):
            while ending.signal is None:  # noqa: ASYNC110 - the world tells no event
                await anyio.sleep(0.01)
        with anyio.fail_after(5), ending.scope() as scope:
            await anyio.sleep(60)
        assert scope.cancelled_caught
        tasks.cancel_scope.cancel()


async def test_the_way_down_sees_no_error_after_a_signal() -> None:
    """Inside nested scopes only the inner one ends: what follows it is not a failure, and runs undisturbed."""
    ending = Ending()
    seen: list[str] = []
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.fail_after(5), ending.scope():
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
from devenv.lifecycle.signals import Ending, endable

async def main():
    ending = Ending()
    async with anyio.create_task_group() as tasks:
        await tasks.start(ending.listen)
        with anyio.CancelScope(shield=True):
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(0.05)
            await anyio.sleep(30)

anyio.run(main)
"""


def test_the_third_signal_leaves_at_once() -> None:
    """Even where a shielded way down hangs, three signals end the process."""
    done = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


async def test_work_that_a_signal_ends() -> None:
    """Its code is the shell's; work that ends by itself has 0, and what it raises is raised as it is."""

    async def stay() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(60)

    async def fail() -> None:
        raise DevenvError("it failed")

    with anyio.fail_after(5):
        assert await endable(stay) == 143
        assert await endable(anyio.lowlevel.checkpoint) == 0
        with pytest.raises(DevenvError, match="it failed"):
            await endable(fail)
