"""The events that a run keeps for views of it, and a view on a socket."""

from __future__ import annotations

import pytest

from devenv.events import (
    Event,
    Kept,
    Log,
    Notice,
    Problem,
    Ready,
    Reloaded,
    Restarted,
    ServiceState,
    Solved,
    Step,
    Synced,
)
from devenv.run.active import feed as module
from devenv.run.active.feed import Feed
from devenv.run.view_messages import Message, TimedEvent

SYNCED = Synced("web", 1, 0, 10, 2.0)


def fed(*events: Event) -> Feed:
    """A feed after these events."""
    feed = Feed(lambda _: None)
    for event in events:
        feed.emit(event)
    return feed


def kept(feed: Feed, *, with_lines: bool = True) -> list[Event]:
    """What a view gets first."""
    return [timed.event for timed in feed.history(with_lines=with_lines)]


@pytest.mark.parametrize(
    ("events", "newest"),
    [
        ([Problem("no", path="/a")], "no"),
        ([Problem("no", path="/a"), Problem("bad", service="web")], "bad"),
        ([Problem("no", path="/a"), Problem("bad", path="/b"), Problem("no", path="/a")], "no"),
        ([Problem("no", path="/a"), Solved("/a")], ""),
        ([Problem("no", path="/a"), Problem("bad", path="/b"), Solved("/b")], "no"),
        ([Problem("crash", service="web"), ServiceState("web", "healthy")], ""),
        ([Problem("crash", service="web"), ServiceState("web", "started", error="main.py:3")], "crash"),
        ([Problem("crash", service="web"), ServiceState("db", "healthy"), ServiceState("web", "exited")], "crash"),
        ([Problem("crash", service="web"), SYNCED], "crash"),
        ([Problem("crash", service="web"), Restarted("web", "", 3.0)], ""),
    ],
)
def test_the_newest_problem_that_is_not_solved(events: list[Event], newest: str) -> None:
    """A problem of a path ends when it is solved, that of a service when the service is up or was restarted."""
    feed = fed(*events)
    assert feed.problem == newest
    assert [event.message for event in kept(feed) if isinstance(event, Problem)][-1:] == ([newest] if newest else [])


def test_a_problem_of_the_whole_run_ends_when_the_run_goes_on() -> None:
    """Such as an engine that could not be reached."""
    feed = fed(Problem("no engine"), Problem("no", path="/a"))
    feed.recovered()
    assert feed.problem == "no"


def test_a_later_view_gets_what_it_needs_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last state of each service, and a bounded number of lines, syncs and others; nothing of an end."""
    monkeypatch.setattr(module, "LINES", 3 * (module.LINE + 4))
    lines = [Log("web", f"no {number}") for number in range(5)]
    passing = [Step("build", "detail", "RUN"), Kept("volume", "v", "in use", "docker volume rm v")]
    states = [ServiceState("web", "starting"), ServiceState("web", "healthy")]
    ready, notice = Ready("shop", (), 1.0), Notice("said")
    feed = fed(lines[0], *states, ready, *passing, *lines[1:3], SYNCED, notice, *lines[3:])
    assert kept(feed) == [states[1], ready, lines[2], SYNCED, notice, *lines[3:]]
    assert kept(feed, with_lines=False) == [states[1], ready, SYNCED, notice]
    assert len(kept(fed(*[SYNCED] * 1000, *[notice] * 1000))) == module.SYNCS + module.OTHERS


def test_a_service_that_was_removed_from_the_file_is_forgotten() -> None:
    """Its last state and its problem are none of the run any more."""
    kept_state, reloaded = ServiceState("db", "healthy"), Reloaded(("compose.yml",), removed=("web",))
    feed = fed(ServiceState("web", "exited"), Problem("crash", service="web"), kept_state, reloaded)
    assert (kept(feed), feed.problem) == ([kept_state, reloaded], "")


def test_views_get_events_while_they_follow() -> None:
    """Several views do; the run itself gets all."""
    own: list[Event] = []
    first: list[Message] = []
    second: list[Message] = []
    feed = Feed(own.append)
    with feed.followed(first.append):
        feed.emit(SYNCED)
        with feed.followed(second.append):
            feed.emit(Notice("both"))
    feed.emit(Notice("none"))
    assert own == [SYNCED, Notice("both"), Notice("none")]
    assert [m.event for m in first if isinstance(m, TimedEvent)] == own[:2]
    assert [m.event for m in second if isinstance(m, TimedEvent)] == own[1:2]


def test_a_page_gets_what_is_over_too() -> None:
    """Each event once, in order: a save that broke a service is found after it was repaired."""
    events = [
        ServiceState("web", "healthy"), SYNCED, ServiceState("web", "unhealthy"), Problem("no", path="/a"),
        Solved("/a"), ServiceState("web", "healthy"), Problem("bad", service="web"),
    ]  # fmt: skip
    feed = fed(*events)
    assert [timed.event for timed in feed.history(whole=True)] == events
    assert kept(feed) == [SYNCED, *events[5:]]


def test_what_is_over_is_bounded() -> None:
    """The last state of each service is kept in any case."""
    feed = fed(ServiceState("db", "healthy"), *[ServiceState("web", "healthy")] * 2 * module.PASSED)
    passed = [timed.event for timed in feed.history(whole=True)]
    assert len(passed) == module.PASSED + 1
    assert passed[0] == ServiceState("db", "healthy")
