"""A guardian that tries again while the engine cannot be reached, and what other commands report about it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker import process
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError
from devenv.events import Notice
from devenv.inspect import status
from devenv.model.containers import Container, Network, ProjectState
from devenv.run.cleanup import recovery
from devenv.run.cleanup.recovery import Post, pause, tried
from devenv.run.cleanup.remains import (
    NOTE,
    GuardianNote,
    at_work,
    everywhere,
    live_note,
    write_note,
)
from devenv.state.identity import Place, VolumeRecord
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.ui.tables import status as lines
from devenv.volumes.store import Store
from support.memory.client import MEMORY
from support.memory.faults import Fault
from support.memory.machine import Command, Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio

NOBODY = 4_000_000  # the pid of the dead run, which no process has


def post(run: Run, endpoint: Endpoint, passed: float = 0.0) -> Post:
    """The post of a guardian that found the run dead so many seconds ago."""
    return Post(run.path, endpoint, os.getpid(), time.time() - passed, time.monotonic() - passed)


# --- one try ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("passed", "seconds"), [(0, 1), (5, 1), (30, 3), (150, 15), (300, 20), (80_000, 20)])
def test_pauses_between_tries_grow(passed: float, seconds: float) -> None:
    """A tenth of the time that has passed, so short that a pause, a try and the teardown fit into a minute."""
    assert pause(passed) == seconds


def test_a_try_that_fails_is_one_line_and_a_note(run: Run, away: Endpoint) -> None:
    """Between two tries the project is not locked; the note has the reason and the time of the next try."""
    messages: list[Any] = []
    answer = tried(post(run, away, 100), "", messages.append)
    seconds, memory = answer.split(" ", 1)
    assert float(seconds) == pytest.approx(10, abs=1)
    assert json.loads(memory) == {"pid": NOBODY, "began": 1000.0, "left": 0}
    (line,) = messages
    assert "cannot reach the Docker engine" in line
    assert "Traceback" not in line
    assert not run.lock.is_held()
    note = live_note(run, run.read())
    assert note is not None
    assert note.reason.startswith("cannot reach the Docker engine")
    assert note.next_try == pytest.approx(time.time() + 10, abs=2)
    ((_, shown_line),) = at_work()
    assert shown_line.startswith(
        "left: what was created of shop; removed as soon as the engine answers: the guardian "
    )
    assert ", next try at " in shown_line
    assert shown_line.endswith("; devenv down -p shop")


def test_guardian_gives_up_after_a_day(run: Run, away: Endpoint) -> None:
    """It prints a line, and leaves no note."""
    messages: list[Any] = []
    memory = tried(post(run, away), "", messages.append).split(" ", 1)[1]
    assert tried(post(run, away, recovery.LIMIT), memory, messages.append) == ""
    assert "given up after 86400 s: `devenv gc`" in messages[-1]
    assert list(at_work()) == []
    assert not os.path.exists(os.path.join(run.path, NOTE))


@pytest.mark.parametrize("taken", ["pid", "began", "gone"])
def test_guardian_leaves_a_project_that_was_taken_over(run: Run, away: Endpoint, taken: str) -> None:
    """The ledger is of another run, or does not exist: the engine is not asked."""
    messages: list[Any] = []
    memory = tried(post(run, away), "", messages.append).split(" ", 1)[1]
    ledger = run.read()
    assert ledger is not None
    if taken == "gone":
        run.clear()
    else:
        run.write(replace(ledger, pid=5) if taken == "pid" else replace(ledger, began=5.0))
    assert list(at_work()) == [] or taken == "pid"
    assert tried(post(run, away), memory, messages.append) == ""
    assert len(messages) == 1
    assert list(at_work()) == []


def test_a_new_run_that_holds_the_project_ends_it_and_a_cleaner_does_not(
    run: Run, away: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`down` and `gc` may fail, too."""
    monkeypatch.setattr(recovery, "LOCK_WAIT", 0.1)
    messages: list[Any] = []
    with run.lock.hold(cleaning=True):
        answer = tried(post(run, away), "", messages.append)
    assert "another command, or a new run that ends, has the project" in messages[-1]
    with run.lock.hold():
        assert tried(post(run, away), "", messages.append) == ""
    assert answer


def test_every_error_is_one_line(run: Run, away: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is one line, too."""
    messages: list[Any] = []

    async def broken(*_: object, **__: object) -> bool:
        raise ExceptionGroup("several", [RuntimeError("one\ntwo")])

    monkeypatch.setattr(recovery, "attempt", broken)
    assert tried(post(run, away), "", messages.append)
    (line,) = messages
    assert "RuntimeError: one two; next try in 1 s" in line


@pytest.mark.parametrize("stale", ["dead", "other start", "other run", "garbage", "list"])
def test_a_stale_note_does_not_count(run: Run, away: Endpoint, stale: str) -> None:
    """Of a process that has ended, of a new process with its pid, or of another run."""
    start = process.start_time(os.getpid()) or ""
    note = GuardianNote(os.getpid(), start, 1000.0, time.time(), "no engine", time.time() + 5)
    write_note(run, note)
    assert len(list(at_work())) == 1
    assert list(at_work("other")) == []
    bad = {
        "dead": replace(note, pid=NOBODY),
        "other start": replace(note, start="1@x"),
        "other run": replace(note, began=999.0),
    }
    if stale in bad:
        write_note(run, bad[stale])
    else:
        Path(run.path, NOTE).write_text("[1]" if stale == "list" else "{")
    assert list(at_work()) == []


# --- with an engine ---------------------------------------------------------------------------------------------


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with a volume."""
    return machine.site("shop", db={"volumes": [mounted("data")]})


@pytest.mark.parametrize("request_", ["GET version", "DELETE containers", "GET networks", "DELETE networks"])
async def test_next_try_finishes_after_an_engine_loss(machine: Machine, shop: Site, request_: str) -> None:
    """At any point, the next try does the rest and saves the volume."""
    async with anyio.create_task_group() as tasks:
        dead = await machine.up(shop, tasks=tasks)
        machine.docker.write("shop_data", "x", b"kept")
        await dead.killed()
    assert dead.guard is not None
    run = Run(dead.guard.run.path)
    who = recovery.identity(run)
    assert who is not None
    command = Command(machine)
    command.faults.on(f"devenv {request_}", Fault.REFUSED, 1000)

    async def once() -> int:
        try:
            return int(await recovery.attempt(run, MEMORY, who, command.emit, lambda: None, is_first=True))
        finally:
            command.faults.clear()

    await command.serve(once)
    assert isinstance(command.error, EngineError) or command.code == 1, shown(command)
    assert not run.lock.is_held()
    again = Command(machine)

    async def twice() -> int:
        return int(await recovery.attempt(run, MEMORY, who, again.emit, lambda: None, is_first=False))

    await again.serve(twice)
    assert again.code == 0, shown(again)
    assert machine.host.containers == {}
    assert run.read() is None
    contents: list[bytes | None] = []
    await machine.run_up(shop, then=lambda: contents.append(machine.docker.read("shop_data", "x")))
    assert contents == [b"kept"]


@pytest.mark.parametrize(
    ("wish", "is_kept", "is_saved"),
    [(VolumePolicy.KEEP, True, False), (VolumePolicy.DROP, False, True), (VolumePolicy.SNAPSHOT, False, True)],
)
async def test_a_guardian_does_what_was_asked_of_the_run(
    machine: Machine, shop: Site, wish: VolumePolicy, is_kept: bool, is_saved: bool
) -> None:
    """A volume that is to stay stays; one that was to be lost is saved, since nobody sees what happens."""
    async with anyio.create_task_group() as tasks:
        dead = await machine.up(shop, tasks=tasks)
        machine.docker.write("shop_data", "x", b"kept")
        await dead.killed()
    assert dead.guard is not None
    dead.guard.run.ask(wish)
    await machine.guard(dead)
    assert (machine.host.containers, "shop_data" in machine.host.volumes) == ({}, is_kept)
    assert bool(Store.at_home().all()) is is_saved


async def _dead_with_guardian(machine: Machine, shop: Site, reason: str) -> Run:
    """A dead run on which a guardian (this process) works."""
    async with anyio.create_task_group() as tasks:
        dead = await machine.up(shop, tasks=tasks)
        await dead.killed()
    assert dead.guard is not None
    run = Run(dead.guard.run.path)
    who = recovery.identity(run)
    assert who is not None
    start = process.start_time(os.getpid()) or ""
    write_note(run, GuardianNote(os.getpid(), start, who.began, time.time(), reason, next_try=time.time() + 60))
    return run


def notices(command: Command) -> list[str]:
    """Its notices about guardians."""
    texts = [event.message for event in command.events if isinstance(event, Notice)]
    return [message for message in texts if "the guardian (pid" in message]


@pytest.mark.parametrize("verb", ["up", "down", "gc"])
async def test_the_next_command_says_what_a_guardian_waits_for(machine: Machine, shop: Site, verb: str) -> None:
    """It prints one line, then it does its work."""
    await _dead_with_guardian(machine, shop, "ssh: connect to host far: Connection refused")
    command = await (machine.gc() if verb == "gc" else machine.down(shop) if verb == "down" else machine.run_up(shop))
    (line,) = notices(command)
    assert "ssh: connect to host far: Connection refused" in line
    assert ", next try at" in line
    assert command.code in (0, 130), shown(command)
    assert machine.host.containers == {}


async def test_gc_reports_a_working_guardian(machine: Machine, shop: Site) -> None:
    """`gc` has nothing to do then, and says why."""
    run = await _dead_with_guardian(machine, shop, "")
    with run.lock.hold(cleaning=True):
        command = await machine.gc()
    (line,) = notices(command)
    assert "has tried since" in line
    assert not [e for e in command.events if "no dead run" in str(e)]
    run.clear()
    assert [e.message for e in (await machine.gc()).events if isinstance(e, Notice)] == ["no dead run left anything"]


async def test_other_commands_ask_no_engine_that_a_guardian_waits_for(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would have to wait for it, too."""
    await _dead_with_guardian(machine, shop, "no route to host")
    monkeypatch.setattr("devenv.docker.client.Engine", None)
    (line,) = await everywhere()
    assert "no route to host" in line
    assert ", next try at" in line


async def test_status_reports_a_waiting_guardian(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guardians of this project and of others are reported, also if the engine does not answer."""
    await _dead_with_guardian(machine, shop, "no route to host")
    for folder in (shop.folder, machine.folder):
        (folder / "compose.yml").write_text("services: {db: {image: x}}")

        class Away:
            @staticmethod
            def connect() -> None:
                raise EngineError("cannot reach it")

        with monkeypatch.context() as patch:
            patch.setattr(status, "Engine", Away)
            answer = await status.here(str(folder), (), None)
        assert answer.state == "unreachable"
        (line,) = answer.guardians
        assert "no route to host" in line
        assert line in list(lines(answer, answer.commands))


# --- the way down -----------------------------------------------------------------------------------------------


def test_remains_without_an_engine_are_those_last_seen() -> None:
    """They are those of the last look; without a look, nothing is known."""
    ledger = Ledger("shop", Place("/x"), "key", "unix:///x", None, 1.0, 1, volumes=(VolumeRecord("shop_data"),))
    mine = Container("1", "shop-web-1", "web", "running", ours=True)
    project_state = ProjectState(
        (mine, replace(mine, name="theirs", ours=False)), (Network("n", "shop_default", ours=True),)
    )
    assert ledger.left(project_state) == ("container shop-web-1", "network shop_default", "volume shop_data")
    assert replace(ledger, volumes=()).left(ProjectState()) == ("whatever was created of shop",)
