"""What events and looks show of containers: who ended them, crashes in a row, and when they started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devenv.model.containers import Container
from devenv.model.status import CRASHES, Phase
from support.views import container, crash, look, phases, view

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("events", "code", "expected"),
    [
        ("die", 0, Phase.COMPLETED),
        ("die", 143, Phase.EXITED),
        ("", 143, Phase.STOPPED),
        ("kill:15 die", 0, Phase.STOPPED),
        ("kill:3 kill:9 die stop", 0, Phase.STOPPED),
        ("kill:9 die", 0, Phase.COMPLETED),
        ("kill:1 die", 0, Phase.COMPLETED),
        ("die stop", 0, Phase.STOPPED),
        ("kill:15 die start die", 0, Phase.COMPLETED),
        ("", 0, Phase.COMPLETED),
    ],
)
async def test_events_show_who_ended_a_process(events: str, code: int, expected: Phase) -> None:
    """A signal that asks a program to end comes before its end; one that kills or reloads is not such a signal."""
    seen = view(container("web"), container("db"))
    for event in events.split():
        action, _, signal = event.partition(":")
        seen.note(
            {"Action": action, "Actor": {"ID": "id-web", "Attributes": {"signal": signal} if signal else {}}}, 100.5
        )
    look(seen, container("web", "exited", exit_code=code), container("db", "exited", exit_code=1), now=101.0)
    assert phases(seen)["web"] is expected
    assert seen.is_over() is (expected is not Phase.STOPPED)


async def test_a_start_that_no_event_told_of() -> None:
    """The cause of the previous end does not count for the next process."""
    seen = view(container("web"), container("db"))
    seen.note({"Action": "stop", "Actor": {"ID": "id-web"}}, 100.5)
    look(seen, container("web", start="t2"), container("db"), now=101.0)
    look(seen, container("web", "exited", start="t2"), container("db"), now=102.0)
    assert phases(seen)["web"] is Phase.COMPLETED


DAY = "2026-01-01"


@pytest.mark.parametrize(
    ("looks", "crashes"),
    [
        ([crash(1)], 1),
        ([crash(n) for n in range(1, 6)], CRASHES),
        ([crash(1), crash(1, state="running"), crash(2), crash(2, state="running")], 2),
        ([crash(1), crash(2), crash(3, code=1)], 1),
        ([crash(1), replace(crash(2), started_at=f"{DAY}T00:00:00Z", finished_at=f"{DAY}T00:01:00Z")], 1),
        ([crash(7, state="running"), crash(8)], 1),
        ([crash(4), crash(0, state="running"), crash(1)], 1),
    ],
)
async def test_crashes_are_counted_as_long_as_they_are_the_same(looks: list[Container], crashes: int) -> None:
    """Another exit code, or a start by a user, resets the count; crashes before the run do not count."""
    seen = view()
    for number, observed in enumerate(looks):
        look(seen, observed, container("db", health="healthy"), now=100.0 + number / 10)
    assert seen.watch.of(looks[-1], 101.0, ()).crashes == crashes


async def test_a_loop_needs_crashes_while_no_other_service_is_starting() -> None:
    """Two of five: pauses grow with each. A process that lasts ends the row."""
    seen = view()
    for number in range(1, 8):
        look(seen, crash(number), container("db", health="starting"), now=100.0)
    assert seen.watch.of(crash(7), 101.0, ()).crashes == CRASHES - 1
    look(seen, crash(8), container("db", health="healthy"), now=101.0)
    assert seen.watch.of(crash(8), 101.0, ()).crashes == CRASHES - 1
    look(seen, crash(9), container("db", health="healthy"), now=130.0)
    assert seen.watch.of(crash(9), 131.0, ()).crashes == 9
    look(seen, crash(9, state="running", start="t6"), container("db", health="healthy"), now=132.0)
    look(seen, crash(9, state="running", start="t6"), container("db", health="healthy"), now=142.0)
    assert seen.watch.of(crash(9), 142.0, ()).crashes == 0


def happened(action: str, at: float, **attributes: str) -> dict[str, Any]:
    """An event of the container of `web`."""
    return {"Action": action, "Actor": {"ID": "id-web", "Attributes": attributes}, "timeNano": int(at * 1e9)}


async def test_the_process_after_a_crash_at_the_start_has_to_go_on_for_longer() -> None:
    """In a loop of 12 s, none of whose pauses is seen, the service is never up, and keeps crashing."""
    seen, now, reported = view(container("web", "created"), container("db", health="healthy")), 100.0, list[Phase]()
    for number in range(6):
        seen.note(happened("start", now), now)
        for second in (0.5, 3, 11.5):
            life = crash(number, state="running", start=f"t{number}")
            look(seen, life, container("db", health="healthy"), now=now + second)
            reported.append(phases(seen)["web"])
        now += 12.0
        seen.note(happened("die", now, exitCode="1"), now)
    assert reported == [Phase.STARTED] * 3 + [Phase.RESTARTING] * 12 + [Phase.EXITED] * 3
    (web, _) = seen.standings()
    assert web.detail == "keeps crashing (exit code 1, 5 restarts)"
    seen.note(happened("start", now), now)
    for second in (0.5, 25):
        look(seen, crash(6, state="running", start="t6"), container("db", health="healthy"), now=now + second)
    assert phases(seen)["web"] is Phase.STARTED


@pytest.mark.parametrize(("came", "since"), [(99.7, 99.7), (97.0, 99.0), (None, 100.0)])
async def test_a_start_counts_from_its_event(came: float | None, since: float) -> None:
    """The answer of the look takes longer; but some time has to be left after it, and an earlier start is none."""
    seen = view()
    web = container("web", start="1970-01-01T00:00:07Z")
    for sent, now in ((6.5, 99.8), (7.1, came), (7.1, 99.9)):
        if came is not None or sent < 7:
            seen.note({"Action": "start", "timeNano": sent * 1e9, "Actor": {"ID": "id-web"}}, now or 0.0)
    look(seen, web, now=100.0)
    assert seen.watch.since(web, 0.0) == pytest.approx(since)
