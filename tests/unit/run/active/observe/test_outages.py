"""What an engine took along when it ended, and what ended by itself."""

from __future__ import annotations

import pytest

from devenv.model.containers import Container
from devenv.run.active.observe.outages import GRACE, WINDOW, EngineOutage


def container(name: str, state: str = "running", start: str = "1") -> Container:
    """A container of ours."""
    return Container(id=name, name=name, service=name, state=state, ours=True, started_at=start)


WEB, DB = container("web"), container("db")
WEB_ENDED, DB_ENDED = container("web", "exited"), container("db", "exited")


def lost_after(*looks: tuple[float, tuple[Container, ...]]) -> EngineOutage:
    """After these looks (time, what was seen), the engine is gone at time 100."""
    losses = EngineOutage()
    for now, seen in looks:
        assert losses.seen(seen, now) == ()
    losses.lost(looks[-1][1], 100.0)
    assert losses.is_lost
    return losses


def test_each_container_that_ran_and_has_ended_is_returned_once() -> None:
    """What ran until the end, and what the engine ended just before its own."""
    losses = lost_after((0.0, (WEB, DB)), (99.0, (WEB_ENDED, DB)))
    losses.lost((), 101.0)  # still away
    assert losses.seen((WEB_ENDED, DB_ENDED), 130.0) == (WEB_ENDED, DB_ENDED)
    assert not losses.is_lost
    assert losses.seen((WEB_ENDED, DB_ENDED), 131.0) == ()


def test_what_had_ended_long_before_stays_ended() -> None:
    """Neither what nobody saw running nor what ended by itself a while ago is started."""
    job = container("job", "exited")
    losses = lost_after((0.0, (WEB, DB, job)), (99.0 - GRACE, (WEB_ENDED, DB, job)))
    assert losses.seen((WEB_ENDED, DB_ENDED, job), 130.0) == (DB_ENDED,)


def test_a_lost_connection_starts_nothing() -> None:
    """As long as one of them runs on it was no end of the engine; but an engine may find out late."""
    losses = lost_after((0.0, (WEB, DB)))
    assert losses.seen((WEB_ENDED, DB), 110.0) == ()
    assert losses.seen((WEB_ENDED, DB_ENDED), 111.0) == (WEB_ENDED, DB_ENDED)


@pytest.mark.parametrize(("state", "start"), [("running", "2"), ("restarting", "1"), ("dead", "1")])
def test_what_comes_back_by_itself_is_left_to_itself(state: str, start: str) -> None:
    """By a restart policy, say."""
    losses = lost_after((0.0, (WEB, DB)))
    assert losses.seen((WEB_ENDED, container("db", state, start)), 110.0) == (WEB_ENDED,)


def test_later_it_is_no_loss_any_more() -> None:
    """What ends long after the engine came back has ended by itself."""
    losses = lost_after((0.0, (WEB, DB)))
    assert losses.seen((WEB, DB), 110.0) == ()
    assert losses.seen((WEB_ENDED, DB_ENDED), 110.1 + WINDOW) == ()
