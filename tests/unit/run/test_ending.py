"""The end of a run: the fate of the project when a run ends after each step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from devenv.errors import EngineError
from devenv.events import HookLine, Kept, Problem, Stopped
from devenv.model.project import SHELL, Hook, Moment, ProjectHook
from devenv.run import steps
from devenv.run.ending import End, Fate, RunOutcome, stop
from devenv.signals import ShutdownSignals
from devenv.state.ledger import VolumePolicy
from devenv.volumes.store import Store
from support.memory.machine import Machine, Site, mounted
from support.steps import Opened, opened

pytestmark = pytest.mark.anyio
INT, TERM = signal.SIGINT, signal.SIGTERM
HOOK = ProjectHook(Moment.BEFORE_DOWN, Hook((*SHELL, "echo down")), where="compose.yml:7")


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with one service and one named volume."""
    return machine.site("shop", db={"volumes": [mounted("data")]})


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
        (steps.acquire_images, ["down"]),
        (steps.activate, ["down"]),
        (steps.build_images, ["down"]),
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


@pytest.mark.parametrize("last", [steps.start_guardian, steps.before_up, steps.begin_builds])
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
        assert "a guardian ends the run as soon as the engine answers" in problem.message
        with pytest.raises(EngineError):
            await run.context.engine.project_state("shop")
