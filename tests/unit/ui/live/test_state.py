"""The state that follows from events and facts; pulls and builds."""

from __future__ import annotations

import pytest

from devenv import events as e
from devenv.docker import build_progress
from devenv.docker.build_progress import ImageProgress
from devenv.model.graph import Graph, Node, ServiceGraph, ServiceStats
from devenv.ui.live import commands
from devenv.ui.live.state import State
from support.stories import Told, failed, two, waiting


def state_of(*events: Told) -> State:
    state = State()
    for event in events:
        if isinstance(event, e.Event):
            state.tell(event, 1.0)
        else:
            state.learn(event)
    return state


def doing(state: State) -> tuple[e.Step | None, str]:
    return state.step, state.step_detail


def log(state: State) -> list[str]:
    return [line.text for line in state.log.recent(1000)]


def test_events_of_a_service_are_in_its_row_and_in_the_log() -> None:
    """The row has its state, its last sync and its statistics; the log has its events, in order."""
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
    """There is one word per state, more precise than the event's if that matters."""
    found = state_of(*([e.ServiceState("web", state, detail)] if state else []), ServiceStats("web"))
    assert found.services["web"].word == word


def test_a_stopped_service() -> None:
    """A service that was stopped by a key has not failed."""
    state = state_of(*two())
    before = log(state)
    for key in "ss":
        commands.press(state, key)
    assert state.services["db"].word == "stopping"
    state.tell(e.ServiceState("db", "stopped"), 2.0)
    state.settled("db", "")
    assert state.services["db"].word == "stopped"
    assert log(state) == before
    state.tell(e.ServiceState("db", "healthy"), 3.0)
    state.tell(e.ServiceState("db", "exited", "exit code 1"), 3.0)
    assert (state.services["db"].word, log(state)[-1]) == ("exited", "✗ db exited (exit code 1)")


def test_waits_are_no_news() -> None:
    """Waiting services are in the table and the status line, not in the log."""
    state = state_of(*waiting())
    assert log(state) == []
    assert state.services["db"].waiting is not None
    state.tell(e.ServiceState("db", "healthy"), 2.0)
    assert state.services["db"].waiting is None


def test_a_rebuild() -> None:
    """While it lasts the service is busy, with the reason; afterwards it is not, however it ended."""
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
    """The service is not busy; the problem and the failed step are shown until they are read."""
    state = state_of(*failed())
    assert state.services["web"].busy == ""
    assert problems(state) == ["web: the build of `web` failed: `RUN npm ci` ended with exit code 1"]
    assert state.progress.failed
    state.tell(e.Rebuilt("db", "Dockerfile", 2.0), 3.0)
    assert problems(state)
    commands.press(state, "escape")
    assert (problems(state), state.progress.is_empty) == ([], True)
    mended = state_of(*failed(), e.Rebuilt("web", "package.json", 2.0))
    assert problems(mended) == []
    commands.press(state, "escape")
    state.tell(e.Problem("of nobody"), 9.0)
    assert problems(state) == ["of nobody"]


@pytest.mark.parametrize(
    ("problem", "end"),
    [
        (e.Problem("the indentation is off", path="/p/compose.yml"), e.Solved("/p/compose.yml")),
        (e.Problem("/p/a: a pipe", None, "web", "/p/a"), e.Solved("/p/a", "web")),
        (e.Problem("ended with exit code 137", None, "db"), e.ServiceState("db", "healthy")),
        (e.Problem("could not restart", None, "db"), e.Restarted("db", "", 20.0)),
        (e.Problem("ended with exit code 137", None, "web"), e.ServiceState("web", "removed")),
    ],
)
def test_a_problem_ends_with_its_cause(problem: e.Problem, end: e.Event) -> None:
    """Others stay, and the newest is the last."""
    state = state_of(*two(), problem, e.Problem("of nobody"))
    assert len(problems(state)) == 2
    state.tell(end, 2.0)
    assert problems(state) == ["of nobody"]


def test_failed_reload_ends_its_pulls() -> None:
    """A rebuild or a reload that failed, or has ended, pulls nothing any more."""
    pulling = e.ImageState("python:3.13", "pulling")
    for end in (e.Problem("not found", None, "web"), e.Reloaded(("compose.yml",)), e.Step("rebuild", "end", "web")):
        assert state_of(*two(), pulling, end).progress.is_empty


def test_a_build_that_began_early_goes_on_after_the_pulls() -> None:
    """Until the end of the step that builds."""
    pulling, line = e.ImageState("python:3.13", "pulling"), e.Step("build", "detail", "#507 [web 1/2] FROM a")
    state = state_of(e.Step("images", "begin"), pulling, line, e.Step("images", "end"), e.Step("build", "begin"))
    assert ([*state.progress.pulls], [*state.progress.steps]) == ([], ["507"])
    state.tell(e.Step("build", "end"), 9.0)
    assert state.progress.is_empty


def problems(state: State) -> list[str]:
    return [problem.message for problem in state.problems.values()]


def test_a_burst_of_syncs() -> None:
    """Two syncs have their lines; from the third on one line counts, below the lines of other services."""
    state = State()
    for number in range(100):
        state.tell(e.Synced("web", 50, 0, 1, 100.0, (f"src/f{number}",)), 10 + number / 100)
        state.tell(e.Log("web", f"line {number}"), 10 + number / 100)
        assert len([line for line in log(state) if "→ web" in line]) == min(number + 1, 2 if number < 2 else 1)
    assert log(state)[-2:] == ["5,000 files synced → web (1.1 s)", "line 99"]
    state.tell(e.Synced("web", 0, 7, 0, 8_000.0, ("src/a",)), 19.0)  # a slow sync that began soon after the others
    assert log(state)[-1] == "5,007 files synced → web (9.1 s)"
    state.tell(e.Synced("web", 1, 0, 1, 9.0, ("src/a",)), 21.0)
    assert log(state)[-1] == "src/a → web (9 ms)"
    assert "5,007 files synced → web (9.1 s)" in log(state)
    assert len(state.syncs) == 102


def test_step_in_progress_becomes_a_line() -> None:
    """A step is shown as current until it ends; then it becomes a line, if it took long."""
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


def test_timings_and_build_output_are_in_the_log() -> None:
    """The times, with `--timings`, and what a build prints, with `--verbose`."""
    state = state_of(e.Timings(2.0, (e.Span("load", 0.0, 2.0, critical=True),)))
    assert log(state)[-1] == "most of it: load 2.0 s"
    state = State(verbose=True)
    state.tell(e.Step("build", "detail", "#5 [1/2] FROM a"), 1.0)
    state.tell(e.Traced("command", "docker version", "exit 0", 21.0), 1.0)
    assert log(state) == ["#5 [1/2] FROM a", "      21 ms  exit 0    docker version"]


def test_changed_services_after_a_reload() -> None:
    """When the project changes, services come and go; those that stay keep their data."""
    failed = e.Problem("ended with exit code 1", None, "db")
    state = state_of(*two(), failed, ServiceGraph(Graph("shop", (Node("web"), Node("new")))))
    assert problems(state) == []
    assert [*state.services] == ["web", "new"]
    assert state.services["web"].sync is not None


def told(*lines: str) -> ImageProgress:
    progress = ImageProgress()
    for line in lines:
        progress.line(line, 1.0)
    return progress


STEPS = ("#1 [internal] load build definition", "#2 [web internal] load x", "#5 [web 1/2] FROM a", "#5 CACHED")


def test_build_steps() -> None:
    """Each step of a Dockerfile with its state and its last lines; BuildKit's own work is none."""
    progress = told(
        *STEPS, "#6 [web 2/2] RUN b", "#6 0.1 one", "#6 0.2 two", "#9 0.2 of nobody", "#6 [web 2/2] RUN b"
    )
    assert [(s.instruction, s.state, list(s.lines)) for s in progress.steps.values()] == [
        ("FROM a", "cached", []),
        ("RUN b", "running", ["one", "two"]),
    ]
    progress.line("#6 DONE 1.5s", 2.0)
    progress.line("#9 DONE 1.5s", 2.0)
    assert (progress.steps["6"].state, progress.steps["6"].seconds) == ("done", 1.5)
    progress.over()
    assert progress.is_empty


def test_a_failure_stays() -> None:
    """The failed step is shown with its output until the next build, or until it is read."""
    progress = told("#6 [2/2] RUN b", "#6 0.1 bad", "#6 ERROR: process did not complete")
    progress.over()
    assert (progress.steps["6"].state, list(progress.steps["6"].lines)) == ("failed", ["bad"])
    progress.line("#3 [1/2] FROM a", 3.0)
    assert [*progress.steps] == ["3"]
    assert not progress.failed


def test_there_is_an_end_to_steps() -> None:
    """Of a build with thousands of steps, the last steps are kept."""
    progress = told(*(f"#{i} [{i}/9999] RUN x" for i in range(build_progress.MOST_STEPS + 10)))
    assert len(progress.steps) == build_progress.MOST_STEPS


def test_pulls_in_progress() -> None:
    """An image is shown while it is pulled, with its progress, and since when."""
    progress = ImageProgress()
    progress.image("a", "pulling", "2 of 8 layers", 1.0)
    progress.image("a", "pulling", "3 of 8 layers, 12 of 40 MB", 4.0)
    progress.image("b", "pulling", "", 1.0)
    progress.image("b", "making", "from packages", 5.0)
    assert [(p.done, p.layers, p.share, p.detail, p.began) for p in progress.pulls.values()] == [
        (3, 8, 0.3, "3 of 8 layers, 12 of 40 MB", 1.0),
        (0, 0, None, "from packages", 5.0),
    ]
    progress.image("d", "pulling", "", 1.0)
    for name, state in (("a", "pulled"), ("b", "failed"), ("c", "present")):
        progress.image(name, state, "", 9.0)
    progress.over()
    assert [*progress.pulls] == ["d"]
    progress.over(images=True)
    assert progress.is_empty
