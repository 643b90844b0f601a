"""Commands, restarts and recreations follow once nothing changes any more."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from devenv.docker import containers
from devenv.errors import EngineError
from devenv.events import Executed, Restarted
from devenv.model.project import Hook
from devenv.model.sync_plan import Exec, Restart, ServicePlan
from devenv.sync.followups import FLOOD_QUIET, QUIET, FollowUps, QuietPeriod
from support.engine import Fails
from support.memory import verbs
from support.memory.host import Container
from support.one_service import OneService, until

pytestmark = pytest.mark.anyio

MIGRATE = Exec(Hook(("migrate", "--all"), user="app", working_dir="/src"), "a.py")
STEP = ServicePlan("web", execs=(MIGRATE,), restart=Restart("a.py"))


@pytest.fixture
def service(tmp_path: Path) -> OneService:
    """A service without files."""
    return OneService(tmp_path)


@pytest.fixture
def followups(service: OneService) -> FollowUps:
    """The pending follow-ups of the service."""
    return service.sync.followups


@pytest.mark.parametrize(
    ("changes", "ends_at"),
    [
        ([(1, 10.0)], 10.0 + QUIET),
        ([(1, 10.0), (1, 10.1)], 10.1 + QUIET),
        ([(12, 10.0)], 10.0 + FLOOD_QUIET),
        ([(11, 10.0)], 10.0 + QUIET),
        ([(12, 10.0), (1, 10.2)], 10.2 + FLOOD_QUIET),
        ([(12, 10.0), (1, 10.4)], 10.4 + QUIET),
    ],
)
def test_a_quiet_period_is_longer_in_a_flood(changes: Sequence[tuple[int, float]], ends_at: float) -> None:
    """Each change restarts the period; a change right after many others belongs to them."""
    quiet = QuietPeriod()
    for paths, now in changes:
        quiet.extend(paths, now)
    assert quiet.ends_at == pytest.approx(ends_at)


def test_the_first_cause_of_a_restart_is_kept_and_each_command_is_run_once(followups: FollowUps) -> None:
    followups.owe(STEP)
    followups.owe(ServicePlan("web", execs=(Exec(MIGRATE.hook, "b.py"),), restart=Restart("b.py")))
    assert (followups.restart, [*followups.execs]) == (Restart("a.py"), [MIGRATE.hook])


def test_nothing_is_due_if_nothing_is_owed(followups: FollowUps) -> None:
    followups.quiet.extend(1, 10.0)
    assert followups.due() == math.inf
    followups.owe(STEP)
    assert followups.due() == 10.0 + QUIET


def test_pending_follow_ups_survive_a_change_of_rules(service: OneService, followups: FollowUps) -> None:
    followups.owe(STEP)
    followups.recreation = "gone.py"
    now = service.again().followups
    now.inherit(followups)
    assert (now.restart, now.recreation, [*now.execs.values()]) == (Restart("a.py"), "gone.py", [MIGRATE])


async def act(followups: FollowUps) -> None:
    """All that is owed, done."""
    async with anyio.create_task_group() as tasks:
        followups.start_if_quiet(tasks)


async def test_a_command_is_run_in_each_running_container_before_the_restart(
    service: OneService, followups: FollowUps
) -> None:
    """The hook's options are used; a container that does not run is left out."""
    runs: list[tuple[str, Sequence[str], Any]] = []

    def execution(container: Container, argv: Sequence[str], options: Mapping[str, Any]) -> tuple[int, bytes]:
        if options.get("AttachStdin"):
            return 127, b""  # no shell
        runs.append((container.id, argv, options.get("User")))
        return 3, b"done\n"

    service.host.execution = execution
    for number, state in enumerate(("running", "running", "exited"), 1):
        await service.sync.adoption.adopt(await service.place(state, number=number))
    followups.owe(STEP)
    await act(followups)
    assert sorted(runs) == [(f"id-web-{number}", ["migrate", "--all"], "app") for number in (1, 2)]
    executed = [event for event in service.events if isinstance(event, (Executed, Restarted))]
    assert [(e.service, e.command, e.exit_code, e.output) for e in executed if isinstance(e, Executed)] == [
        ("web", "migrate --all", 3, "done\n")
    ] * 2
    assert isinstance(executed[-1], Restarted)
    assert executed[-1].cause == "a.py"
    assert not followups.are_owed


async def test_a_restart_is_announced_and_restarts_each_container(service: OneService, followups: FollowUps) -> None:
    """The failure detection gets the containers that may end before they do."""
    await service.sync.adoption.adopt(await service.place("running"))
    began = service.host.containers["id-web-1"].started
    followups.owe(ServicePlan("web", restart=Restart("a.py")))
    await act(followups)
    assert service.replaced == [("restarting", "web", "id-web-1")]
    assert service.host.containers["id-web-1"].started != began


@pytest.mark.parametrize("what", ["exec", "restart"])
async def test_engine_error_is_a_problem(service: OneService, followups: FollowUps, what: str) -> None:
    await service.sync.adoption.adopt(await service.place("running"))
    service.engine.faults.on(f"containers/id-web-1/{what}", Fails(500, "out of pids"))
    followups.owe(STEP)
    await act(followups)
    assert [message for message in service.problems if "out of pids" in message]
    assert len(service.problems) == 1
    assert service.events_of(Restarted)


async def test_a_container_that_a_restart_leaves_stopped_is_a_problem(
    service: OneService, followups: FollowUps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine has ended it and cannot start it, for example because its port is taken now."""
    monkeypatch.setattr(containers, "AGAIN", (0.0,))
    await service.sync.adoption.adopt(await service.place("running"))
    verbs.stop(service.host, service.host.containers["id-web-1"])
    for verb in ("restart", "start"):
        service.engine.faults.on(f"containers/id-web-1/{verb}", Fails(500, "port is already allocated"))
    followups.owe(ServicePlan("web", restart=Restart("a.py")))
    await act(followups)
    assert [message for message in service.problems if "port is already allocated" in message]


async def test_what_new_rules_cut_off_is_pending_under_them(service: OneService, followups: FollowUps) -> None:
    """A command that was running, and the restart after it; files synced meanwhile may have added more."""
    more = Exec(Hook(("seed",)), "b.py")

    def execution(*_: object) -> tuple[int, bytes]:
        followups.owe(ServicePlan("web", execs=(more,), restart=Restart("b.py")))
        tasks.cancel_scope.cancel()
        return 0, b""

    await service.sync.adoption.adopt(await service.place("running"))
    service.host.execution = execution
    followups.owe(STEP)
    async with anyio.create_task_group() as tasks:
        followups.start_if_quiet(tasks)
    (now := service.again().followups).inherit(followups)
    assert ([*now.execs.values()], now.restart, now.are_owed) == ([MIGRATE, more], Restart("a.py"), True)


@pytest.mark.parametrize("is_removed", [True, False])
async def test_a_container_that_has_ended_meanwhile_is_no_problem(
    service: OneService, followups: FollowUps, *, is_removed: bool
) -> None:
    """As by `docker compose up --force-recreate`: the new container begins with all files."""
    await service.sync.adoption.adopt(await service.place("running"))
    if is_removed:
        del service.host.containers["id-web-1"]
    else:
        service.host.containers["id-web-1"].state = "exited"
    followups.owe(ServicePlan("web", execs=(MIGRATE,)))
    await act(followups)
    assert service.problems == []
    assert service.events_of(Executed) == []


async def test_the_containers_are_recreated_before_commands_are_run(
    service: OneService, followups: FollowUps
) -> None:
    """The new containers are those that the commands are for."""
    await service.sync.adoption.adopt(await service.place("running"))
    followups.owe(STEP)
    followups.recreation = "gone.py"
    await act(followups)
    assert service.replaced == [("recreate", "web", "gone.py"), ("restarting", "web", "id-web-1")]


async def test_a_rebuild_that_fails_is_a_problem(service: OneService, followups: FollowUps) -> None:
    assert await followups.rebuild("Dockerfile")
    service.replace_fails = EngineError("the build failed", hint="look above")
    assert not await followups.rebuild("Dockerfile")
    assert service.replaced == [("rebuild", "web", "Dockerfile")] * 2
    assert service.problems == ["the build failed"]


async def test_nothing_is_done_before_the_quiet_period_has_ended(service: OneService, followups: FollowUps) -> None:
    followups.owe(STEP)
    followups.quiet.extend(1, anyio.current_time())
    await act(followups)
    assert followups.are_owed


async def test_nothing_is_done_while_the_host_is_not_at_rest(service: OneService, followups: FollowUps) -> None:
    """A look is due, or git is at work: it is tried again later."""
    followups.owe(STEP)
    service.is_at_rest = False
    await act(followups)
    assert followups.are_owed
    assert followups.due() == pytest.approx(anyio.current_time() + QUIET, abs=QUIET)
    assert not service.events_of(Restarted)


async def test_follow_up_during_another_one_is_done_afterwards(service: OneService, followups: FollowUps) -> None:
    """There is one restart at a time, and the serving task is woken at its end."""
    await service.sync.adoption.adopt(await service.place("running"))
    service.sync.open()
    followups.owe(ServicePlan("web", restart=Restart("first")))
    async with service.state.turn, anyio.create_task_group() as tasks:
        followups.start_if_quiet(tasks)
        await checkpoint()
        followups.owe(ServicePlan("web", restart=Restart("second")))
        assert not followups.are_owed
        assert followups.due() == math.inf
        tasks.start_soon(service.sync.serve, tasks)
        await checkpoint()
        service.state.turn.release()
        await until(lambda: len(service.events_of(Restarted)) == 2)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await service.state.turn.acquire()
    assert [event.cause for event in service.events_of(Restarted)] == ["first", "second"]


async def test_until_quiet_includes_later_changes(service: OneService, followups: FollowUps) -> None:
    """A rebuild is of all that was saved, not of its first file."""
    paths = {service.write("Dockerfile")}
    began = anyio.current_time()

    async def save() -> None:
        await anyio.sleep(QUIET / 2)
        service.write("app.py")
        service.look()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(save)
        await followups.until_quiet(paths)
    assert {str(service.folder / name) for name in ("Dockerfile", "app.py")} <= paths
    assert not service.state.waiting
    assert anyio.current_time() - began >= 1.5 * QUIET  # the change in the middle begins the quiet time again
