"""The screen: filled exactly at every size, without control codes of containers, unchanged while nothing happens."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv import events as e
from devenv.model.graph import Graph, Node, ServiceGraph, ServiceStats
from devenv.ui.cells import Styled, width
from devenv.ui.live.screen import screen
from devenv.ui.live.terminal import Terminal
from support.stories import STORIES, two, waiting
from unit.ui.live.test_commands import press, state_of

KEYS = ["g", "y", "?", "e", " ", "/", "x", "up", "down", "pgup", "home", "end", "escape", "l", "enter", "r", "d"]


def lines(*events: object, columns: int = 100, rows: int = 30, keys: str = "", now: float = 1.0) -> list[str]:
    state = state_of(*events)  # type: ignore[arg-type]
    press(state, *keys)
    return ["".join(span.text for span in row).rstrip() for row in screen(state, columns, rows, now)]


@given(
    name=st.sampled_from(sorted(STORIES)),
    columns=st.integers(1, 320),
    rows=st.integers(1, 70),
    keys=st.lists(st.sampled_from(KEYS), max_size=6),
    now=st.floats(1, 1e6),
)
def test_every_size(name: str, columns: int, rows: int, keys: list[str], now: float) -> None:
    """The number of rows is that of the window, and no row is too wide, with any content."""
    state = state_of(*STORIES[name]())
    press(state, *keys)
    found = screen(state, columns, rows, now)
    assert len(found) == rows
    assert all(sum(width(span.text) for span in row) <= columns for row in found)


def test_a_still_screen_is_the_same() -> None:
    """Seconds later, if nothing happened, no cell differs."""
    state = state_of(*two())
    assert screen(state, 80, 24, 42.0) == screen(state, 80, 24, 50.0)


# --- T3: what containers print ------------------------------------------------------------------------------------

PIECES = (
    "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;file:///etc/passwd\x1b\\", "\x1b[2J", "\x1b[H", "\x1b[6n",
    "\x1b[?1049l", "\x1b[?25h", "\x1bc", "\x1bP$q\x1b\\", "\x1b[31m", "\x1b[999;999H", "\x9b2J", "\x9d0;x\x9c",
    "\x90q\x9c", "\r", "\b", "\x07", "\x00", "\x7f", "\x0e", "\x0f", "\x85", "\u202e", "\u2066", "\u200f",
    "\u200b", "\ufeff", "\U000e0041", "\x1b", "\x1b[", "\x1b]", "\u2028", "\u2029", "\n", "\v", "\f", "\udc80",
    "\x1b%G", "\x1b#8", "\x1b[5i", "\x1b[>c", "\x1b_x\x1b\\", "\x1b^x\x1b\\", "\x1b[201~",
    "\x1b[38;5;196m", "\x1b[48;2;1;2;3m", "\x1b[1;4;91;107m", "\x1b[7m", "\x1b[5;8;31m", "\x1b[38;5;999m",
    "\x1b[38:2:1:2:3m", "\x1b[>4;2m", f"\x1b[{'31;' * 99}31m", "\x1b[3" + "\x1b[1m", "\x1b[31\x1b[0;H", "\x1b[38;2m",
)  # fmt: skip
OWN = re.compile(r"\x1b\[(?:\d*;?\d*H|[\d;]*m|K)|\x1b\]8;;(?:https?://[\w.:\[\]/-]*)?\x1b\\")
SGR = re.compile(r"\x1b\[([\d;]*)m")
ALLOWED = re.compile(r"[0-4]|1;7|7|[34][0-7]|9[0-7]|10[0-7]|[34]8;(?:5|2;\d{1,3};\d{1,3});\d{1,3}")


def payloads() -> list[str]:
    """Two hundred, each piece alone and then in mixes that are the same every time."""
    chance = random.Random(3)
    mixes = ("".join(chance.choices((*PIECES, "text", "日本", "e\u0301"), k=6)) for _ in range(200 - len(PIECES)))
    return [*PIECES, *mixes]


@pytest.mark.parametrize("payload", payloads())
def test_no_payload_reaches_the_terminal(payload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a text comes from (log, build, health check, path, name), only our own sequences are written."""
    events = (
        ServiceGraph(Graph(payload, (Node(f"a{payload}"), Node("web")))),
        e.Log("web", f"x{payload}y"),
        e.Log(f"a{payload}", payload),
        e.HookLine("before_up", payload),
        e.ServiceState("web", "starting", payload),
        e.ServiceState(f"a{payload}", "exited", payload),
        e.Waiting("web", payload, 5.0, (payload,), payload, payload),
        e.Synced("web", 1, 0, 1, 1.0, (payload,)),
        e.Problem(payload, payload, "web", payload),
        e.Notice(payload, payload),
        e.Executed("web", payload, 1, payload, 1.0),
        e.ImageState(f"i{payload}", "pulling", payload),
        e.Step("build", "detail", f"#1 [1/2] RUN {payload}"),
        e.Step("build", "detail", f"#1 0.1 {payload}"),
        e.Step("rebuild", "begin", f"web: {payload} changed"),
        e.Step("images", "begin", payload),
        e.Step("images", "detail", payload),
        e.Ready("p", (f"http://x{payload}/",), 1.0),
        ServiceStats("web", "c", (f"http://x{payload}/",)),
    )
    state = state_of(*events)
    written: list[str] = []
    terminal = Terminal(colour=True)
    monkeypatch.setattr(terminal, "_write", written.append)
    for key in ("", "g", "y", "/"):
        press(state, *([key] if key else []))
        for columns in (40, 200):
            terminal.draw(screen(state, columns, 40, 2.0), (columns, 40))
    drawn = [row for text in written for row in re.split(r"\x1b\[\d+;1H\x1b\[K", text)[1:]]
    assert all(ALLOWED.fullmatch(codes) for row in drawn for codes in SGR.findall(row))
    assert all(row.removesuffix("\x1b[?2026l").endswith("\x1b[0m") for row in drawn), "a colour goes on"
    rest = OWN.sub("", "".join(written).replace("\x1b[?2026h", "").replace("\x1b[?2026l", "").replace("\x1b[2J", ""))
    bad = [c for c in rest if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\u200d"]
    assert bad == [], repr(rest)[:3000]


def colours_of(written: str) -> list[str]:
    return [codes for codes in SGR.findall(written) if codes not in ("", "0", "1", "2", "4", "1;7")]


@pytest.mark.parametrize("colour", [True, False])
def test_colours_of_a_container(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept in the log and nowhere else, and end with each row; without colours none is written."""
    red = "\x1b[31m"
    events = (e.Log("web", f"{red}one {'long ' * 30}"), e.Log("web", "two"), e.ServiceState(f"{red}x", "exited", red))
    state = state_of(*events)
    written: list[str] = []
    terminal = Terminal(colour=colour)
    monkeypatch.setattr(terminal, "_write", written.append)
    terminal.draw(screen(state, 80, 24, 2.0), (80, 24))
    rows = re.split(r"\x1b\[\d+;1H\x1b\[K", written[0])
    first, more, *_, two = (row for row in rows if re.search("one|long|two", row))
    assert ("\x1b[31mone" in first, "\x1b[31mlong" in more) == (colour, colour)
    assert first.endswith("\x1b[0m")
    assert more.endswith("\x1b[0m")
    assert "\x1b[31m" not in two
    assert colour or not colours_of(written[0])


# --- texts ----------------------------------------------------------------------------------------------------


def test_a_detach_that_waits() -> None:
    """It is shown until it ends, whatever else happens."""
    state = state_of(*waiting())
    press(state, "d")
    state.tell(e.ImageState("postgres:16", "pulling", "4 of 8 layers"), 1.0)
    assert "; then detaches" in "".join(span.text for span in screen(state, 160, 24, 1.0)[-2])


def test_status_line_shows_the_current_step() -> None:
    """It has the step, the service that is waited for, the reason, the duration, and the services that wait."""
    events = list(waiting())
    assert lines(*events)[-2] == "◐ building: 2 steps done, 1 of them cached"
    assert lines(*events)[-4:-2] == ["  ◐ [web 3/3] RUN npm ci", "      added 12 packages"]
    assert lines(*events, now=61.5)[-4] == "  ◐ [web 3/3] RUN npm ci 60 s"
    events += [e.Step("build", "end", seconds=1.0), e.Step("healthy", "begin")]
    assert lines(*events)[-2] == "◐ waiting for db (its health check, 15 s, connection refused); then web"
    events += [e.Step("healthy", "end", seconds=1.0)]
    assert lines(*events)[-2].startswith("◐ waiting for db")
    assert lines(e.Step("check", "begin"))[-2] == "◐ checking the machine"
    assert (
        lines(e.Step("images", "begin"), e.ImageState("a", "pulling"))[-2]
        == "◐ looking for the images: 1 image on the way"
    )
    assert lines(e.Step("restore", "begin", "db"))[-2] == "◐ restoring the volumes; db"
    assert lines(e.Step("sync", "begin"), e.Step("sync", "detail", "web"))[-2].endswith("; web")
    assert lines(e.ServiceState("db", "starting"), e.Step("start", "begin"))[-2] == "◐ waiting for db"
    assert lines()[-2] == ""


def test_status_line_shows_problems_first() -> None:
    """First problems, then failed services are shown; a rebuild and its cause have priority while they last."""
    events = [*two(), e.ServiceState("db", "exited", "exit code 3")]
    assert lines(*events)[-2] == "✗ db exited (exit code 3)"
    assert lines(*events)[0].startswith("shop  1 of 2 up  ✗ db")
    assert lines(*two(), e.ServiceState("db", "unhealthy"))[-2] == "✗ db unhealthy"
    state = state_of(*two())
    press(state, "s", "s")
    state.tell(e.ServiceState("db", "stopped"), 2.0)
    state.settled("db", "")
    assert "■ db stopped: r starts it again" in "".join(
        span.text for row in screen(state, 80, 24, 1.0) for span in row
    )
    events.append(e.Problem("disk is full\nmore"))
    assert lines(*events)[-2] == "✗ disk is full; db exited (exit code 3)"
    assert lines(*events, now=62.0)[-2] == "✗ db exited (exit code 3)"
    events.append(e.Problem("no such module", None, "db"))
    assert lines(*events)[-2] == "✗ disk is full; db: no such module"
    events.append(e.Step("rebuild", "begin", "web: Dockerfile changed"))
    assert lines(*events)[-2] == "◐ web rebuilding: Dockerfile changed"
    assert lines(*events, keys="b")[-2] == "db is not built by this run: r restarts it"


def test_an_error_in_the_log() -> None:
    """An error after a sync is in row, header and status; other errors are counted until they are read."""
    broken = e.ServiceState("web", "healthy", error="main.py:63: SyntaxError: invalid syntax")
    rows = lines(*two(), broken)
    assert rows[0].startswith("shop  2 of 2 up  ✗ 1 error, e shows it")
    assert re.search(r"✗ web  +healthy .*  main.py:63: SyntaxError: invalid syntax$", rows[3])
    assert rows[-2] == "✗ web: main.py:63: SyntaxError: invalid syntax"
    assert lines(*two(), broken, columns=40)[-2] == "✗ web: main.py:63: SyntaxError: invalid…"
    failed = lines(*two(), e.ServiceState("web", "unhealthy", "its check fails", "timed out", "no such table"))
    assert failed[-2] == "✗ web unhealthy (its check fails): no such table; last check: timed out"
    mended = lines(*two(), broken, e.ServiceState("web", "healthy"))
    assert "error" not in mended[0] + mended[3]
    assert mended[-2] == "● up after 4.2 s"
    others = [*two(), *(e.Log("web", f"Error: {number}", level="error") for number in (1, 2, 3))]
    assert lines(*others)[0].startswith("shop  2 of 2 up  3 errors in the log")
    assert lines(*others)[-2] == "● up after 4.2 s"
    assert lines(*others, broken)[0].startswith("shop  2 of 2 up  ✗ 3 errors, e shows them")
    assert lines(*others, keys="e")[0].startswith("shop  2 of 2 up  localhost")
    assert lines(*others, e.Synced("web", 1, 0, 1, 1.0, ("a",)))[0].startswith("shop  2 of 2 up  localhost")


def test_how_long_it_is_up() -> None:
    """The line has the duration of the start, and after a minute the time; a service that is not up is named."""
    assert lines(*two(), now=60.9)[-2] == "● up after 4.2 s"
    assert lines(*two(), now=721.0)[-2] == "● up for 12 min"
    assert lines(*two(), now=90_000.0)[-2] == "● up for 24 h"
    state = state_of(*two(), e.ServiceState("db", "absent"))
    assert screen(state, 80, 24, 1.0)[-2] == (Styled("◐ not up: db", "warn"),)


def test_a_problem_that_is_over() -> None:
    """The next text is shown."""
    broken = e.Problem("compose.yml:8: the indentation is off", path="/p/compose.yml")
    assert lines(*two(), broken, now=600.0)[-2] == "✗ compose.yml:8: the indentation is off"
    assert lines(*two(), broken, e.Solved("/p/compose.yml"))[-2] == "● up after 4.2 s"


@pytest.mark.parametrize(
    ("phase", "detail", "text", "style"),
    [
        ("stopped", "by somebody else; r ...", "■ db stopped by somebody else; r ...", "warn"),
        ("restarting", "exit code 3, waits for a", "◐ db restarting (exit code 3, waits for a)", "warn"),
        ("removed", "removed by others", "✗ db removed by others; r recreates what was removed, q ends", "bad"),
    ],
)
def test_stops_and_removals_by_others_are_shown(phase: str, detail: str, text: str, style: str) -> None:
    """It is in the row, the count and the status line, and nothing is green."""
    drawn = screen(state_of(*two(), e.ServiceState("db", phase, detail)), 120, 24, 1.0)
    assert drawn[-2] == (Styled(text, style),)
    assert "1 of 2 up" in "".join(span.text for span in drawn[0])
    assert [span.style for span in drawn[2] if phase in span.text] == [style]


def test_services_that_failed_alike_are_one_text() -> None:
    """What to do stays visible, and no address is shown if nothing is up."""
    gone = [e.ServiceState(name, "removed", "by somebody else") for name in ("db", "web")]
    drawn = lines(*two(), *gone)
    assert drawn[-2] == "✗ db, web removed (by somebody else); r recreates what was removed, q ends"
    assert ("localhost" in lines(*two())[0], "localhost" in drawn[0]) == (True, False)


@pytest.mark.parametrize(("service", "is_shown"), [("web", False), ("db", True)])
def test_the_address_of_a_service_that_is_not_up(service: str, *, is_shown: bool) -> None:
    """The header does not show it, although other services are up."""
    drawn = lines(*two(), ServiceStats("web", "c1", ("http://localhost:8080/",)), e.ServiceState(service, "stopped"))
    assert ("localhost:8080" in drawn[0]) is is_shown


def test_questions_before_an_end() -> None:
    """Before the run or a service ends, with all ways on."""
    assert lines(*two(), keys="q")[-2] == "end the run? q again ends it, d leaves it running, Esc goes back"
    assert lines(*two(), keys="js")[-2] == "stop web? s again stops it, Esc goes back"


@pytest.mark.parametrize("columns", [40, 80, 106, 120, 200])
def test_the_line_of_keys(columns: int) -> None:
    """It has the keys to end the run and to get help at every width, and more keys if it is wider."""
    status = lines(*two(), columns=columns)[-1]
    assert status.endswith("? help  q end")
    assert status.startswith("/ filter")
    assert ("l only this" in status) == (columns > 100)
    assert ("w wrap" in status) == (columns > 160)


def test_files_on_their_way() -> None:
    """Files that are saved and not synced yet are counted, in the row and in the status line."""
    rows = lines(*two(), ServiceStats("db", pending=3), ServiceStats("web", pending=1), columns=120)
    assert rows[-2] == "◐ 4 saved files on the way"
    assert rows[2].endswith("3 pending")
    assert rows[3].endswith("1 pending; 2 files 13 ms just now")


def test_a_filter_that_is_typed() -> None:
    """The filter is in the last line, with the number of lines, or its mistake."""
    assert re.fullmatch(r"/get▏ +1 lines?", lines(*two(), keys="/get")[-1])
    assert lines(*two(), keys="/level:x")[-1].endswith("level: must be error or warn")


def test_many_services_on_a_wide_screen() -> None:
    """They are in several columns, the last column with the remaining services."""
    text = lines(ServiceGraph(Graph("p", tuple(Node(f"s{i}") for i in range(5)))), columns=220, rows=12)
    assert [re.findall(r"s\d", line) for line in text[2:5]] == [["s0", "s3"], ["s1", "s4"], ["s2"]]
    assert text[1].count("SERVICE") == 2
