"""What the containers of one service hold, and which paths still differ from the host."""

from __future__ import annotations

import math
import os
from pathlib import Path

import anyio
import pytest

from devenv.model.sync_plan import Sync
from devenv.sync import reconcile
from devenv.sync.host.manifest import FileState, Kind
from devenv.sync.service_state import ServiceState
from support.one_service import OneService

pytestmark = pytest.mark.anyio


@pytest.fixture
def one(tmp_path: Path) -> OneService:
    """A service that ignores logs."""
    return OneService(tmp_path, ignore=("*.log",))


@pytest.fixture
def state(one: OneService) -> ServiceState:
    """Its state."""
    return one.state


def test_only_paths_of_a_rule_are_queued(one: OneService, state: ServiceState) -> None:
    path = one.write("a")
    one.write("b.log")
    one.look()
    state.notice([path, str(one.folder / "b.log"), "/elsewhere/a"])
    assert {*state.waiting} == {path, str(one.folder)}


def test_what_is_there_at_the_beginning_counts_as_delivered(one: OneService, state: ServiceState) -> None:
    """Each container is brought up to date when it is adopted."""
    path = one.write("a")
    one.begin()
    assert {*state.delivered} == {path, str(one.folder)}
    assert state.plan([path], state.rules)[1] is None


def test_a_change_is_planned_until_it_is_recorded(one: OneService, state: ServiceState) -> None:
    path = one.write("a")
    one.look()
    changes, step = state.plan([path], state.rules)
    assert step is not None
    assert [sync.target for sync in step.syncs] == ["/src/a"]
    state.record(changes)
    assert state.plan([path], state.rules)[1] is None


def test_a_plan_reports_what_cannot_be_synced_until_it_is_gone(one: OneService, state: ServiceState) -> None:
    path = str(one.folder / "pipe")
    for _ in range(2):
        os.mkfifo(path)
        one.look()
        state.record(state.plan([path], state.rules)[0])
        os.unlink(path)
        one.look()
        state.record(state.plan([path], state.rules)[0])
    assert one.problems == ["src/pipe: neither a file, a folder nor a link: not synced"] * 2


def test_what_was_not_delivered_under_other_rules_waits(one: OneService, state: ServiceState) -> None:
    """A file that came, one that changed and one that went; what the containers hold of them is known still."""
    changed, gone, same = (one.write(name) for name in ("changed", "gone", "same"))
    one.begin()
    came = one.write("came")
    one.write("changed", "otherwise")
    os.unlink(gone)
    one.look()
    now = one.again().state
    now.begin(state)
    assert {*now.waiting} == {came, changed, gone}
    assert came not in now.delivered
    assert now.delivered[changed] == state.delivered[changed]
    assert now.delivered[gone] == state.delivered[gone]
    assert now.delivered[same] == state.delivered[same]
    assert now.report is state.report


def test_folders_that_came_along_are_recorded(one: OneService, state: ServiceState) -> None:
    """Between the rule's own folder and the file, and looked at in their turn: the host may have none of them."""
    path = str(one.folder / "a/b/c")
    state.add_folders([Sync(path, "/src/a/b/c", root=str(one.folder))])
    folders = [str(one.folder / "a/b"), str(one.folder / "a")]
    assert state.delivered == dict.fromkeys(folders, reconcile.FOLDER)
    assert {*state.waiting} == {*folders}


@pytest.mark.parametrize(
    ("delivered", "was", "kind"),
    [
        (None, Kind.FILE, Kind.FILE),
        (None, Kind.DIR, Kind.DIR),
        (Kind.DIR, Kind.DIR, Kind.DIR),
        (Kind.FILE, Kind.DIR, Kind.FILE),
        (Kind.DIR, Kind.FILE, Kind.FILE),
        (None, Kind.OTHER, Kind.FILE),
    ],
)
def test_what_is_unknown_differs_from_anything(
    state: ServiceState, delivered: Kind | None, was: Kind, kind: Kind
) -> None:
    """If it may be a folder or a file it counts as a file: that delete removes an empty folder, too."""
    states = {kind: FileState(kind, 0o755, 1, 2, 3, 4) for kind in Kind}
    if delivered is not None:
        state.delivered["/p"] = states[delivered]
    state.mark_unknown({"/p": states[was]})
    unknown = state.delivered["/p"]
    assert (unknown.kind, unknown.is_doubtful) == (kind, True)
    assert not any(unknown.is_same(other) for other in states.values())


async def test_until_woken_returns_once_for_each_wake(state: ServiceState) -> None:
    """Also for one that came before; without one it returns at the deadline."""
    state.wake()
    await state.until_woken(math.inf)
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await state.until_woken(math.inf)
    began = anyio.current_time()
    await state.until_woken(began + 0.01)
    assert anyio.current_time() >= began + 0.01
