"""The state of a service."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.model.containers import Container
from devenv.model.status import (
    CRASHES,
    Phase,
    Purpose,
    Standing,
    Watched,
    phase,
    standing,
)


def container(state: str = "running", name: str = "web", **more: Any) -> Container:
    """A container of the service that it is named after."""
    return Container(name, name, name, state, ours=True, **more)


JOB, SERVER, AWAITED = Purpose(), Purpose(serves=True, is_checked=True), Purpose(is_awaited=True)
WORKER = Purpose(users=("web", "flower"))
CELERY = "/usr/bin/python /usr/local/bin/celery -A worker.celery worker --loglevel=info --logfile=logs/celery.log"
STARTED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00.5Z"
ITSELF, OTHERS, US = Watched("itself"), Watched("others"), Watched("us")
CRASHED = Watched(crashes=4, exit_code=3, lasted=1)
LOOP = Watched(crashes=CRASHES, exit_code=3, lasted=0.5)


@pytest.mark.parametrize(
    ("state", "more", "purpose", "watched", "expected"),
    [
        ("created", {}, JOB, Watched(), (Phase.CREATED, "")),
        ("running", {}, JOB, Watched(), (Phase.STARTED, "")),
        ("paused", {}, JOB, Watched(), (Phase.STARTED, "is paused")),
        ("running", {}, AWAITED, Watched(), (Phase.STARTING, "is running to its end")),
        ("running", {"health": "starting"}, SERVER, Watched(), (Phase.STARTING, "waits for its health check")),
        (
            "running",
            {"health": "starting", "check_every": 2.5},
            JOB,
            Watched(),
            (Phase.STARTING, "waits for its health check (of the image; every 2.5 s)"),
        ),
        ("running", {"health": "healthy"}, SERVER, Watched(), (Phase.HEALTHY, "")),
        ("paused", {"health": "healthy"}, SERVER, Watched(), (Phase.HEALTHY, "is paused")),
        ("running", {"health": "unhealthy"}, SERVER, Watched(), (Phase.UNHEALTHY, "its health check fails")),
        (
            "running",
            {"health": "healthy"},
            SERVER,
            Watched(lost=("p_default",)),
            (Phase.UNHEALTHY, "disconnected from the network p_default"),
        ),
        # Ended by itself.
        ("exited", {}, JOB, ITSELF, (Phase.COMPLETED, "")),
        ("exited", {}, AWAITED, ITSELF, (Phase.COMPLETED, "")),
        ("exited", {}, SERVER, ITSELF, (Phase.EXITED, "exit code 0")),
        ("exited", {"health": "unhealthy"}, JOB, ITSELF, (Phase.COMPLETED, "")),
        ("exited", {"exit_code": 3}, JOB, ITSELF, (Phase.EXITED, "exit code 3")),
        ("exited", {"exit_code": 3}, AWAITED, ITSELF, (Phase.EXITED, "exit code 3")),
        ("exited", {"exit_code": 137}, SERVER, ITSELF, (Phase.EXITED, "exit code 137")),
        ("dead", {"exit_code": 137}, JOB, ITSELF, (Phase.EXITED, "exit code 137")),
        ("exited", {}, WORKER, ITSELF, (Phase.COMPLETED, "")),
        (
            "exited",
            {"started_at": STARTED, "finished_at": ENDED},
            WORKER,
            ITSELF,
            (Phase.STOPPED, "ended by itself (exit code 0), and web, flower depend on it"),
        ),
        ("exited", {"started_at": STARTED, "finished_at": ENDED}, JOB, ITSELF, (Phase.COMPLETED, "")),
        ("exited", {"command": CELERY}, WORKER, ITSELF, (Phase.EXITED, "exit code 0")),
        ("exited", {"command": CELERY}, JOB, ITSELF, (Phase.EXITED, "exit code 0")),
        ("exited", {"command": CELERY}, JOB, OTHERS, (Phase.STOPPED, "by somebody else")),
        ("exited", {"command": CELERY}, AWAITED, ITSELF, (Phase.COMPLETED, "")),
        ("exited", {"command": "celery -A worker call create_task"}, JOB, ITSELF, (Phase.COMPLETED, "")),
        # Ended by a signal, from outside or from this run.
        ("exited", {}, JOB, OTHERS, (Phase.STOPPED, "by somebody else")),
        ("exited", {}, SERVER, OTHERS, (Phase.STOPPED, "by somebody else")),
        ("exited", {"exit_code": 1}, SERVER, OTHERS, (Phase.STOPPED, "by somebody else")),
        ("exited", {"exit_code": 137}, SERVER, OTHERS, (Phase.STOPPED, "by somebody else")),
        ("exited", {"exit_code": 143}, AWAITED, OTHERS, (Phase.EXITED, "exit code 143")),
        ("exited", {"exit_code": 143}, AWAITED, US, (Phase.STOPPED, "")),
        ("exited", {"exit_code": 137}, SERVER, US, (Phase.STOPPED, "")),
        # Ended by an unknown cause.
        ("exited", {}, JOB, Watched(), (Phase.COMPLETED, "")),
        ("exited", {}, AWAITED, Watched(), (Phase.COMPLETED, "")),
        ("exited", {}, SERVER, Watched(), (Phase.STOPPED, "by somebody else")),
        ("exited", {"health": "unhealthy"}, JOB, Watched(), (Phase.STOPPED, "by somebody else")),
        ("exited", {"exit_code": 143}, JOB, Watched(), (Phase.STOPPED, "by somebody else")),
        ("exited", {"exit_code": 1}, SERVER, Watched(), (Phase.EXITED, "exit code 1")),
        ("exited", {"exit_code": 1, "restart": "always"}, SERVER, Watched(), (Phase.STOPPED, "by somebody else")),
        ("exited", {"exit_code": 1, "restart": "on-failure"}, JOB, Watched(), (Phase.EXITED, "exit code 1")),
        (
            "exited",
            {"exit_code": 127, "restart": "always", "error": "no such file"},
            SERVER,
            Watched(),
            (Phase.EXITED, "exit code 127"),
        ),
        # The engine starts it again.
        ("restarting", {"exit_code": 3, "restarts": 1}, JOB, Watched(crashes=1), (Phase.RESTARTING, "exit code 3")),
        (
            "running",
            {"restarts": 4},
            JOB,
            Watched(crashes=4, exit_code=3, lasted=1),
            (Phase.RESTARTING, "exit code 3"),
        ),
        ("running", {"restarts": 4}, JOB, Watched(crashes=4, lasted=2), (Phase.STARTED, "")),
        (
            "running",
            {"restarts": 1},
            JOB,
            Watched(crashes=1, exit_code=1, lasted=15, has_to_last=24),
            (Phase.RESTARTING, "exit code 1"),
        ),
        ("running", {"restarts": 1}, JOB, Watched(crashes=1, lasted=24, has_to_last=24), (Phase.STARTED, "")),
        (
            "running",
            {"restarts": 1, "health": "healthy"},
            SERVER,
            Watched(crashes=1, lasted=15, has_to_last=24),
            (Phase.HEALTHY, ""),
        ),
        ("running", {"restarts": 5}, JOB, LOOP, (Phase.EXITED, "keeps crashing (exit code 3, 5 restarts)")),
        (
            "restarting",
            {"exit_code": 0, "restarts": 7},
            JOB,
            Watched(crashes=CRASHES),
            (Phase.EXITED, "keeps ending (exit code 0, 7 restarts)"),
        ),
    ],
)
def test_each_state_of_a_container_has_one_meaning(
    state: str, more: dict[str, Any], purpose: Purpose, watched: Watched, expected: tuple[Phase, str]
) -> None:
    """The meaning follows from its inspection, the role of the service, and how its last end was seen."""
    assert phase(container(state, **more), purpose, watched) == expected


def test_a_crash_may_have_its_reason_in_a_service_that_is_still_starting() -> None:
    """In that case it is not a crash loop yet, however often it crashed."""
    assert phase(container("restarting", exit_code=3), JOB, LOOP, ["db"]) == (
        Phase.RESTARTING,
        "exit code 3, probably waits for db",
    )


def test_the_container_that_is_furthest_behind_counts() -> None:
    """The order of the list does not matter; without a container the service is absent."""
    good, new, bad = container(), container("created", "b"), container("exited", "c", exit_code=1)
    assert standing("web", [good, new], JOB, {}) == Standing("web", Phase.CREATED)
    assert standing("web", [new, bad, good], JOB, {}) == Standing("web", Phase.EXITED, "exit code 1")
    assert standing("web", [good, bad], JOB, {"c": OTHERS}) == Standing("web", Phase.STOPPED, "by somebody else")
    assert standing("web", [], JOB, {}) == Standing("web", Phase.ABSENT)


def test_the_last_check_is_shown_while_the_check_decides() -> None:
    """It is shown while the check decides; another text of the same failure is not reported again."""
    sick = standing("web", [container(health="unhealthy", check="refused")], SERVER, {})
    assert sick.check == "refused"
    assert sick == standing("web", [container(health="unhealthy", check="timeout")], SERVER, {})
    assert standing("web", [container("exited", check="refused", exit_code=1)], SERVER, {"web": ITSELF}).check == ""


def test_failure_as_words_after_the_service() -> None:
    """The text continues a sentence."""
    standings = [
        Standing("web", Phase.EXITED, "exit code 3"),
        Standing("web", Phase.EXITED, "keeps crashing (exit code 3, 5 restarts)"),
        Standing("web", Phase.REMOVED, "by somebody else"),
        Standing("web", Phase.UNHEALTHY, "its health check fails"),
        Standing("web", Phase.STOPPED),
    ]
    assert [standing.how for standing in standings] == [
        "ended with exit code 3",
        "keeps crashing (exit code 3, 5 restarts)",
        "removed by somebody else",
        "its health check fails",
        "stopped",
    ]


@pytest.mark.parametrize(
    ("phase", "detail", "error", "expected"),
    [
        (Phase.STARTED, "", "", False),
        (Phase.HEALTHY, "", "main.py:1: ImportError", True),
        (Phase.COMPLETED, "", "", False),
        (Phase.EXITED, "exit code 0", "", True),
        (Phase.STOPPED, "ended by itself (exit code 0), and web depends on it", "", True),
        (Phase.STOPPED, "by somebody else", "", False),
        (Phase.STOPPED, "", "", False),
    ],
)
def test_troubles_lists_failed_services(phase: Phase, detail: str, error: str, *, expected: bool) -> None:
    """Neither running services nor those that a user stopped are listed."""
    assert Standing("web", phase, detail, error).has_fault is expected
