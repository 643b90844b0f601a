"""Whole runs of `devenv up` on an engine in memory: events, exit codes, and the end after an error or a signal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.errors import UsageError
from devenv.events import Notice, Ready, Step, Stopped
from devenv.run import steps, up
from devenv.run.active.control import RunController
from devenv.run.options import UpOptions
from devenv.run.steps import Context, Value
from devenv.state.run_dir import Run
from support.memory import verbs
from support.memory.command import Command
from support.memory.machine import Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio
EVENTS = ["load", "check", "images", "build", "restore", "create", "sync", "start", "healthy"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with one engine, whose state folder is private to the test."""
    with Machine(tmp_path).installed() as made:
        yield made


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
    """It has no end, its error is the run's, and nothing of the run is left."""

    async def fail(_: Context, __: Value) -> Value:
        raise UsageError("no")

    def with_failure() -> Iterator[tuple[str, steps.UpStep]]:
        for event, step in steps.STEPS:
            yield event, fail if step is getattr(steps, failing) else step

    monkeypatch.setattr(steps, "STEPS", tuple(with_failure()))
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


@pytest.mark.parametrize("code", [0, 1])
async def test_a_run_ends_with_its_services(machine: Machine, shop: Site, code: int) -> None:
    """It is a failure if one of them ended badly."""
    async with anyio.create_task_group() as tasks:
        command = await machine.up(shop, tasks=tasks)
        (container,) = machine.host.containers.values()
        verbs.end(machine.host, container, code)
    assert command.code == code, shown(command)
    assert machine.host.containers == {}


async def test_what_the_start_was_like_is_remembered(machine: Machine, shop: Site) -> None:
    """For the next commands: the images, the times and the beginning."""
    await machine.run_up(shop)
    last = run_of(machine).last()
    assert set(last) == {"v", "timings", "steps", "images", "urls", "began"}
    assert set(last["images"]) == {"db"}


async def test_a_view_can_let_go_of_the_services(machine: Machine, shop: Site) -> None:
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
