"""The log, and the pages in its place."""

from __future__ import annotations

import re

import pytest

from devenv import events as e
from devenv.ui.live.pane import ago
from devenv.ui.live.screen import screen
from support.stories import fifty, two
from unit.ui.live.test_commands import press, state_of
from unit.ui.live.test_screen import lines


def test_a_long_line() -> None:
    """Of a very long line only the beginning is shown, with the lines before and after it."""
    found = lines(*two(), e.Log("web", f"begin {'A' * 5000} end"), e.Log("db", "the last"), columns=80, rows=24)
    assert any("web    │ begin AAA" in line for line in found)
    assert found[-3] == "db     │ the last"
    assert found[-4].endswith("A…")
    assert any("src/app.js" in line for line in found)


def test_the_graph_has_the_states() -> None:
    """Each service with its state beside its name; without a project there is nothing to draw."""
    told = [*two(), e.ServiceState("db", "exited", "exit code 1")]
    found = lines(*told, keys="g")
    assert any("└─ web healthy  ports 8080:80" in line for line in found)
    assert any("└─ db exited (needed: healthy)  ports 5432" in line for line in found)
    assert any("└─ db starting" in line for line in lines(*told, e.ServiceState("db", "starting"), keys="g"))
    assert "the project is not read yet" in lines(keys="g")


def test_the_last_syncs() -> None:
    """The newest first, with paths as far as they are known."""
    more = e.Synced("db", 7, 1, 900, 1300.0, ("a", "b"))
    gone = e.Synced("db", 0, 1, 0, 3.0, ("c",))
    found = lines(*two(), more, gone, keys="y")
    place = found.index("just now    db              1 file        3 ms  c (removed)")
    assert found[place + 1] == "just now    db              8 files      1.3 s  a, b +6"
    assert found[place + 2].endswith("src/app.js, src/style.css")
    assert "nothing was synced yet" in lines(keys="y")


def test_a_page_that_is_too_long() -> None:
    """It says how many lines more there are, and does not scroll beyond its end."""
    state = state_of(*fifty())
    press(state, "g", "end")
    found = ["".join(span.text for span in row) for row in screen(state, 80, 24, 1.0)]
    assert any(re.search(r"graph ── \d+ more: PgUp PgDn", line) for line in found)
    assert any("hooks-4" in line for line in found)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (9.9, "just now"),
        (25, "20 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (90000, "25 h ago"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    """An age changes in steps."""
    assert ago(seconds) == said
