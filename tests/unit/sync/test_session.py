"""The sync of a run while its rules change: which rules serve which containers, and which state is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.events import Event
from devenv.model.containers import Container
from devenv.model.project import Action, Project, Service, WatchRule
from devenv.state.kept import MARGIN
from devenv.sync import adoption
from devenv.sync.container.journal import StagedPaths, SyncJournal
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.readback import Seen
from devenv.sync.rules import rules
from devenv.sync.rules.rules import BoundRule
from devenv.sync.session import SyncSession

pytestmark = pytest.mark.anyio

WEB = Container(id="one", name="p-web-1", service="web", state="created", ours=True)


class FakeTarget:
    """A container that keeps what it is asked for."""

    def __init__(self) -> None:
        self.container = WEB
        self.staged = StagedPaths(SyncJournal())
        self.executable: set[str] = set()
        self.put: list[str] = []
        self.deleted: list[str] = []
        self.is_closed = False

    async def compare(self, *_: Any) -> Seen:
        """Return no difference, so that files are put only because they changed."""
        return Seen((), frozenset())

    async def deliver(self, deletes: Sequence[Any], syncs: Sequence[Any], _meanwhile: Any) -> SyncOutcome:
        """Done."""
        self.deleted += [delete.target for delete in deletes]
        self.put += [sync.target for sync in syncs]
        return SyncOutcome()

    async def close(self) -> None:
        """No shell is open any more."""
        self.is_closed = True


class Run:
    """A project with a folder `src`, its sync session, and the containers that it serves."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        self.source.mkdir()
        self.directory = str(folder)
        self.events: list[Event] = []
        self.reached: list[FakeTarget] = []
        self.on_reach: Callable[[], Any] | None = None
        self.restarts, self.may_restart = 0, anyio.Event()
        self.session = SyncSession(
            lambda _: cast("Engine", self), emit=self.events.append, actions=self, journals=str(folder / "journals")
        )

    @property
    def containers(self) -> Run:
        """The part of the engine that restarts containers."""
        return self

    async def restart(self, _: Container) -> None:
        """Wait until that is allowed."""
        self.restarts += 1
        await self.may_restart.wait()

    def rules(self, target: str, action: Action = Action.SYNC) -> tuple[Project, tuple[BoundRule, ...]]:
        """The project with a rule from `src` to a folder of the container."""
        rule = WatchRule(str(self.source), action, target)
        project = Project("p", self.directory, (), (Service("web", watch=(rule,)),))
        return project, rules.bind(project, {})

    async def reach(self, *_: Any) -> FakeTarget:
        """The fake for a container; `on_reach` comes first, once."""
        on_reach, self.on_reach = self.on_reach, None
        if on_reach is not None:
            await on_reach()
        self.reached.append(FakeTarget())
        return self.reached[-1]

    async def rebuild(self, _: str, __: str) -> None:
        """No rule of these tests does that."""
        raise AssertionError

    recreate = rebuild

    def restarting(self, _: Sequence[Container]) -> AbstractAsyncContextManager[None]:
        """Nothing else has to know of a restart."""
        return nullcontext()


async def until(is_met: Callable[[], object]) -> None:
    """Returns once that is so."""
    with anyio.fail_after(20):
        while not is_met():  # noqa: ASYNC110 - the session reports no event
            await anyio.sleep(0.005)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that has no rules yet."""
    run = Run(tmp_path)
    monkeypatch.setattr(adoption, "Target", run)
    return run


async def test_a_change_reaches_the_container_once_the_session_is_open(run: Run) -> None:
    """Until then it is pending."""
    async with anyio.create_task_group() as tasks:
        await run.session.follow(tasks, *run.rules("/app"))
        await run.session.adopt(WEB)
        run.source.joinpath("a").write_text("1")
        await until(run.session.pending)
        assert run.session.pending() == {"web": 1}
        assert run.reached[0].put == []
        run.session.open()
        await until(lambda: not run.session.pending())
        assert run.reached[0].put == ["/app/a"]
        tasks.cancel_scope.cancel()


async def test_progress_of_what_was_saved(run: Run) -> None:
    """A save counts once the session has caught up, and a container that is not served yet is under way."""
    async with anyio.create_task_group() as tasks:
        assert run.session.progress("web", [WEB]) == ("", False)
        await run.session.follow(tasks, *run.rules("/app"))
        assert run.session.progress("web", []) == ("", True)
        run.session.open()
        assert run.session.progress("web", [WEB]) == ("", True)
        await run.session.adopt(WEB)
        assert run.session.progress("web", [WEB]) == ("", False)
        for number in range(20):
            run.source.joinpath("a").write_text(f"{number}")
            await run.session.catch_up()
            while run.session.progress("web", [WEB])[1]:  # noqa: ASYNC110 - the session reports no event
                await anyio.sleep(0.001)
            assert run.reached[0].put == ["/app/a"] * (number + 1)
        tasks.cancel_scope.cancel()


async def test_saves_are_synced_until_the_first_that_has_had_no_effect(run: Run) -> None:
    """A restart that has not ended counts, and saves since a time that is given; without any, the time goes on."""
    async with anyio.create_task_group() as tasks:
        run.source.joinpath("a").write_text("1")
        await run.session.follow(tasks, *run.rules("/app", Action.SYNC_RESTART))
        await run.session.adopt(WEB)
        run.session.saved_since(5.0, rebuilds=True)
        assert run.session.synced_until() == 5.0 - MARGIN
        run.session.open()
        await until(lambda: run.restarts)
        assert (run.session.pending(), run.session.synced_until()) == ({}, 5.0 - MARGIN)
        run.may_restart.set()
        await until(lambda: run.session.synced_until() > 5.0)
        before = time.time()
        assert run.session.synced_until() >= before - MARGIN
        tasks.cancel_scope.cancel()


async def test_without_rules_nothing_is_served(run: Run) -> None:
    """There are none at the beginning, or the last rule was removed."""
    project, bound = run.rules("/app")
    async with anyio.create_task_group() as tasks:
        await run.session.follow(tasks, project, ())
        await run.session.adopt(WEB)
        assert run.reached == []
        await run.session.follow(tasks, project, bound)
        await run.session.adopt(WEB)
        await run.session.follow(tasks, project, ())
        await run.session.adopt(WEB)
        await run.session.drop(WEB.id)
        run.session.open()
        assert run.session.pending() == {}
        tasks.cancel_scope.cancel()
    assert [target.is_closed for target in run.reached] == [True]


async def test_changes_that_were_pending_are_kept_when_the_rules_change(run: Run) -> None:
    """A file that was deleted under the earlier rules is deleted by the new rules."""
    run.source.joinpath("a").write_text("1")
    async with anyio.create_task_group() as tasks:
        await run.session.follow(tasks, *run.rules("/app"))
        run.source.joinpath("a").unlink()
        await until(run.session.pending)
        await run.session.follow(tasks, *run.rules("/srv"))
        assert run.session.pending()
        await run.session.adopt(WEB)
        run.session.open()
        await until(lambda: not run.session.pending())
        assert run.reached[-1].deleted == ["/srv/a"]
        tasks.cancel_scope.cancel()


async def test_a_container_that_is_adopted_while_the_rules_change_is_served_by_the_new_rules(run: Run) -> None:
    """The files of the earlier rules do not count, and their shell is closed."""
    async with anyio.create_task_group() as tasks:
        await run.session.follow(tasks, *run.rules("/app"))
        run.on_reach = lambda: run.session.follow(tasks, *run.rules("/srv"))
        await run.session.adopt(WEB)
        old, new = run.reached
        assert (old.is_closed, new.is_closed) == (True, False)
        run.session.open()
        run.source.joinpath("a").write_text("1")
        await until(lambda: new.put)
        assert (old.put, new.put) == ([], ["/srv/a"])
        tasks.cancel_scope.cancel()


async def test_after_the_end_nothing_is_served(run: Run) -> None:
    """Every container's shell is closed, also if the run was cancelled before; a second end does nothing."""
    async with anyio.create_task_group() as tasks:
        await run.session.follow(tasks, *run.rules("/app"))
        await run.session.adopt(WEB)
        tasks.cancel_scope.cancel()
    await run.session.end()
    await run.session.end()
    assert [target.is_closed for target in run.reached] == [True]
    await run.session.adopt(WEB)
    assert len(run.reached) == 1
