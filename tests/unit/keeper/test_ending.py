"""A keeper ends its run if a command asks it to: on an engine in memory, by the run's socket."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import AsyncMock

import anyio
import pytest

from devenv.docker import endpoint
from devenv.docker.endpoint import Endpoint
from devenv.events import Event, Removed, Saved, Stopped, Stopping
from devenv.keeper.ending import KeeperEnd
from devenv.model.project import Hook, Moment, ProjectHook
from devenv.run import client
from devenv.run.active.feed import Feed
from devenv.run.active.observe.observer import Observer
from devenv.run.active.requests import Requests
from devenv.run.active.settle import Effects
from devenv.run.cleanup.guardian import Guardian
from devenv.run.cleanup.teardown import CUT_OFF_SWEEPS, Teardown
from devenv.run.step_values import Context
from devenv.run.view_messages import TimedEvent, message_of
from devenv.signals import ShutdownSignals
from devenv.state.identity import Window
from devenv.state.ledger import VolumePolicy
from devenv.volumes.store import Store
from support.active import Active, active
from support.memory.client import MEMORY
from support.memory.command import Guard
from support.memory.machine import Machine, mounted

if TYPE_CHECKING:
    from _socket import socket

pytestmark = pytest.mark.anyio
FILES = {
    "name": "name: other\nservices: {}\n",
    "variable": "name: ${NAME}\nservices: {}\n",
    "hooks": "name: shop\nservices: {}\nx-devenv: {hooks: {}}\n",
}


def lines(stream: socket) -> list[bytes]:
    """All lines that were sent on the connection, which the other side has closed."""
    content = b""
    with contextlib.closing(stream):
        while piece := stream.recv(1 << 16):
            content += piece
    return content.splitlines()


@dataclass
class Kept:
    """A run in the background, and its keeper's end."""

    run: Active
    end: KeeperEnd
    context: Context
    guard: Guard

    async def asked(self, *arguments: str) -> list[Event] | None:
        """The events that `down` with these arguments gets until the run has ended; None if it has to end it."""
        stream = client.begin_down([*arguments])
        assert stream is not None
        await anyio.wait_readable(stream)
        if not self.end.asked.is_set():
            assert lines(stream) == []
            return None
        await self.end.carry_out(self.context, cast("Guardian", self.guard), self.run.project)
        self.hang_up()
        begin, *rest = lines(stream)
        assert begin == b""
        messages = map(message_of, rest)
        return [message.event for message in messages if isinstance(message, TimedEvent)]

    def hang_up(self) -> None:
        """Close the connection, as the end of the process does."""
        assert self.end._client is not None
        self.end._client.close()


@contextlib.asynccontextmanager
async def kept(machine: Machine, monkeypatch: pytest.MonkeyPatch, **options: Any) -> AsyncIterator[Kept]:
    """A project with a volume, up in the background; commands are typed in its folder."""
    site = machine.site("shop", db={"volumes": [mounted("data")]})
    monkeypatch.chdir(site.folder)
    monkeypatch.setattr(endpoint, "resolve", AsyncMock(return_value=MEMORY))
    (site.folder / "compose.yml").write_text("name: shop\nservices: {}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(machine.state.parent))
    async with active(machine, site, **options) as run:
        await run.up()
        project, transfer = run.project, run.project.volumes.volume_transfer
        project.volumes.ledger = replace(project.ledger, phase="detached")
        transfer.run.write(project.ledger)
        feed = Feed(run.command.emit)
        monkeypatch.setattr(transfer, "emit", feed.emit)
        guard = Guard(project.engine.endpoint, transfer.run)
        async with anyio.create_task_group() as tasks:
            its, place = project.update.options, project.ledger.place
            context = Context(its, feed.emit, project.engine, "", transfer.run, place, transfer, tasks)
            end = KeeperEnd(feed, ShutdownSignals())
            requests = Requests(transfer.run, project, Effects(feed.emit), feed, goes_on=True)
            requests.end = partial(end.answer, context, project)
            await tasks.start(requests.listen)
            yield Kept(run, end, context, guard)
            tasks.cancel_scope.cancel()


@pytest.fixture
async def detached(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    """A run in the background."""
    async with kept(machine, monkeypatch) as run:
        yield run


async def test_the_command_sees_how_the_run_ends(machine: Machine, detached: Kept) -> None:
    """All is removed, volumes are saved, and the guardian is dismissed."""
    events = await detached.asked("--output", "json")
    assert events is not None
    assert events[0] == Stopping("down", 1)
    assert {event.name for event in events if isinstance(event, Removed)} >= {"shop-db-1", "shop_default"}
    assert [event.volume for event in events if isinstance(event, Saved)] == ["data"]
    assert isinstance(events[-1], Stopped)
    assert (machine.host.containers, machine.host.volumes) == ({}, {})
    assert detached.guard.dismissed
    run = detached.context.run
    assert run.read() is None


async def test_a_run_that_ends_has_the_guardian_of_a_run_in_the_foreground(detached: Kept) -> None:
    """Its guardian then removes the rest, as for a run in the foreground, and no command interrupts the keeper."""
    run = detached.context.run
    with run.lock.hold() as lock:
        run.lock.pass_on(lock, 1)
        stream = client.begin_down([])
        with anyio.fail_after(5):
            await detached.end.asked.wait()
        ledger = run.read()
        assert ledger is not None
        assert (ledger.phase, run.lock.is_ending(), run.lock.is_kept()) == ("up", True, False)
        assert stream is not None
        stream.close()  # the command is killed
        second = client.begin_down([])
        assert second is not None
        await anyio.wait_readable(second)
        assert lines(second) == []
        await detached.end.carry_out(detached.context, cast("Guardian", detached.guard), detached.run.project)
    detached.hang_up()
    assert run.read() is None


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ((), VolumePolicy.SAVE),
        (("-v",), VolumePolicy.DROP),
        (("--keep-volumes",), VolumePolicy.KEEP),
        (("--snapshot",), VolumePolicy.SNAPSHOT),
    ],
    ids=str,
)
async def test_the_command_decides_about_the_volumes(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], policy: VolumePolicy
) -> None:
    """Whatever `up -d` was told."""
    async with kept(machine, monkeypatch, keep_volumes=policy is not VolumePolicy.KEEP) as run:
        assert await run.asked(*words) is not None
        assert run.end.policy is policy
        assert run.context.run.wish is None
    assert (set(machine.host.volumes) == {"shop_data"}) is (policy is VolumePolicy.KEEP)
    assert bool(Store.at_home().all()) is (policy in (VolumePolicy.SAVE, VolumePolicy.SNAPSHOT))


@pytest.mark.parametrize("reason", ["engine", "context", "file", "lost", "hooks of the run", *FILES])
async def test_the_command_ends_what_the_keeper_cannot_judge(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, detached: Kept, reason: str
) -> None:
    """Another engine or project is selected, hooks have to run in the terminal, or the files have an error."""
    compose_file = detached.run.site.folder / "compose.yml"
    match reason:
        case "engine":
            settings = iter([["DOCKER_HOST=tcp://far"], client.settings()])
            monkeypatch.setattr(client, "settings", lambda: next(settings))
        case "context":
            monkeypatch.setattr(endpoint, "resolve", AsyncMock(return_value=Endpoint("unix:///elsewhere.sock")))
        case "file":
            compose_file.unlink()
        case "lost":
            monkeypatch.setattr(Observer, "is_engine_lost", True)
        case "hooks of the run":
            project, hook = detached.run.project, ProjectHook(Moment.BEFORE_DOWN, Hook(("true",)), where="x.yml:1")
            about = replace(project.desired.project, hooks=(hook,))
            loaded = replace(project.desired.loaded, project=about)
            monkeypatch.setattr(project._current, "desired", replace(project.desired, loaded=loaded))
        case _:
            compose_file.write_text(FILES[reason])
    assert await detached.asked() is None
    assert machine.host.containers
    ledger = detached.context.run.read()
    assert ledger is not None
    assert ledger.phase == "detached"


async def test_a_create_that_was_cut_off_may_still_take_effect(
    detached: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process before this one, or of `devenv run`: the engine is looked at several times."""
    sweeps, run_down = list[int](), Teardown.run_down

    async def noted(teardown: Teardown, *given: Any) -> Stopped:
        sweeps.append(teardown.quiet_sweeps)
        return await run_down(teardown, *given)

    monkeypatch.setattr(Teardown, "run_down", noted)
    detached.context.run.made.open(Window("shop", detached.context.run.made.owner, frozenset(), {}, frozenset()))
    assert await detached.asked() is not None
    assert sweeps == [CUT_OFF_SWEEPS]
