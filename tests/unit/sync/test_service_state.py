"""The content of one service's containers, and the paths that still differ from the host."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import anyio
import pytest

from devenv.events import Event, Notice, Problem, Solved, Synced
from devenv.model.sync_plan import Delete, ServicePlan, Sync
from devenv.sync import reconcile
from devenv.sync.container.host_files import GONE
from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Changes
from devenv.sync.service_state import SyncReport, SyncState
from support.one_service import OneService

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(tmp_path: Path) -> OneService:
    """A service that ignores logs."""
    return OneService(tmp_path, ignore=("*.log",))


@pytest.fixture
def state(service: OneService) -> SyncState:
    """The sync state of the service."""
    return service.state


def test_only_paths_of_a_rule_are_queued(service: OneService, state: SyncState) -> None:
    path = service.write("a")
    service.write("b.log")
    service.look()
    state.notice([path, str(service.folder / "b.log"), "/elsewhere/a"])
    assert {*state.waiting} == {path, str(service.folder)}


def test_what_is_there_at_the_beginning_counts_as_delivered(service: OneService, state: SyncState) -> None:
    """Each container is brought up to date when it is adopted."""
    path = service.write("a")
    service.begin()
    assert {*state.delivered} == {path, str(service.folder)}
    assert state.plan([path], state.rules)[1] is None


def test_a_change_is_planned_until_it_is_recorded(service: OneService, state: SyncState) -> None:
    path = service.write("a")
    service.look()
    changes, step = state.plan([path], state.rules)
    assert step is not None
    assert [sync.target for sync in step.syncs] == ["/src/a"]
    state.record(changes)
    assert state.plan([path], state.rules)[1] is None


def test_a_plan_reports_what_cannot_be_synced_until_it_is_gone(service: OneService, state: SyncState) -> None:
    path = str(service.folder / "pipe")
    for _ in range(2):
        os.mkfifo(path)
        service.look()
        state.record(state.plan([path], state.rules)[0])
        os.unlink(path)
        service.look()
        state.record(state.plan([path], state.rules)[0])
    assert service.problems == ["src/pipe: neither a file, a folder nor a link: not synced"] * 2


def test_what_was_not_delivered_under_other_rules_waits(service: OneService, state: SyncState) -> None:
    """One file was added, one changed and one was deleted; their state in the containers is still known."""
    changed, gone, same = (service.write(name) for name in ("changed", "gone", "same"))
    service.begin()
    came = service.write("came")
    service.write("changed", "otherwise")
    os.unlink(gone)
    service.look()
    now = service.again().state
    now.begin(state)
    assert {*now.waiting} == {came, changed, gone}
    assert came not in now.delivered
    assert now.delivered[changed] == state.delivered[changed]
    assert now.delivered[gone] == state.delivered[gone]
    assert now.delivered[same] == state.delivered[same]
    assert now.report is state.report


def test_folders_that_came_along_are_recorded(service: OneService, state: SyncState) -> None:
    """Between the rule's own folder and the file, and looked at in their turn: the host may have none of them."""
    path = str(service.folder / "a/b/c")
    state.add_folders([Sync(path, "/src/a/b/c", root=str(service.folder))])
    folders = [str(service.folder / "a/b"), str(service.folder / "a")]
    assert state.delivered == dict.fromkeys(folders, reconcile.FOLDER)
    assert {*state.waiting} == {*folders}


def test_a_folder_above_a_recorded_one_came_along_too(service: OneService, state: SyncState) -> None:
    """A scan can see `a/b` before `a`: `a` was created for it, and is deleted if the host loses it."""
    path, root = str(service.folder / "a/b/c"), str(service.folder)
    state.delivered[str(service.folder / "a/b")] = reconcile.FOLDER
    state.add_folders([Sync(path, "/src/a/b/c", root=root)])
    assert state.delivered.keys() == {str(service.folder / "a/b"), str(service.folder / "a")}
    assert {*state.waiting} == {str(service.folder / "a")}


@pytest.mark.parametrize(
    ("delivered", "was", "kind"),
    [
        (None, FileKind.FILE, FileKind.FILE),
        (None, FileKind.DIR, FileKind.DIR),
        (FileKind.DIR, FileKind.DIR, FileKind.DIR),
        (FileKind.FILE, FileKind.DIR, FileKind.FILE),
        (FileKind.DIR, FileKind.FILE, FileKind.FILE),
        (None, FileKind.OTHER, FileKind.FILE),
    ],
)
def test_unknown_state_differs_from_any_state(
    state: SyncState, delivered: FileKind | None, was: FileKind, kind: FileKind
) -> None:
    """If it is a folder or a file it counts as a file, since deleting a file removes an empty folder, too."""
    states = {kind: FileState(kind, 0o755, 1, 2, 3, 4) for kind in FileKind}
    if delivered is not None:
        state.delivered["/p"] = states[delivered]
    state.mark_unknown({"/p": states[was]})
    unknown = state.delivered["/p"]
    assert (unknown.kind, unknown.is_doubtful) == (kind, True)
    assert not any(unknown.is_same(other) for other in states.values())


async def test_until_woken_returns_once_for_each_wake(state: SyncState) -> None:
    """An earlier wake counts, too; without one the call returns at the deadline."""
    state.wake()
    await state.until_woken(math.inf)
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await state.until_woken(math.inf)
    began = anyio.current_time()
    await state.until_woken(began + 0.01)
    assert anyio.current_time() >= began + 0.01


def report() -> tuple[SyncReport, list[Event]]:
    """A report, and all that it says."""
    events: list[Event] = []
    return SyncReport(events.append, "web", "/p"), events


def test_a_problem_is_said_once_until_it_is_over() -> None:
    """It is reported again if it comes back, or if its reason changes."""
    reporter, events = report()
    for _ in range(3):
        reporter.problems({"/p/a": "too large"})
    reporter.problems({"/p/a": "no space"})
    reporter.over({"/p/a", "/p/never"})
    reporter.problems({"/p/a": "no space"})
    assert [(e.message, e.path) for e in events if isinstance(e, Problem)] == [
        ("a: too large", "/p/a"),
        ("a: no space", "/p/a"),
        ("a: no space", "/p/a"),
    ]


def test_many_of_one_reason_are_one_line() -> None:
    """The first is named, the others are counted."""
    reporter, events = report()
    reporter.problems({f"/p/{name}": "too large" for name in "abc"})
    assert events == [Problem("a (+2 more): too large", None, "web", "/p/a")]


def test_a_hint_says_what_helps() -> None:
    """Known reasons have a hint, with the path if possible."""
    reporter, events = report()
    reporter.problems({"/p/src/loop": "a link that leads to itself: not synced"})
    assert events == [
        Problem(
            "src/loop: a link that leads to itself: not synced",
            "remove it, or add `ignore: [loop]` to the rule",
            "web",
            "/p/src/loop",
        )
    ]


def test_an_env_file_is_told_once() -> None:
    """Its path below the project, and the service."""
    reporter, events = report()
    for _ in range(2):
        reporter.env_files(["/p/src/.env", "/elsewhere/.env"])
    assert [e.message for e in events if isinstance(e, Notice)] == [
        "src/.env is copied into web",
        "/elsewhere/.env is copied into web",
    ]


def states(*paths: str, saved: float) -> Changes:
    """Files that were saved at that time (Unix seconds)."""
    return Changes(
        present=tuple((path, FileState(FileKind.FILE, 0o644, 1, 0, int(saved * 1e9), 1)) for path in paths)
    )


def test_failures_are_reported_by_host_path_if_there_is_one(tmp_path: Path) -> None:
    """A delete by its container path, a file that vanished not at all; a success ends the problem."""
    reporter, events = report()
    path, gone = str(tmp_path / "a"), str(tmp_path / "gone")
    tmp_path.joinpath("a").touch()
    step = ServicePlan(
        "web",
        deletes=(Delete("/src/b", "b"), Delete("/src/a", "a")),
        syncs=(Sync(path, "/src/a"), Sync(gone, "/src/gone")),
    )
    reasons = {"/src/a": "too large", "/src/b": "read-only", "/src/gone": "permission denied"}
    for _ in range(2):
        reporter.outcome(step, SyncOutcome(failed=reasons), {path, gone})
    assert [(e.message, e.path) for e in events if isinstance(e, Problem)] == [
        ("/src/b: read-only", "/src/b"),
        (f"{path}: too large", path),
    ]
    reporter.outcome(step, SyncOutcome(failed={"/src/a": GONE}), {path})
    reporter.outcome(step, SyncOutcome(failed=reasons), {path, gone})
    assert [(type(e), e.path) for e in events[2:] if isinstance(e, Problem | Solved)] == [
        (Solved, "/src/b"),
        (Problem, "/src/b"),
    ]
    reporter.outcome(step, SyncOutcome(), set())
    assert {e.path for e in events[4:] if isinstance(e, Solved)} == {"/src/b", path}
    reporter.outcome(step, SyncOutcome(failed=reasons), {path, gone})
    assert [e.path for e in events[4:] if isinstance(e, Problem)] == ["/src/b", path]


def test_a_sync_is_timed_from_the_last_save() -> None:
    """It is timed from its own beginning if the save is too old or in the future; without a path there is none."""
    reporter, events = report()
    step = ServicePlan("web", syncs=(Sync("/p/a", "/src/a"),), deletes=(Delete("/src/b", "b"), Delete("/src/a", "a")))
    now = time.time()
    reporter.synced(step, SyncOutcome(), states("/p/a", saved=now), now)
    assert events == []
    for saved, began, least, most in (
        (now - 1, now, 1000, 1900),
        (now - 60, now - 2, 2000, 2900),
        (now + 60, now - 2, 2000, 2900),
    ):
        reporter.synced(step, SyncOutcome(1, 2, 3, atomic=False), states("/p/a", saved=saved), began)
        event = events.pop()
        assert isinstance(event, Synced)
        assert least <= event.ms <= most
        assert (event.files, event.deleted, event.bytes, event.atomic) == (1, 2, 3, False)
        assert event.paths == ("a", "b")


def test_the_first_five_paths_of_a_sync_are_named() -> None:
    reporter, events = report()
    step = ServicePlan("web", syncs=tuple(Sync(f"/p/{i}", f"/src/{i}") for i in range(7)))
    reporter.synced(step, SyncOutcome(7), Changes(), time.time())
    assert [event.paths for event in events if isinstance(event, Synced)] == [("0", "1", "2", "3", "4")]
