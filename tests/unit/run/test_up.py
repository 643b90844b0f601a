"""Whole runs of `devenv up` on an engine in memory, and the fate of the project when a run ends after each step."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.errors import EngineError, UsageError
from devenv.events import HookLine, Kept, Notice, Problem, Ready, Step, Stopped
from devenv.model.project import SHELL, Hook, Moment, ProjectHook
from devenv.run import background, hand_over, steps, up
from devenv.run.active.control import RunController
from devenv.run.active.observe import observer
from devenv.run.preload import UpOptions
from devenv.run.steps import Context, Value
from devenv.run.up import End, Fate, RunOutcome, stop
from devenv.signals import ShutdownSignals
from devenv.state.kept import KeeperNote, note_of
from devenv.state.ledger import Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.volumes.store import Store
from support.memory import verbs
from support.memory.command import Command
from support.memory.machine import Machine, Site, mounted, shown
from support.stack import free_port
from support.steps import Opened, opened

pytestmark = pytest.mark.anyio
EVENTS = ["load", "check", "images", "build", "restore", "create", "sync", "start", "healthy"]
INT, TERM = signal.SIGINT, signal.SIGTERM
HOOK = ProjectHook(Moment.BEFORE_DOWN, Hook((*SHELL, "echo down")), where="compose.yml:7")


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with one service and one named volume."""
    return machine.site("shop", db={"volumes": [mounted("data")]})


def steps_of(command: Command, state: str) -> list[str]:
    return [e.name for e in command.events if isinstance(e, Step) and e.state == state]


def run_of(machine: Machine) -> Run:
    (run,) = Run.folders("shop")
    return run


async def test_each_step_is_reported_in_order(machine: Machine, shop: Site) -> None:
    """Begin and end in pairs, then `ready`; after Ctrl-C the stop, and 130."""
    command = await machine.run_up(shop)
    pairs = [(e.name, e.state) for e in command.events if isinstance(e, Step)]
    assert pairs == [(name, state) for name in EVENTS for state in ("begin", "end")]
    events = [type(e) for e in command.events if isinstance(e, Step | Ready | Stopped)]
    assert events.index(Ready) == len(pairs)
    assert events[-1] is Stopped
    assert command.code == 130, shown(command)


@pytest.mark.parametrize(
    "failing", ["select_services", "take_over", "acquire_images", "restore_volumes", "begin_start"]
)
async def test_a_step_that_fails_is_the_last_one(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The step has no end event, its error is the run's, and nothing of the run is left."""

    async def fail(_: Context, __: Value) -> Value:
        raise UsageError("no")

    replaced = getattr(steps, failing)
    failing_steps = {
        event: tuple(fail if step is replaced else step for step in group) for event, group in steps.STEPS.items()
    }
    monkeypatch.setattr(steps, "STEPS", failing_steps)
    command = await machine.run_up(shop)
    assert (command.code, str(command.error)) == (None, "no")
    begun, ended = steps_of(command, "begin"), steps_of(command, "end")
    assert begun[:-1] == ended
    assert (machine.host.containers, machine.host.volumes) == ({}, {})
    assert command.guard is None or command.guard.dismissed


async def test_a_signal_in_any_step_ends_the_run(machine: Machine, shop: Site) -> None:
    """No error; the steps after it do not begin, and 130 is the exit code."""
    options = UpOptions(Selection(str(shop.folder)), watch=False, logs=False, build=False)
    for event in EVENTS:
        command = Command(machine)

        def emit(told: object, command: Command = command, event: str = event) -> None:
            command.emit(told)  # type: ignore[arg-type]
            if isinstance(told, Step) and (told.name, told.state) == (event, "begin"):
                command.interrupt()

        await command.serve(lambda c=command, e=emit: up._up(options, e, c.ending, None))  # type: ignore[misc]
        assert command.code == 130, (event, shown(command))
        assert machine.host.containers == {}, event
        is_told = any(isinstance(one, Notice) and one.message.startswith("interrupted") for one in command.events)
        assert is_told is not any(isinstance(one, Stopped) for one in command.events), event


@pytest.mark.parametrize("code", [0, 1])
async def test_a_run_ends_with_its_services(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The run fails if one of the services failed."""
    monkeypatch.setattr(observer, "OVER_AFTER", 0.1)
    async with anyio.create_task_group() as tasks:
        command = await machine.up(shop, tasks=tasks)
        (container,) = machine.host.containers.values()
        verbs.end(machine.host, container, code)
    assert command.code == code, shown(command)
    assert machine.host.containers == {}


async def test_facts_of_the_start_are_remembered(machine: Machine, shop: Site) -> None:
    """Later commands can read images, times and the beginning of the run."""
    await machine.run_up(shop)
    last = run_of(machine).last()
    assert set(last) == {"v", "timings", "steps", "images", "urls", "began"}
    assert set(last["images"]) == {"db"}


async def test_view_can_detach_the_run(machine: Machine, shop: Site) -> None:
    """The run is detached as if it had been asked for on the command line."""
    command = Command(machine)
    controller = RunController(lambda _: None, lambda _, __: None, lambda: None)
    options = UpOptions(Selection(str(shop.folder)), watch=False, logs=False, build=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "ttyname", lambda _: "/dev/null")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(command.serve, lambda: up._up(options, command.emit, command.ending, controller))
            await command.ready.wait()
            controller.detached.set()
    assert command.code == 0, shown(command)
    ledger = run_of(machine).read()
    assert ledger is not None
    assert ledger.phase == "detached"
    assert [c.state for c in machine.host.containers.values()] == ["running"]


async def test_an_earlier_run_that_is_cleaned_up_is_waited_for(machine: Machine, shop: Site) -> None:
    """Its lock says so."""
    await machine.run_up(shop)
    run = run_of(machine)
    with run.lock.hold(cleaning=True):
        async with anyio.create_task_group() as tasks:
            command = Command(machine)
            options = UpOptions(Selection(str(shop.folder)), watch=False, logs=False, build=False, detach=True)
            tasks.start_soon(command.serve, lambda: up._up(options, command.emit, command.ending, None))
            await anyio.sleep(0.3)
            assert [e.message for e in command.events if isinstance(e, Notice)] == [
                "waiting until the run before this one is cleaned up"
            ]
            assert steps_of(command, "begin") == ["load"]
            command.interrupt()
    assert command.code == 130


def end(*, sign: signal.Signals | None = None, outcome: RunOutcome = RunOutcome.ENDED, failed: bool = False) -> End:
    ending = ShutdownSignals()
    if sign is not None:
        ending.receive(sign)
    return End(ending, outcome, failed)


def is_dismissed(run: Opened) -> bool:
    assert run.command.guard is not None
    return run.command.guard.dismissed


def exists(machine: Machine) -> list[str]:
    containers = [c.name for c in machine.host.containers.values()]
    return sorted(
        [*containers, *machine.host.volumes, *(n.name for n in machine.host.networks.values() if "_" in n.name)]
    )


@pytest.mark.parametrize(
    ("how", "keep", "fate", "reason", "code"),
    [
        (end(), False, Fate.REMOVE, "done", 0),
        (end(outcome=RunOutcome.FAILED), False, Fate.REMOVE, "done", 1),
        (end(sign=INT), False, Fate.REMOVE, "INT", 130),
        (end(sign=TERM), True, Fate.KEEP, "TERM", 143),
        (end(failed=True), True, Fate.REMOVE, "error", 0),
        (end(outcome=RunOutcome.DETACHED), False, Fate.DETACH, "done", 0),
        (end(outcome=RunOutcome.DETACHED), True, Fate.DETACH, "done", 0),
        (end(outcome=RunOutcome.DETACHED, sign=INT), False, Fate.REMOVE, "INT", 130),
        (end(outcome=RunOutcome.DETACHED, failed=True), False, Fate.REMOVE, "error", 0),
        (end(outcome=RunOutcome.FAILED), True, Fate.KEEP, "done", 1),
    ],
)
def test_fate_of_the_project_by_the_end_of_the_run(how: End, keep: bool, fate: Fate, reason: str, code: int) -> None:
    """After an error it is removed in any case; after a signal it is removed even with --detach."""
    assert (how.fate(keep=keep), how.reason, how.exit_code(None)) == (fate, reason, code)


def test_survivors_are_a_failure() -> None:
    """Of a run that no signal ended."""
    assert end().exit_code(Stopped(("volume shop_data",))) == 1
    assert end(sign=INT).exit_code(Stopped(("volume shop_data",))) == 130


async def test_before_the_guardian_there_is_nothing_to_stop(machine: Machine, shop: Site) -> None:
    """Neither the loaded project nor the chosen services need a stop."""
    async with opened(machine, shop) as run:
        selected = await run.after(steps.select_services)
        assert await stop(run.context, run.loaded, end(failed=True)) is None
        assert await stop(run.context, selected, end(failed=True)) is None
        assert run.command.events == []


@pytest.mark.parametrize(
    ("last", "lines"),
    [
        (steps.start_guardian, []),
        (steps.take_over, []),
        (steps.begin_ledger, []),
        (steps.before_up, ["down"]),
        (steps.build_images, ["down"]),
        (steps.activate, ["down"]),
        (steps.create_containers, ["down"]),
    ],
)
async def test_a_failure_after_any_step_leaves_nothing(
    machine: Machine, shop: Site, last: Callable[..., Any], lines: list[str]
) -> None:
    """The guardian is dismissed; `before_down` runs only if `before_up` has."""
    async with opened(machine, shop, hooks=(HOOK,), trust=True) as run:
        reached = await run.after(last)
        await stop(run.context, reached, end(failed=True))
        assert [e.line for e in run.command.events if isinstance(e, HookLine)] == lines
        assert is_dismissed(run)
        assert run.context.run.read() is None
    assert exists(machine) == []


@pytest.mark.parametrize("last", [steps.start_guardian, steps.before_up, steps.build_images])
async def test_remains_of_a_dead_run_keep_a_guardian(machine: Machine, shop: Site, last: Callable[..., Any]) -> None:
    """If a new run ends before its takeover, the guardian of the dead run stays, having seen a live run."""
    async with anyio.create_task_group() as tasks:
        dead = await machine.up(shop, tasks=tasks)
        await dead.killed()
    async with opened(machine, shop) as run:
        reached = await run.after(last)
        await stop(run.context, reached, end(failed=True))
        assert not is_dismissed(run)
        assert exists(machine) != []
    await machine.guard(run.command)
    assert (exists(machine), len(Store.at_home().all())) == ([], 1)


@pytest.mark.parametrize(
    ("options", "wish", "snapshots", "left"),
    [
        ({}, None, 1, []),
        ({"keep_volumes": True}, None, 0, ["shop_data"]),
        ({"keep_volumes": True}, VolumePolicy.SAVE, 1, []),
        ({}, VolumePolicy.DROP, 0, []),
    ],
    ids=["saved", "kept", "another command saves", "another command drops"],
)
async def test_volumes_are_saved_unless_somebody_wants_otherwise(
    machine: Machine, shop: Site, options: dict[str, Any], wish: VolumePolicy | None, snapshots: int, left: list[str]
) -> None:
    """`devenv down` elsewhere counts before the command line of the run."""
    async with opened(machine, shop, **options) as run:
        active = await run.after(steps.wait_until_healthy)
        if wish is not None:
            run.context.run.ask(wish)
        machine.host.advance(10)
        stopped = await stop(run.context, active, end(sign=INT))
        assert stopped is not None
        assert (stopped.survivors, is_dismissed(run)) == ((), True)
    assert (len(Store.at_home().all()), exists(machine)) == (snapshots, left)


@pytest.mark.parametrize(("outcome", "expected"), [(RunOutcome.ENDED, True), (RunOutcome.DETACHED, False)])
async def test_other_commands_see_that_a_run_is_ending(
    machine: Machine, shop: Site, outcome: RunOutcome, expected: bool
) -> None:
    """From before the `before_down` hooks on, so that they wait instead of asking it to end."""
    async with opened(machine, shop, hooks=(HOOK,), trust=True) as run:
        active = await run.after(steps.wait_until_healthy)
        assert not run.context.run.lock.is_ending()
        marks = list[bool]()
        context = replace(run.context, emit=lambda _: marks.append(run.context.run.lock.is_ending()))
        await stop(context, active, end(outcome=outcome))
        assert run.context.run.lock.is_ending() == expected
        assert set(marks) == ({True} if expected else set())


async def test_a_detached_run_stays_for_a_later_command(machine: Machine, shop: Site) -> None:
    """No hook of its end runs; its volumes hold a whole state."""
    async with opened(machine, shop, hooks=(HOOK,), trust=True) as run:
        active = await run.after(steps.wait_until_healthy)
        assert await stop(run.context, active, end(outcome=RunOutcome.DETACHED)) is None
        ledger = run.context.run.read()
        assert ledger is not None
        assert (ledger.phase, [r.content.value for r in ledger.volumes]) == ("detached", ["settled"])
        assert is_dismissed(run)
        assert not [e for e in run.command.events if isinstance(e, HookLine)]
    assert exists(machine) == ["shop-db-1", "shop_data", "shop_default"]


async def test_kept_volumes_belong_to_the_user(machine: Machine, shop: Site) -> None:
    """`down` ends the containers afterwards, and the volume stays."""
    async with opened(machine, shop, keep=True) as run:
        active = await run.after(steps.wait_until_healthy)
        assert await stop(run.context, active, end(sign=INT)) is None
        ledger = run.context.run.read()
        assert ledger is not None
        assert (ledger.phase, ledger.volumes) == ("kept", ())
        assert [e.name for e in run.command.events if isinstance(e, Kept)] == ["shop_data"]
    await machine.down(shop)
    assert exists(machine) == ["shop_data"]


async def test_the_guardian_stays_when_the_engine_is_lost(machine: Machine, shop: Site) -> None:
    """The objects of the last look are reported as left."""
    async with opened(machine, shop) as run:
        active = await run.after(steps.wait_until_healthy)
        machine.host.stop_engine()
        stopped = await stop(run.context, active, end(sign=INT))
        assert stopped is not None
        assert "container shop-db-1" in stopped.survivors
        assert not is_dismissed(run)
        (problem,) = [e for e in run.command.events if isinstance(e, Problem)]
        assert "a guardian tries again" in problem.message
        with pytest.raises(EngineError):
            await run.context.engine.project_state("shop")


async def test_all_published_ports_are_reported(machine: Machine) -> None:
    """Ports from the file are included."""
    number = free_port()
    site = machine.site("shop", web={"ports": [{"target": 80, "published": str(number), "protocol": "tcp"}]})
    command = await machine.run_up(site, detach=True)
    (ready,) = [event for event in command.events if isinstance(event, Ready)]
    assert [(port.service, port.target, port.address) for port in ready.ports] == [("web", 80, f"127.0.0.1:{number}")]


async def test_a_keeper_holds_a_detached_run(machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the options and the ledger's time, and a run that fails before its takeover lets it go on.

    Its note is on disk before the ledger says that the run is detached.
    """
    notes = list[KeeperNote]()

    async def ended(_: Run) -> KeeperNote | None:
        return notes[-1] if notes else None

    def started(run: Run, descriptor: int, note: KeeperNote) -> None:
        assert run.lock.is_held()
        os.fstat(descriptor)
        notes.append(note)

    def written(run: Run, ledger: Ledger) -> None:
        assert ledger.phase != "detached" or note_of(run) is not None or not is_watching
        write(run, ledger)

    write, is_watching = Run.write, False
    monkeypatch.setattr(Run, "write", written)

    monkeypatch.setattr(background, "start", started)
    monkeypatch.setattr(background, "end", ended)
    await machine.run_up(shop, detach=True)
    assert notes == []  # without watching
    is_watching = True
    command = await machine.run_up(shop, detach=True, watch=True, lan=True)
    ledger = run_of(machine).read()
    assert ledger is not None
    (note,) = notes
    assert (note.began, note.options["lan"]) == (ledger.began, True)
    assert command.events[-1] == Notice(hand_over.KEPT, "devenv down")

    failed = await machine.run_up(shop, "nothing", watch=True)
    assert isinstance(failed.error, UsageError)
    assert notes == [note, note]
    assert not any(isinstance(event, Notice) and event.message == hand_over.KEPT for event in failed.events)

    await machine.run_up(shop, "db", detach=True, watch=True)
    assert notes.pop().options["selection"]["services"] == ()  # the services of the keeper before it

    await machine.run_up(shop)  # takes it over, and ends it
    assert notes == [note, note]
    assert run_of(machine).read() is None
