"""The waterfall as people read it, in windows of every width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.events import Span, Timings
from devenv.ui.waterfall import lines

SHOWN = Timings(
    8.0,
    (
        Span("load", 0.0, 0.4, critical=True),
        Span("build", 0.4, 3.0, critical=True),
        Span("build web dev", 0.5, 2.9, critical=True),
        Span("build web internal", 0.5, 0.501),
        Span("start cache", 3.0, 3.5),
        Span("start db", 3.0, 3.4, critical=True),
        Span("health db", 3.4, 7.5, critical=True),
        Span("start web", 7.5, 8.0, critical=True, after="db"),
    ),
)


def test_as_it_is_shown() -> None:
    """Bars where the time went, marks on what the rest waited for, and the longest of it in words."""
    assert lines(SHOWN, 72) == [
        "8.00 s until ready; * is what the rest waited for",
        "* load                   0.40 s ██",
        "* build                  2.60 s   █████████████",
        "*   build web dev        2.40 s   ████████████",
        "  start cache            0.50 s                ░░",
        "* start db               0.40 s                ██",
        "* health db              4.10 s                  ████████████████████",
        "* start web (after db)   0.50 s                                      ██",
        "most of it: health db 4.1 s, build web dev 2.4 s, start web 0.5 s",
    ]


def test_nothing_to_show() -> None:
    """A run that took no time has no bars."""
    assert lines(Timings(0.0, ()), 80) == ["0.00 s until ready; * is what the rest waited for"]
    assert len(lines(Timings(0.0, (Span("load", 0.0, 0.1),)), 80)) == 2


def test_a_narrow_window_has_no_bars() -> None:
    """The figures stay, and long names are cut."""
    assert lines(SHOWN, 30)[3:6] == ["*   build web…   2.40 s", "  start cache    0.50 s", "* start db       0.40 s"]


SPANS = st.builds(
    lambda name, start, length, critical: Span(name, start, start + length, critical),
    st.sampled_from(["load", "build", "build a", "start a", "health " + "b" * 40]),
    st.floats(0, 100, allow_nan=False),
    st.floats(0, 100, allow_nan=False),
    st.booleans(),
)


@given(st.lists(SPANS, max_size=8), st.floats(0, 50), st.integers(24, 200))
def test_no_line_is_wider_than_the_window(spans: list[Span], seconds: float, width: int) -> None:
    """Whatever took how long: every span that took time has its line, and none wraps."""
    shown = lines(Timings(seconds, tuple(spans)), width)
    table = [line for line in shown[1:] if not line.startswith("most of it")]
    assert len(table) == sum(span.end - span.start >= 0.005 for span in spans)
    assert max(map(len, table), default=0) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_span_with_a_bar_shows_at_least_a_block(width: int) -> None:
    """What was short is still to be seen."""
    assert all("█" in line or "░" in line for line in lines(SHOWN, width)[1:-1])
