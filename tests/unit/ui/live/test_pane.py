"""The log, and the pages in its place."""

from __future__ import annotations

import re

import pytest

from devenv import events as e
from devenv.model.graph import Graph, Node, ServiceGraph, ServiceStats
from devenv.ui.live.pane import ago
from devenv.ui.live.screen import screen
from support.stories import fifty, two
from unit.ui.live.test_commands import press, state_of
from unit.ui.live.test_screen import lines


def test_a_long_line() -> None:
    """Of a very long line only the beginning is shown, with the lines before and after it."""
    text = lines(*two(), e.Log("web", f"begin {'A' * 5000} end"), e.Log("db", "the last"), columns=80, rows=24)
    assert any("web    │ begin AAA" in line for line in text)
    assert text[-3] == "db     │ the last"
    assert text[-4].endswith("A…")
    assert any("src/app.js" in line for line in text)


def test_the_graph_has_the_states() -> None:
    """Each service with its state beside its name; without a project there is nothing to draw."""
    events = [*two(), e.ServiceState("db", "exited", "exit code 1")]
    rows = lines(*events, keys="g")
    assert any("└─ web healthy  ports 8080:80" in line for line in rows)
    assert any("└─ db exited (needed: healthy)  ports 5432" in line for line in rows)
    assert any("└─ db starting" in line for line in lines(*events, e.ServiceState("db", "starting"), keys="g"))
    assert "the project is not read yet" in lines(keys="g")


def test_the_last_syncs() -> None:
    """The newest first, with paths as far as they are known."""
    more = e.Synced("db", 7, 1, 900, 1300.0, ("a", "b"))
    gone = e.Synced("db", 0, 1, 0, 3.0, ("c",))
    rows = lines(*two(), more, gone, keys="y")
    place = rows.index("just now    db              1 file        3 ms  c (removed)")
    assert rows[place + 1] == "just now    db              8 files      1.3 s  a, b +6"
    assert rows[place + 2].endswith("src/app.js, src/style.css")
    assert "nothing was synced yet" in lines(keys="y")


def test_a_page_that_is_too_long() -> None:
    """It says how many lines more there are, and does not scroll beyond its end."""
    state = state_of(*fifty())
    press(state, "g", "end")
    rows = ["".join(span.text for span in row) for row in screen(state, 80, 24, 1.0)]
    assert any(re.search(r"graph ── \d+ more: PgUp PgDn", line) for line in rows)
    assert any("hooks-4" in line for line in rows)


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (0, "just now"),
        (9.9, "just now"),
        (25, "20 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (90000, "25 h ago"),
    ],
)
def test_ages_change_in_steps(seconds: float, age: str) -> None:
    """An age changes in steps."""
    assert ago(seconds) == age


def test_matches_are_marked() -> None:
    """Words and expressions of the filter, in a line's own colours."""
    state = state_of(*two(), e.Log("web", "\x1b[32mGET\x1b[0m /GETS 200"))
    press(state, *"/get /2[0]+/", "enter")
    (row,) = [
        row for row in screen(state, 80, 24, 1.0) if any("/" in span.text and span.style == "" for span in row)
    ][-1:]
    assert [(span.text, span.codes) for span in row if span.style == "match"] == [
        ("GET", ("32",)), ("GET", ()), ("200", ()),
    ]  # fmt: skip


def test_no_line_matches() -> None:
    """A line says so, with the key to go back; an invalid filter hides no line."""
    assert "no line matches @web nothing; Esc clears the filter" in lines(*two(), keys="/@web nothing")
    assert not any("no line matches" in line for line in lines(*two(), keys="//(/"))
    assert not any("no line matches" in line for line in lines())


def test_times_and_wrapping() -> None:
    """`t` shows the time of each line, `w` wraps long lines."""
    rows = lines(*two(), keys="t")
    assert "1.0 db     │ ready to accept connections" in rows
    wrapped = lines(*two(), columns=80)
    cut = lines(*two(), columns=80, keys="w")
    assert any(line.startswith("       │ and so on") for line in wrapped)
    assert not any(line.startswith("       │") for line in cut)
    assert any(line.endswith(" and so on …") for line in cut)
    assert lines(*two(), columns=80, keys="ww") == wrapped


def test_words_stay_whole() -> None:
    """A long line is broken between words, without the space."""
    line = 'could not open "/var/run/postgresql/.s.PGSQL.5432": ' + "the directory of the socket does not exist"
    texts = [
        row.partition("│ ")[2] for row in lines(*two(), e.Log("db", line), columns=60) if row.startswith(("db", "  "))
    ]
    assert 'could not open "/var/run/postgresql/.s.PGSQL.5432":' in texts
    assert "the directory of the socket does not exist" in texts


def test_health_checks_are_folded() -> None:
    """Access lines of the health check are counted until `h` shows them; a search shows them, too."""
    graph, stats = ServiceGraph(Graph("shop", (Node("web"),))), ServiceStats("web", "web1", checked="/health")
    probe = 'INFO: 127.0.0.1:40000 - "GET /health HTTP/1.1" 200 OK'
    probes = (e.Log("web", probe) for _ in range(3))
    events = (graph, *probes, stats, ServiceStats("web"), e.Log("web", "GET /items 200"))
    rows = lines(*events)
    assert any(line.endswith(" 3 health checks hidden: h ──") for line in rows)
    assert not any("/health" in line for line in rows)
    assert sum("/health" in line for line in lines(*events, keys="h")) == 3
    assert sum("/health" in line for line in lines(*events, keys="hh")) == 0
    assert sum("GET /health" in line for line in lines(*events, keys="/health")) == 3


def test_pulls_and_stand_ins() -> None:
    """Each image is shown with what is known, and since when."""
    events = [
        e.ImageState("postgres:16", "pulling", "3 of 8 layers, 12 of 40 MB"),
        e.ImageState("node:22", "making", "building, step 2 of 5"),
    ]
    rows = lines(*events, now=46.0)
    assert "◐ pulling postgres:16 ■■■□□□□□ 3 of 8 layers, 12 of 40 MB, 30%, 45 s" in rows
    assert "◐ making node:22 building, step 2 of 5, 45 s" in rows
    again = [
        *events,
        e.ImageState("node:22", "making", "building, step 3 of 5"),
        e.ImageState("postgres:16", "failed", "no answer"),
    ]
    rows = lines(*again, now=46.0)
    assert "◐ making node:22 building, step 3 of 5, 45 s" in rows
    assert not any("postgres" in line for line in rows)
