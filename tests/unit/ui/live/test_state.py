"""The live view's state: what is told and typed, and what that asks for."""

from __future__ import annotations

import pytest

from devenv import events as e
from devenv.model.graph import Graph, Node
from devenv.model.live import ServiceGraph, ServiceStats, ViewCommand
from devenv.ui.live import log as logbook
from devenv.ui.live.keys import PASTED
from devenv.ui.live.state import State
from support.stories import Told, failed, fifty, two, waiting


def state_of(*told: Told) -> State:
    state = State()
    for one in told:
        if isinstance(one, e.Event):
            state.tell(one, 1.0)
        else:
            state.learn(one)
    return state


def press(state: State, *keys: str) -> ViewCommand | None:
    wish = None
    for key in keys:
        wish = state.press(key)
    return wish


def doing(state: State) -> tuple[e.Step | None, str]:
    return state.step, state.step_detail


def typed(state: State) -> tuple[str | None, str]:
    return state.typing, state.log.filter.typed


def held(state: State) -> int | None:
    return state.anchor


def log(state: State) -> list[str]:
    return [line.text for line in state.log.recent(1000)]


def test_what_is_told_of_a_service() -> None:
    """Its state, its last sync and its numbers are in its row; news of it are in the log, in their place."""
    state = state_of(*two())
    web = state.services["web"]
    assert (web.word, web.service_stats.restarts) == ("healthy", 1)
    assert web.sync is not None
    assert web.sync.event.files == 2
    assert [*state.services] == ["db", "web"]
    assert log(state)[-1] == "src/app.js +1 → web (13 ms)"
    assert "● web healthy" in log(state)


@pytest.mark.parametrize(
    ("state", "detail", "word"),
    [
        ("", "", "absent"), ("absent", "", "absent"), ("created", "", "created"), ("starting", "", "starting"),
        ("created", "waits for db", "waiting"), ("exited", "exit code 1", "exited"), ("completed", "", "completed"),
    ],
)  # fmt: skip
def test_the_word_for_a_state(state: str, detail: str, word: str) -> None:
    """One word each, which says more than the event's own where that matters."""
    found = state_of(*([e.ServiceState("web", state, detail)] if state else []), ServiceStats("web"))
    assert found.services["web"].word == word


def test_a_stopped_service() -> None:
    """What somebody stopped has not failed."""
    for ended in ("exited", "completed"):
        state = state_of(*two())
        before = log(state)
        press(state, "s")
        state.tell(e.ServiceState("db", "healthy"), 2.0)
        state.settled("db", "")
        state.tell(e.ServiceState("db", ended), 2.0)
        assert state.services["db"].word == "stopped"
        assert log(state) == before
        state.tell(e.ServiceState("db", "healthy"), 3.0)
        state.tell(e.ServiceState("db", "exited", "exit code 1"), 3.0)
        assert (state.services["db"].word, log(state)[-1]) == ("exited", "✗ db exited (exit code 1)")


def test_waits_are_no_news() -> None:
    """Who waits is in the table and the status line, and not told once more in the log."""
    state = state_of(*waiting())
    assert log(state) == []
    assert state.services["db"].waiting is not None
    state.tell(e.ServiceState("db", "healthy"), 2.0)
    assert state.services["db"].waiting is None


def test_a_rebuild() -> None:
    """While it goes on the service is busy, and why; afterwards it is not, however it ended."""
    state = state_of(*two(), e.Step("rebuild", "begin", "web: package.json changed"))
    assert state.services["web"].busy == "rebuilding: package.json changed"
    assert state.services["web"].word == "rebuilding"
    state.tell(e.Step("build", "detail", "#5 [1/2] FROM a"), 2.0)
    assert state.progress.steps
    for event in (e.Step("rebuild", "end", "web", 2.0), e.Rebuilt("web", "package.json", 2.0)):
        state.tell(event, 3.0)
    assert (state.services["web"].busy, state.progress.is_empty) == ("", True)
    assert log(state)[-1] == "web rebuilt in 2.0 s (package.json changed)"
    state.tell(e.Step("rebuild", "begin", "gone: x changed"), 4.0)
    assert "gone" not in state.services


def test_a_rebuild_that_failed() -> None:
    """The service is free again, and the problem and the open step are there until somebody has seen them."""
    state = state_of(*failed())
    assert state.services["web"].busy == ""
    assert state.problem.startswith("web: the build of `web` failed")
    assert state.progress.failed
    state.tell(e.Rebuilt("db", "Dockerfile", 2.0), 3.0)
    assert state.problem
    press(state, "escape")
    assert (state.problem, state.progress.is_empty) == ("", True)
    mended = state_of(*failed(), e.Rebuilt("web", "package.json", 2.0))
    assert mended.problem == ""
    press(state, "escape")
    state.tell(e.Problem("of nobody"), 9.0)
    assert state.problem == "of nobody"


def test_steps() -> None:
    """A step is what is going on until it ends, with its last word; then it is a line, if it took long."""
    state = state_of(e.Step("images", "begin"), e.Step("images", "detail", " making \x1b[1mroot "))
    assert state.step is not None
    assert (state.step.name, state.step_detail) == ("images", "making root")
    state.tell(e.ImageState("node:22", "pulling", "1 of 2 layers"), 2.0)
    state.tell(e.Step("images", "end", seconds=3.0), 4.0)
    assert doing(state) == (None, "")
    assert log(state) == ["got the images (3.0 s)"]


def test_the_rest_is_a_line() -> None:
    """Hooks, notices and commands are in the log, hints and all."""
    state = state_of(
        e.HookLine("before_up", "seeding"), e.Notice("ports are narrow", "--lan"), e.Removed("network", "x")
    )
    assert log(state) == ["seeding", "ports are narrow", "  hint: --lan"]


def test_what_was_asked_for_more() -> None:
    """The times, with `--timings`, and what a build prints, with `--verbose`."""
    state = state_of(e.Timings(2.0, (e.Span("load", 0.0, 2.0, critical=True),)))
    assert log(state)[-1] == "most of it: load 2.0 s"
    state = State(verbose=True)
    state.tell(e.Step("build", "detail", "#5 [1/2] FROM a"), 1.0)
    state.tell(e.Traced("command", "docker version", "exit 0", 21.0), 1.0)
    assert log(state) == ["#5 [1/2] FROM a", "      21 ms  exit 0    docker version"]


def test_other_files() -> None:
    """Where the project changes, services come and go, and those that stay keep what is known of them."""
    state = state_of(*two(), ServiceGraph(Graph("shop", (Node("web"), Node("new")))))
    assert [*state.services] == ["web", "new"]
    assert state.services["web"].sync is not None


# --- keys -------------------------------------------------------------------------------------------------------


def test_services_are_chosen() -> None:
    """Up and down, not beyond the ends; keys are for the chosen one."""
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
    assert press(state, "s") is None
    assert "busy" in state.note
    state.settled("web", "not yet")
    assert (state.note, state.services["web"].busy) == ("not yet", "")
    state.settled("gone", "")
    assert press(state, "s") == ViewCommand("stop", "web")
    state.tell(e.Restarted("web", "", 20.0), 2.0)
    assert log(state)[-1] == "web restarted in 20 ms"
    assert press(state, "b") == ViewCommand("rebuild", "web")
    assert press(state, "up", "b") is None
    assert state.note == "db is not built by this run: r restarts it"


def test_a_shell() -> None:
    """In a container that runs; else it says that none does."""
    state = state_of(*two())
    assert press(state, "x") == press(state, "enter") == ViewCommand("shell", "c1")
    state.learn(ServiceStats("db"))
    assert press(state, "x") is None
    assert state.note == "db does not run"


def test_the_browser() -> None:
    """The address that speaks HTTP, or the first one; else why there is none."""
    state = state_of(*two())
    assert press(state, "o") is None
    assert state.note == "db publishes no port"
    assert press(state, "down", "o") == ViewCommand("open", "http://localhost:8080/")
    state.learn(ServiceStats("web", urls=("http://localhost:1/", "http://localhost:2/")))
    assert press(state, "o") == ViewCommand("open", "http://localhost:1/")
    fresh = state_of(*list(two())[:1])
    assert press(fresh, "o") is None
    assert fresh.note == "db is not up yet"


def test_leaving() -> None:
    """`q` ends, `d` detaches, at once or when all is up."""
    state = state_of(*two())
    assert press(state, "q") == ViewCommand("quit")
    assert press(state, "d") == ViewCommand("detach")
    assert (state.note, state.is_detaching) == ("", True)
    fresh = State()
    press(fresh, "d")
    assert fresh.note == "detaches once all is up"


def test_a_filter_is_typed() -> None:
    """It holds while it is typed; enter keeps it, escape takes the one before."""
    state = state_of(*two())
    press(state, "/", *"gey", "backspace", "t", "left")
    assert state.typing == "get"
    assert [line.service for line in state.log.shown] == ["web"]
    press(state, "enter")
    assert typed(state) == (None, "get")
    press(state, "/", "clear", *"zz", "q", "escape")
    assert typed(state) == (None, "get")
    press(state, "escape")
    assert state.log.filter.typed == ""


def test_the_log_of_one_service() -> None:
    """`l` shows the chosen one's lines alone, and again all."""
    state = state_of(*two())
    press(state, "l")
    assert {line.service for line in state.log.shown} == {"db"}
    press(state, "l")
    assert len({line.service for line in state.log.shown}) == 3


def test_errors_are_found() -> None:
    """The last one, then those before, then the last again; where there is none, it says so."""
    state = state_of(*(e.Log("web", line) for line in ("Error 1", "a", "Error 2", *"bcdefghijklmnop")))
    state.height = 5
    found = []
    for _ in range(3):
        press(state, "e")
        found.append((state.marked, state.anchor))
    assert found == [(3, 5), (1, 3), (3, 5)]
    press(state, "escape")
    assert (state.anchor, state.marked) == (None, None)
    state.log.narrow(logbook.parse("b"))
    press(state, "e")
    assert state.note == "no error in the log that the filter lets through"
    fresh = state_of(e.Log("web", "fine"))
    press(fresh, "e")
    assert fresh.note == "no error in the log"
    fresh.tell(e.Log("web", "Error"), 1.0)
    press(fresh, "e")
    assert (fresh.marked, fresh.anchor) == (2, 2)


def test_pause_and_scroll() -> None:
    """What is looked at stays while more comes; a page is the pane less one row."""
    state = state_of(*(e.Log("web", str(i)) for i in range(100)))
    press(state, " ")
    assert state.anchor == 100
    state.tell(e.Log("web", "more"), 1.0)
    assert state.anchor == 100
    press(state, "pgup")
    assert state.anchor == 91
    press(state, "pgdn", "pgdn")
    assert held(state) is None
    press(state, "home")
    assert held(state) == 1
    press(state, "end")
    assert held(state) is None
    press(state, "pgup", " ")
    assert state.anchor is None


def test_pages() -> None:
    """Graph, syncs and help in the log's place, each with its own scrolling; the same key or escape leaves."""
    state = state_of(*fifty())
    press(state, "g")
    assert state.page == "graph"
    press(state, "pgdn")
    assert state.offset == 9
    press(state, "pgup", "pgup")
    assert state.offset == 0
    press(state, "end", "home", "y")
    assert (state.page, state.offset) == ("syncs", 0)
    press(state, "?", "?")
    assert state.page == ""
    press(state, "g", "escape")
    assert state.page == ""
    assert press(state, "z") is None


def test_what_is_pasted() -> None:
    """It is no keys: nothing is asked for; where a filter is typed, it is part of that."""
    state = state_of(*two())
    assert press(state, f"{PASTED}quit") is None
    assert state.note == "what is pasted is no key; / filters by it"
    press(state, "/", f"{PASTED}econnrefused 127", "enter")
    assert [line.service for line in state.log.shown] == ["web"]
