"""The records of containers that are being replaced or restarted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.model.containers import Container
from devenv.state import unfinished
from devenv.state.run_dir import RESTARTING, Run

WEB = Container("id-web", "shop-web-1", "web", "running", ours=True, started_at="at one")
DB = replace(WEB, id="id-db", name="shop-db-1", service="db")
EXITED = replace(WEB, state="exited")
NAMES = ("web", "db")


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The folder of a run."""
    return Run(str(tmp_path))


def killed(record: contextlib.AbstractContextManager[None], error: BaseException | None = None) -> None:
    """Let the work that the record is of end by a kill, or by an error."""
    with contextlib.suppress(Killed, KeyError), record:
        raise error or Killed


@pytest.mark.parametrize("error", [KeyError(), Killed()])
def test_a_replacement_that_is_cut_off_stays_on_record(run: Run, error: BaseException) -> None:
    """Until it is finished, by a keeper or by `up`, or until the run ends."""
    with unfinished.replacing(run):
        assert unfinished.is_cut_off(run)
    assert not unfinished.is_cut_off(run)
    ends: tuple[Callable[[], None], ...] = (lambda: unfinished.forget(run), run.clear)
    for end in ends:
        killed(unfinished.replacing(run), error)
        assert unfinished.is_cut_off(run)
        end()
        assert not unfinished.is_cut_off(run)


@pytest.mark.parametrize(
    ("now", "begun"),
    [
        ([WEB], []),
        ([replace(WEB, started_at="later")], []),
        ([EXITED], [EXITED]),
        ([replace(EXITED, ours=False)], []),
        ([EXITED, replace(WEB, id="new", state="created")], []),
        ([replace(EXITED, id="other")], []),
        ([replace(WEB, state="created", started_at="")], []),
    ],
)
def test_a_container_that_was_ended_is_started(
    run: Run, now: Sequence[Container], begun: Sequence[Container]
) -> None:
    """A container that runs, that somebody else made, or that a new one replaces, is not."""
    for record in (unfinished.replacing(run, [WEB]), unfinished.restarting(run, [WEB], again=False)):
        killed(record)
        assert unfinished.among(run, now, NAMES) == (begun, [])
        unfinished.forget(run)
        assert unfinished.among(run, now, NAMES) == ([], [])


def test_a_restart_that_was_asked_for_is_begun_again(run: Run) -> None:
    """If the container has been started since, the restart is over."""
    killed(unfinished.restarting(run, [WEB, DB], again=True))
    assert unfinished.among(run, [WEB, replace(DB, started_at="later")], NAMES) == ([WEB], [])


def test_containers_of_removed_services_are_removed(run: Run) -> None:
    """The process was killed before it could stop them, or after that."""
    killed(unfinished.replacing(run, [WEB, DB]))
    assert unfinished.among(run, [EXITED, DB], ()) == ([], [EXITED, DB])


@pytest.mark.parametrize("error", [KeyError(), None])
def test_an_error_ends_the_record(run: Run, error: Exception | None) -> None:
    """It was reported: what somebody does about it is not undone by the next keeper."""
    for record in (unfinished.replacing(run, [WEB]), unfinished.restarting(run, [WEB], again=True)):
        with contextlib.suppress(KeyError), record:
            assert unfinished.among(run, [EXITED], NAMES) == ([EXITED], [])
            if error:
                raise error
        assert unfinished.among(run, [EXITED], NAMES) == ([], [])


def test_restarts_at_the_same_time_are_recorded_together(run: Run) -> None:
    """The end of one does not remove the record of the other."""
    now = [EXITED, replace(DB, state="exited")]
    with unfinished.restarting(run, [WEB], again=False):
        with unfinished.restarting(run, [DB], again=False):
            assert unfinished.among(run, now, NAMES) == (now, [])
        assert unfinished.among(run, now, NAMES) == ([EXITED], [])
    assert not Path(run.path, RESTARTING).exists()


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_record_that_cannot_be_read_names_nothing(run: Run, text: str) -> None:
    Path(run.path, RESTARTING).write_text(text, encoding="utf-8")
    assert unfinished.among(run, [EXITED], NAMES) == ([], [])
