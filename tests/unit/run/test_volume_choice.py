"""What a user is told of the content that a new volume begins with."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from devenv.errors import RefusedError, StateError
from devenv.model.snapshot import Snapshot
from devenv.run.volume_choice import FRESH, VolumeChoice, date
from devenv.state.identity import Place
from devenv.volumes.lineage import Beginning, Lineage, Start, WantedVolume

HERE = Place("/shop", 1, 7)
WANTED = WantedVolume("engine", "unix:///x", HERE, "shop", "data", "shop_data", is_fixed=False)
LINE = Lineage("l1", "engine", HERE, "shop", "data", "shop_data", head=("s2", "data"), saved=2000.0)
SAVED = ("s2", "data")


def snapshot(name: str, created: float, **more: Any) -> Snapshot:
    made = Snapshot(
        name, "data", "shop_data", "shop", "/shop", "unix:///x", created, 1, 1, "", database="postgres 16"
    )
    return replace(made, **{"lineage": "l1", "settled": True, **more})


OLD, NEW = snapshot("s1", 1000.0), snapshot("s2", 2000.0)


def choice(start: Start, chosen: Snapshot | None = None, **more: Any) -> VolumeChoice:
    given = {"line": LINE, "stored": (OLD, NEW), "service": "db", "needed": "postgres 16", **more}
    reference = given.pop("reference", SAVED)
    return VolumeChoice(Beginning(start, chosen, reference), WANTED, **given)


def test_the_head_is_restored_without_a_word() -> None:
    """Neither an error nor a notice."""
    head = choice(Start.HEAD, NEW)
    assert (head.error(), head.notice(), head.is_first) == (None, None, False)


def test_a_head_that_cannot_be_read_needs_a_decision() -> None:
    """The hint offers the newest older whole state, or an empty volume."""
    unsettled = snapshot("s3", 1500.0, settled=False)
    error = choice(Start.LOST, stored=(OLD, unsettled, NEW)).error()
    assert isinstance(error, StateError)
    assert error.message == f"data: its last saved state, s2, saved {date(2000.0)}, is missing or cannot be read"
    assert error.hint == f"devenv up --from s1   (saved {date(1000.0)}), or: {FRESH}"


@pytest.mark.parametrize(
    "stored", [(), (NEW,), (snapshot("s1", 1.0, lineage="l2"),)], ids=["none", "itself", "other"]
)
def test_without_an_older_state_only_an_empty_volume_is_offered(stored: tuple[Snapshot, ...]) -> None:
    """A state of another lineage is none."""
    error = choice(Start.LOST, stored=stored).error()
    assert error is not None
    assert error.hint == FRESH


def test_a_state_that_was_asked_for_and_is_gone() -> None:
    """When the head was saved does not matter then."""
    error = choice(Start.LOST, line=replace(LINE, asked=("s9", "data")), reference=("s9", "data")).error()
    assert error is not None
    assert error.message == "data: the state that was asked for, s9 is missing or cannot be read"


def test_data_written_into_a_cut_off_restore_needs_a_decision() -> None:
    """Both states are offered, each with its time."""
    rescued = snapshot("s4", 3000.0)
    torn = choice(Start.TORN, rescued, stored=(OLD, NEW, rescued), reference=("s4", "data")).error()
    assert torn is not None
    assert torn.message == (
        f"data was being restored to s2, saved {date(2000.0)}, when the run died; "
        f"other data was written to it since: saved as s4, {date(3000.0)}"
    )
    assert torn.hint == "devenv up --from s2, or: devenv up --from s4"


@pytest.mark.parametrize(("needed", "is_refused"), [("postgres 16", False), ("", False), ("postgres 17", True)])
def test_a_snapshot_of_another_database_is_refused(needed: str, is_refused: bool) -> None:
    """Only one that was asked for; whatever is unknown is given."""
    asked = choice(Start.ASKED, NEW, needed=needed)
    assert isinstance(asked.error(), RefusedError) == is_refused
    assert asked.notice() is None


@pytest.mark.parametrize(
    ("start", "chosen", "more", "expected"),
    [
        (Start.DROPPED, None, {}, "data starts empty after `down --volumes`"),
        (Start.UNFIT, OLD, {"needed": "postgres 17"}, "could not read it: an older one is restored"),
        (Start.UNFIT, None, {"needed": "postgres 17"}, "could not read it: it starts empty"),
        (
            Start.EMPTY,
            None,
            {"stored": (snapshot("s5", 3000.0, settled=False),), "line": replace(LINE, head=("", ""))},
            "before db was up for the first time: it starts empty",
        ),
        (Start.HEAD, NEW, {"line": replace(LINE, place=Place("/old", 1, 7))}, "which was renamed to this folder"),
        (
            Start.HEAD,
            NEW,
            {"line": replace(LINE, place=Place("/shop", 1, 8))},
            "another folder at this path had",
        ),
        (Start.EMPTY, None, {"line": replace(LINE, place=Place("/shop", 1, 8))}, None),
        (Start.EMPTY, None, {"line": None, "stored": ()}, None),
    ],
    ids=["dropped", "unfit, older", "unfit, empty", "unsettled", "renamed", "replaced", "replaced, empty", "first"],
)
def test_what_is_not_the_newest_data_is_explained(
    start: Start, chosen: Snapshot | None, more: dict[str, Any], expected: str | None
) -> None:
    """In one notice; a folder that was replaced matters only if something is restored."""
    notice = choice(start, chosen, **more).notice()
    assert (notice is None) == (expected is None)
    assert notice is None or expected in notice.message  # type: ignore[operator]


@pytest.mark.parametrize(
    ("start", "line", "stored", "expected"),
    [
        (Start.EMPTY, None, (), True),
        (Start.EMPTY, LINE, (), True),
        (Start.EMPTY, LINE, (OLD,), False),
        (Start.DROPPED, LINE, (), False),
        (Start.ASKED, None, (), False),
    ],
)
def test_a_first_volume_may_have_data_elsewhere(
    start: Start, line: Lineage | None, stored: tuple[Snapshot, ...], expected: bool
) -> None:
    """Whose lineage is new, or has nothing saved; not if somebody decided that it begins so."""
    assert choice(start, line=line, stored=stored).is_first == expected


def test_dates_are_local() -> None:
    """To the second."""
    assert date(0.0) == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0.0))
