"""Starting and ending the keeper of a run, as other commands do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.compose.run_model import PortChange, Scale
from devenv.docker import process
from devenv.errors import StateError
from devenv.model.images import ImageOptions
from devenv.run import background, hand_over
from devenv.run.preload import UpOptions
from devenv.state.identity import Place
from devenv.state.kept import Held, KeeperNote, note_of
from devenv.state.run_dir import Run

HOLDER = """
import os, sys, time
from devenv.state.run_lock import RunLock
lock = RunLock(sys.argv[1])
with lock.hold() as descriptor:
    lock.pass_on(descriptor, os.getpid())
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in an empty folder."""
    return Run(str(tmp_path))


def test_options_survive_the_hand_over() -> None:
    """Through JSON; what only a start needs is left out, and logs are followed, for views."""
    selection = Selection("/shop", ("a.yml",), "mine", ("dev",), ("web",), (Scale("web", 2),))
    options = UpOptions(
        selection,
        detach=True,
        watcher="poll",
        build=False,
        fresh=True,
        source="snapshot",
        ports=(PortChange("web", "8080", 80),),
        auto_ports=True,
        lan=True,
        timeout=7.0,
        open=True,
        images=ImageOptions(stand_ins=True),
        trust=True,
    )
    after = background.decode(json.loads(json.dumps(background.encode(options))))
    assert after == UpOptions(
        selection,
        watcher="poll",
        build=False,
        ports=(PortChange("web", "8080", 80),),
        auto_ports=True,
        lan=True,
        timeout=7.0,
        images=ImageOptions(stand_ins=True),
        trust=True,
    )


def test_a_keeper_that_starts_in_the_meantime_ends_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its guardian may have started it after the one before was found dead."""
    started = contextlib.ExitStack()
    note = KeeperNote(1, "", 1.0, 2.0, 3.0, 4.0)
    notes = [note, None]

    async def end(run: Run) -> KeeperNote | None:
        if len(notes) == 1:
            started.close()
        else:
            run.lock.pass_on(started.enter_context(run.lock.hold()), 1)
        return notes.pop()

    async def hold() -> Held:
        async with contextlib.AsyncExitStack() as stack:
            return await hand_over.hold(stack, run, Place("/shop"))

    monkeypatch.setattr(background, "end", end)
    assert anyio.run(hold).keeper == note


@pytest.mark.parametrize("is_known", [True, False])
def test_only_the_process_of_the_note_is_ended(run: Run, monkeypatch: pytest.MonkeyPatch, *, is_known: bool) -> None:
    """A process that got the pid later is left alone, and the error names it."""
    monkeypatch.setattr(background, "PATIENCE", 5.0 if is_known else 0.1)
    with subprocess.Popen([sys.executable, "-c", HOLDER, run.lock.path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        start = process.start_time(holder.pid) or ""
        KeeperNote(holder.pid, start if is_known else "another", 1.0, 2.0, 3.0, 4.0).write(run)
        try:
            if is_known:
                assert anyio.run(background.end, run) == note_of(run)
                assert holder.wait(5) == -signal.SIGTERM
            else:
                with pytest.raises(StateError, match=f"pid {holder.pid}"):
                    anyio.run(background.end, run)
                assert holder.poll() is None
        finally:
            holder.kill()


def test_without_a_keeper_there_is_nothing_to_end(run: Run) -> None:
    """Not even if another command holds the project."""
    assert anyio.run(background.end, run) is None
    with run.lock.hold():
        assert anyio.run(background.end, run) is None


def test_the_lock_is_passed_on_without_a_gap(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has the lock after its parent has let go of it; the note and the lock name the child."""
    read, write = os.pipe()
    monkeypatch.setattr(background, "command", lambda *_: [sys.executable, "-c", f"import os; os.read({read}, 1)"])
    started = list[int]()

    def detach(argv: list[str], *, pass_fds: tuple[int, ...], log: int) -> int:
        child = subprocess.Popen(argv, pass_fds=(*pass_fds, read), stdout=log)
        started.append(child.pid)
        child.returncode = 0
        return child.pid

    monkeypatch.setattr(process, "detach", detach)
    with run.lock.hold() as descriptor:
        background.start(run, descriptor, KeeperNote(0, "", 1.0, 0.0, 3.0, 4.0, {"lan": True}))
    note = note_of(run)
    assert note is not None
    assert (note.pid, note.began, note.loaded, note.options) == (started[0], 1.0, 3.0, {"lan": True})
    assert (run.lock.is_kept(), run.lock.holder(), note.is_alive) == (True, started[0], True)
    os.write(write, b"x")
    os.waitpid(started[0], 0)
    assert not run.lock.is_held()
    for descriptor in (read, write):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        (None, ("web",), ("web",)),
        ((), ("web",), ()),
        (("db",), ("web",), ("db", "web")),
        (("db", "web"), ("web",), ("db", "web")),
        (("db",), (), ()),
    ],
)
def test_services_that_were_synced_stay_synced(
    before: tuple[str, ...] | None, wanted: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """`up -d web` beside a keeper of other services, or of all (no names)."""
    held = Held() if before is None else Held(unsynced=1.0, services=before)
    options = hand_over.widened(UpOptions(Selection("/shop", services=wanted)), held)
    assert options.selection.services == after
