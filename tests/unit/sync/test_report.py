"""What is said of paths: once, until it is over or changes."""

from __future__ import annotations

import time
from pathlib import Path

from devenv.events import Event, Notice, Problem, Synced
from devenv.model.sync_plan import Delete, ServicePlan, Sync
from devenv.sync.container.host_files import GONE
from devenv.sync.container.outcome import Outcome
from devenv.sync.host.manifest import Changes, FileState, Kind
from devenv.sync.report import Report


def report() -> tuple[Report, list[Event]]:
    """A report, and all that it says."""
    said: list[Event] = []
    return Report(said.append, "web", "/p"), said


def test_a_problem_is_said_once_until_it_is_over() -> None:
    """Said again if it comes back, or if its reason is another one."""
    one, said = report()
    for _ in range(3):
        one.problems({"/p/a": "too large"})
    one.problems({"/p/a": "no space"})
    one.over({"/p/a", "/p/never"})
    one.problems({"/p/a": "no space"})
    assert [(e.message, e.path) for e in said if isinstance(e, Problem)] == [
        ("a: too large", "/p/a"),
        ("a: no space", "/p/a"),
        ("a: no space", "/p/a"),
    ]


def test_many_of_one_reason_are_one_line() -> None:
    """The first is named, the others are counted."""
    one, said = report()
    one.problems({f"/p/{name}": "too large" for name in "abc"})
    assert said == [Problem("a (+2 more): too large", None, "web", "/p/a")]


def test_a_hint_says_what_helps() -> None:
    """For reasons that have one; it names the path where it can."""
    one, said = report()
    one.problems({"/p/src/loop": "a link that leads to itself: not synced"})
    assert said == [
        Problem(
            "src/loop: a link that leads to itself: not synced",
            "remove it, or add `ignore: [loop]` to the rule",
            "web",
            "/p/src/loop",
        )
    ]


def test_an_env_file_is_told_once() -> None:
    """Its path below the project, and the service."""
    one, said = report()
    for _ in range(2):
        one.env_files(["/p/src/.env", "/elsewhere/.env"])
    assert [e.message for e in said if isinstance(e, Notice)] == [
        "src/.env is copied into web",
        "/elsewhere/.env is copied into web",
    ]


def states(*paths: str, saved: float) -> Changes:
    """Files that were saved at that time (Unix seconds)."""
    return Changes(present=tuple((path, FileState(Kind.FILE, 0o644, 1, 0, int(saved * 1e9), 1)) for path in paths))


def test_failures_are_reported_by_host_path_if_there_is_one(tmp_path: Path) -> None:
    """A delete by its container path, a file that vanished not at all; a success ends the problem."""
    one, said = report()
    path, gone = str(tmp_path / "a"), str(tmp_path / "gone")
    tmp_path.joinpath("a").touch()
    step = ServicePlan(
        "web",
        deletes=(Delete("/src/b", "b"), Delete("/src/a", "a")),
        syncs=(Sync(path, "/src/a"), Sync(gone, "/src/gone")),
    )
    reasons = {"/src/a": "too large", "/src/b": "read-only", "/src/gone": "permission denied"}
    for _ in range(2):
        one.outcome(step, Outcome(failed=reasons), {path, gone})
    assert [(e.message, e.path) for e in said if isinstance(e, Problem)] == [
        ("/src/b: read-only", "/src/b"),
        (f"{path}: too large", path),
    ]
    one.outcome(step, Outcome(failed={"/src/a": GONE}), {path})
    one.outcome(step, Outcome(failed=reasons), {path, gone})
    assert [e.path for e in said[2:] if isinstance(e, Problem)] == ["/src/b"]
    one.outcome(step, Outcome(), set())
    one.outcome(step, Outcome(failed=reasons), {path, gone})
    assert [e.path for e in said[3:] if isinstance(e, Problem)] == ["/src/b", path]


def test_a_sync_is_timed_from_the_last_save() -> None:
    """From its beginning if the save is too long ago to be the cause, or in the future; nothing is no event."""
    one, said = report()
    step = ServicePlan("web", syncs=(Sync("/p/a", "/src/a"),), deletes=(Delete("/src/b", "b"), Delete("/src/a", "a")))
    now = time.time()
    one.synced(step, Outcome(), states("/p/a", saved=now), now)
    assert said == []
    for saved, began, least, most in (
        (now - 1, now, 1000, 1900),
        (now - 60, now - 2, 2000, 2900),
        (now + 60, now - 2, 2000, 2900),
    ):
        one.synced(step, Outcome(1, 2, 3, atomic=False), states("/p/a", saved=saved), began)
        event = said.pop()
        assert isinstance(event, Synced)
        assert least <= event.ms <= most
        assert (event.files, event.deleted, event.bytes, event.atomic) == (1, 2, 3, False)
        assert event.paths == ("a", "b")


def test_the_first_five_paths_of_a_sync_are_named() -> None:
    one, said = report()
    step = ServicePlan("web", syncs=tuple(Sync(f"/p/{i}", f"/src/{i}") for i in range(7)))
    one.synced(step, Outcome(7), Changes(), time.time())
    assert [event.paths for event in said if isinstance(event, Synced)] == [("0", "1", "2", "3", "4")]
