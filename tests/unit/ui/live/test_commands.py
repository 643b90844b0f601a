"""Keys from bytes, and the commands of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv import events as e
from devenv.model.graph import ServiceStats, ViewCommand
from devenv.ui.live import commands, terminal
from devenv.ui.live import log as logbook
from devenv.ui.live.commands import PASTED
from devenv.ui.live.state import State
from support.stories import Told, fifty, two


def state_of(*events: Told) -> State:
    state = State()
    for event in events:
        if isinstance(event, e.Event):
            state.tell(event, 1.0)
        else:
            state.learn(event)
    return state


def press(state: State, *keys: str) -> ViewCommand | None:
    command = None
    for key in keys:
        command = commands.press(state, key)
    return command


def typed(state: State) -> tuple[str | None, str]:
    return state.view.typing and state.view.typing.text, state.log.filter.typed


def held(state: State) -> int | None:
    return state.view.anchor


def test_services_are_chosen() -> None:
    """Up and down move within the list; keys apply to the selected service."""
    state = state_of(*two())
    for keys, name in ((("up",), "db"), (("down",), "web"), (("j", "j"), "web"), (("k",), "db")):
        press(state, *keys)
        assert state.chosen is not None
        assert state.chosen.name == name
    assert State().chosen is None
    assert press(State(), "r") is None
    assert press(State(), "down", "l") is None


def test_restart_rebuild_stop() -> None:
    """Each is asked for once: meanwhile the service is busy."""
    state = state_of(*two())
    assert press(state, "down", "r") == ViewCommand("restart", "web")
    assert state.services["web"].busy == "restarting: you asked for it"
    assert press(state, "s", "s") is None
    assert "busy" in state.view.note
    state.settled("web", "not yet")
    assert (state.view.note, state.services["web"].busy) == ("not yet", "")
    state.settled("gone", "")
    assert press(state, "s", "s") == ViewCommand("stop", "web")
    state.tell(e.Restarted("web", "", 20.0), 2.0)
    assert [line.text for line in state.log.recent(1)] == ["web restarted in 20 ms"]
    assert press(state, "b") == ViewCommand("rebuild", "web")
    assert press(state, "up", "b") is None
    assert state.view.note == "db is not built by this run: r restarts it"


def test_a_shell() -> None:
    """It opens in a running container; otherwise a message says that none runs."""
    state = state_of(*two())
    assert press(state, "x") == press(state, "enter") == ViewCommand("shell", "c1")
    state.learn(ServiceStats("db"))
    assert press(state, "x") is None
    assert state.view.note == "db is not running"


def test_the_browser() -> None:
    """The address is the one that speaks HTTP, or the first; otherwise there is a reason."""
    state = state_of(*two())
    assert press(state, "o") is None
    assert state.view.note == "db publishes no port"
    assert press(state, "down", "o") == ViewCommand("open", "http://localhost:8080/")
    state.learn(ServiceStats("web", urls=("http://localhost:1/", "http://localhost:2/")))
    assert press(state, "o") == ViewCommand("open", "http://localhost:1/")
    fresh = state_of(*list(two())[:1])
    assert press(fresh, "o") is None
    assert fresh.view.note == "db is not up yet"


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ("q", None), ("qq", ViewCommand("quit")), ("qy", ViewCommand("quit")), ("qd", ViewCommand("detach")),
        ("qrq", None), ("qs", None), ("s", None), ("ss", ViewCommand("stop", "db")),
        ("sy", ViewCommand("stop", "db")),
        ("sq", None), ("sdq", None), ("y", None),
    ],
)  # fmt: skip
def test_a_question(keys: str, command: ViewCommand | None) -> None:
    """`q` and `s` ask: the same key or `y` confirms, and any other key only goes back."""
    state = state_of(*two())
    assert press(state, *keys) == command
    assert (state.view.is_detaching, state.view.page) == (keys == "qd", "syncs" if keys == "y" else "")


def test_a_question_stays_until_a_key() -> None:
    """Escape and pasted text go back, and an event does not."""
    for key in ("escape", f"{PASTED}q", "up"):
        state = state_of(*two())
        press(state, "q")
        state.tell(e.Notice("news"), 2.0)
        assert state.view.asked == "q"
        assert press(state, key) is None
        assert (state.view.asked, state.view.selected) == ("", 0)


def test_keys_to_detach() -> None:
    """`d` detaches, at once or when all is up."""
    state = state_of(*two())
    assert press(state, "d") == ViewCommand("detach")
    assert (state.view.note, state.view.is_detaching) == ("", True)
    fresh = State()
    press(fresh, "d")
    assert fresh.view.note == "detaches when all services are up"


def test_the_page_of_the_run() -> None:
    """Also in the view of a run in another process, and without a service."""
    for state in (State(), State(is_attached=True)):
        assert commands.press(state, "p") == ViewCommand("page")


def test_a_filter_is_typed() -> None:
    """It applies while it is typed; enter keeps it, escape restores the earlier filter."""
    state = state_of(*two())
    press(state, "/", *"gey", "backspace", "t", "left")
    assert typed(state)[0] == "get"
    assert [line.service for line in state.log.shown] == ["web"]
    press(state, "enter")
    assert typed(state) == (None, "get")
    press(state, "/", "clear", *"zz", "q", "escape")
    assert typed(state) == (None, "get")
    press(state, "escape")
    assert state.log.filter.typed == ""


def test_the_log_of_one_service() -> None:
    """`l` shows only the lines of the selected service, and then all again."""
    state = state_of(*two())
    press(state, "l")
    assert {line.service for line in state.log.shown} == {"db"}
    press(state, "l")
    assert len({line.service for line in state.log.shown}) == 3


def test_errors_are_found() -> None:
    """The last, then those before it, then the last again; a note if there is none."""
    printed = (("Error 1", "error"), ("a", ""), ("Error 2", "error"), *((letter, "") for letter in "bcdefghijklmnop"))
    state = state_of(*(e.Log("web", line, level=level) for line, level in printed))
    state.view.height = 5
    keys = []
    for _ in range(3):
        press(state, "e")
        keys.append((state.view.marked, state.view.anchor))
    assert keys == [(3, 5), (1, 3), (3, 5)]
    press(state, "escape")
    assert (state.view.anchor, state.view.marked) == (None, None)
    state.log.narrow(logbook.parse("b"))
    press(state, "e")
    assert state.view.note == "no error in the log matches the filter"
    fresh = state_of(e.Log("web", "fine"))
    press(fresh, "e")
    assert fresh.view.note == "no error in the log"
    fresh.tell(e.Log("web", "Error", level="error"), 1.0)
    press(fresh, "e")
    assert (fresh.view.marked, fresh.view.anchor) == (2, 2)


def test_pause_and_scroll() -> None:
    """The visible lines stay while new lines come; a page is the pane less one row."""
    state = state_of(*(e.Log("web", str(i)) for i in range(100)))
    press(state, " ")
    assert state.view.anchor == 100
    state.tell(e.Log("web", "more"), 1.0)
    assert state.view.anchor == 100
    press(state, "pgup")
    assert state.view.anchor == 91
    press(state, "pgdn", "pgdn")
    assert held(state) is None
    press(state, "home")
    assert held(state) == 1
    press(state, "end")
    assert held(state) is None
    press(state, "pgup", " ")
    assert state.view.anchor is None


def test_keys_for_pages() -> None:
    """Graph, syncs and help in the log's place, each with its own scrolling; the same key or escape leaves."""
    state = state_of(*fifty())
    press(state, "g")
    assert state.view.page == "graph"
    press(state, "pgdn")
    assert state.view.offset == 9
    press(state, "pgup", "pgup")
    assert state.view.offset == 0
    press(state, "end", "home", "y")
    assert (state.view.page, state.view.offset) == ("syncs", 0)
    press(state, "?", "?")
    assert state.view.page == ""
    press(state, "g", "escape")
    assert state.view.page == ""
    assert press(state, "z") is None


def test_pasted_text() -> None:
    """Pasted text is not taken for keys; while a filter is typed, it is added to the filter."""
    state = state_of(*two())
    assert press(state, f"{PASTED}quit") is None
    assert state.view.note == "paste ignored; press / first to filter"
    press(state, "/", f"{PASTED}econnrefused 127", "enter")
    assert [line.service for line in state.log.shown] == ["web"]


@pytest.mark.parametrize(
    ("data", "keys", "rest"),
    [
        (b"aq", ["a", "q"], b""),
        ("é日😀".encode(), ["é", "日", "😀"], b""),
        (b"\x1b[A\x1bOB\x1b[5~", ["up", "down", "pgup"], b""),
        (b"\x1b", ["escape"], b""),
        (b"\x1bx", ["escape", "x"], b""),
        (b"a\x1b[", ["a"], b"\x1b["),
        (b"\x1b[1;5", [], b"\x1b[1;5"),
        (b"\x1b[<0;1;1M", [], b""),
        (b"\xe6\x97", [], b"\xe6\x97"),
        (b"\r\n\t\x7f\x15", ["enter", "enter", "tab", "backspace", "clear"], b""),
        (b"\x00\x01", [], b""),
        (b"\x80\xff", [], b"\xff"),
        (b"a\x1b[200~q\r\nd\x1b[31m \xc3\xa9\x1b[201~b", ["a", "pasted q d[31m \u00e9", "b"], b""),
        (b"\x1b[200~q\x1b[20", [], b"\x1b[200~q\x1b[20"),
        (b"\xe0ab\xc0\x1b", ["a", "b"], b""),
    ],
)
def test_bytes_become_keys(data: bytes, keys: list[str], rest: bytes) -> None:
    """Printable keys are themselves, other keys have names, and an incomplete sequence waits."""
    assert terminal.keys(data) == (keys, rest)


def test_much_that_is_pasted() -> None:
    """A paste of any length is one key with the beginning of the text, and the wait for its end is cheap."""
    keys, rest = terminal.keys(b"\x1b[200~" + b"quit " * 10_000)
    for piece in (b"more" * 5000, b"\x1b[20", b"1~d"):
        assert keys == []
        assert len(rest) <= terminal.MOST_HELD
        keys, rest = terminal.keys(rest + piece)
    assert keys == [f"{PASTED}{('quit ' * 100)}", "d"]
    assert rest == b""


@given(st.binary(max_size=40))
def test_any_bytes_become_keys(data: bytes) -> None:
    """No bytes are too strange, and what waits is short."""
    keys, rest = terminal.keys(data)
    assert all(len(key) == 1 or key.isalpha() for key in keys)
    assert data.endswith(rest)
