"""Whole runs of `devenv up` on an engine in memory."""

from __future__ import annotations

import os
import signal

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.errors import UsageError
from devenv.events import Notice, Ready, Step, Stopped
from devenv.model.project import SHELL, Hook, Moment, ProjectHook
from devenv.run import background, hand_over, steps, up
from devenv.run.active.control import RunController
from devenv.run.active.observe import observer
from devenv.run.preload import UpOptions
from devenv.run.step_values import Context, Value
from devenv.state.kept import KeeperNote, note_of
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from support.memory import verbs
from support.memory.command import Command
from support.memory.machine import Machine, Site, mounted, shown
from support.stack import free_port

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
    known = {"v", "timings", "steps", "images", "urls", "began", "forwarded_from", "containers"}
    assert set(last) == known
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

    def started(run: Run, descriptor: int, note: KeeperNote, _: object) -> None:
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
