"""What is said of paths: once, until it is over or changes."""

from __future__ import annotations

from devenv.events import Event, Notice, Problem
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
