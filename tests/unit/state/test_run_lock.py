"""The lock of a project on an engine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devenv.errors import StateError
from devenv.state.run_lock import RunLock

HOLDER = """
import sys, time
from devenv.state.run_lock import RunLock
with RunLock(sys.argv[1]).hold():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_is_let_go_by_the_kernel(tmp_path: Path) -> None:
    """The holder is named by its pid; once it is killed, the lock is free."""
    lock = RunLock(str(tmp_path / "lock"))
    with subprocess.Popen([sys.executable, "-c", HOLDER, lock.path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateError, match=f"pid {holder.pid} since") as caught, lock.hold():
            pass
        assert "devenv down" in (caught.value.hint or "")
        assert (lock.holder(), lock.is_held(), lock.is_ending()) == (holder.pid, True, False)
        holder.kill()
        with lock.hold(wait=5, cleaning=True):
            assert (lock.holder(), lock.is_held(), lock.is_ending()) == (os.getpid(), True, True)
    assert not lock.is_held()
    with lock.hold():
        pass


def test_a_run_that_ends_says_so_to_other_commands(tmp_path: Path) -> None:
    """The run then only cleans up; the next holder begins without the mark."""
    lock = RunLock(str(tmp_path / "lock"))
    with lock.hold():
        assert not lock.is_ending()
        assert lock.is_of_run()
        lock.mark_ending()
        assert lock.is_of_run()
        assert (lock.is_ending(), lock.is_held(), lock.holder()) == (True, True, os.getpid())
    assert not lock.is_ending()
    with lock.hold():
        assert not lock.is_ending()


def test_a_run_of_another_day_is_named_with_its_date(tmp_path: Path) -> None:
    """The time alone would be read as one of today."""
    lock = RunLock(str(tmp_path / "lock"))
    with lock.hold():
        os.utime(lock.path, (1000.0, 1000.0))
        assert re.search(r"since 19\d\d-\d\d-\d\d \d\d:\d\d:40$", lock.up_error().message)
