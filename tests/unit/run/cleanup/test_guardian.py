"""The process of a guardian: it waits at a pipe, and needs little memory while it tries again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.run.cleanup import guardian as guardian_module
from devenv.run.cleanup.guardian import START, again
from devenv.run.cleanup.remains import NOTE, at_work
from devenv.state.run_dir import Run


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def guardian(run: Run, away: Endpoint) -> Iterator[tuple[subprocess.Popen[bytes], Path, Callable[[], None]]]:
    """A real guardian that waits, its log, and a function that lets its run die."""
    lifeline, ours = os.pipe()
    theirs, ready = os.pipe()
    log = Path(run.path, "guardian.log")
    with log.open("wb") as file:
        words = [str(lifeline), str(ready), away.host, "", run.path]
        child = subprocess.Popen(
            [sys.executable, "-c", START, *words],
            stdout=file,
            stderr=file,
            pass_fds=(lifeline, ready),
        )
    os.close(lifeline)
    os.close(ready)
    assert os.read(theirs, 5) == b"ready"
    closed = []

    def die() -> None:
        os.close(ours)
        closed.append(ours)

    yield child, log, die
    os.close(theirs)
    if not closed:
        die()
    child.kill()
    child.wait()


def memory(pid: int) -> int:
    """Its private memory in kilobytes."""
    rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmRSS"))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_guardian_waits_with_little_memory_and_ends_on_a_takeover(
    run: Run, guardian: tuple[subprocess.Popen[bytes], Path, Callable[[], None]]
) -> None:
    """After two tries it has hardly grown; once the ledger is removed, it exits at once."""
    child, log, die = guardian
    before = memory(child.pid)
    die()
    until(lambda: log.read_text().count("next try in") >= 2)
    waiting = memory(child.pid)
    assert waiting < before + 2048, (before, waiting)
    ((_, line),) = at_work()
    assert f"(pid {child.pid}) has tried" in line
    assert child.poll() is None
    run.clear()
    assert child.wait(5) == 0
    assert list(at_work()) == []
    assert not os.path.exists(os.path.join(run.path, NOTE))
    assert "Traceback" not in log.read_text()
    assert all("cannot reach the Docker engine" in row for row in log.read_text().splitlines())


@pytest.mark.parametrize(
    ("early", "lived", "after"), [("0", 3.0, "1"), ("1", 3.0, None), ("1", 60.0, "0"), ("0", 3600.0, "0")]
)
def test_a_keeper_that_dies_early_twice_is_not_started_again(early: str, lived: float, after: str | None) -> None:
    """A keeper that has lived for a minute counts as the first."""
    expected = None if after is None else ["keeper", "folder", after]
    assert again(["keeper", "folder", early], lived) == expected


@pytest.mark.parametrize("is_ending", [False, True, None])
def test_the_guardian_of_a_keeper_that_was_ending_the_run_ends_it(
    run: Run, away: Endpoint, monkeypatch: pytest.MonkeyPatch, *, is_ending: bool | None
) -> None:
    """After any other death of the keeper, it starts the next one, also if the process that looked was killed."""
    done = list[str]()

    def take_over(*, folder: str, **_: object) -> int:
        done.append(folder)
        return 0

    monkeypatch.setattr(guardian_module, "_take_over", take_over)
    monkeypatch.setattr(guardian_module, "_start_again", lambda words, *_: done.append(words[-1]))
    monkeypatch.setattr("_signal.signal", lambda *_: None)
    ledger = run.read()
    assert ledger is not None
    run.write(replace(ledger, phase="up" if is_ending else "detached"))
    if is_ending is None:
        monkeypatch.setattr(guardian_module, "_tried", lambda *_: ("", ""))
    lifeline, ours = os.pipe()
    os.close(ours)
    with open(os.devnull, "wb") as ready:
        words = [str(lifeline), str(os.dup(ready.fileno())), away.host, "", run.path, "", "keeper", "0"]
        assert guardian_module.main(["-c", *words]) == 0
    os.close(lifeline)
    assert done == [run.path if is_ending else "0"]
