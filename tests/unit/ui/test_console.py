"""The console's output of events, answers and errors."""

from __future__ import annotations

import json
import os
import re
import sys

import anyio
import pytest

from devenv import events as e
from devenv.errors import ConfigError, EngineError
from devenv.ui import reminder, text
from devenv.ui.console import Console
from devenv.ui.hints import ProjectOptions

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that asks for colour, or forbids it."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)


def test_text_output(capfd: Capture) -> None:
    """Lines for people are written to stdout, without colour if it is not a terminal."""
    window = Console()
    for event in (e.Log("web", "\x1b[31mred"), e.Ready("p", (), 1.0), e.Removed("container", "x")):
        window.emit(event)
    assert capfd.readouterr() == ("web │ red\np is up after 1.0 s\n", "")


def test_colours_of_states(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the status model: green if the service is up, red if it failed or has an error in its log."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    window = Console()
    for state in ("healthy", "removed", "stopped"):
        window.emit(e.ServiceState("web", state))
    window.emit(e.ServiceState("web", "healthy", error="x"))
    lines = capfd.readouterr().out.splitlines()
    codes = [line.partition("m")[0] for line in lines]
    assert re.sub(r"\x1b\[\d*m", "", lines[-1]) == "✗ web x"
    assert codes == ["\x1b[32", "\x1b[31", "\x1b[2", "\x1b[31"]


def test_a_crash_loop_is_told_once(capfd: Capture) -> None:
    """It is not repeated at each failed start; once the service was up, it is printed again."""
    window = Console()
    loop = [("restarting", ""), ("restarting", "x"), ("starting", "waits for its health check")]
    for state, detail in (*loop, *loop, ("healthy", ""), *loop[:1], ("exited", ""), ("exited", "")):
        window.emit(e.ServiceState("web", state, detail))
    assert [line.split()[2] for line in capfd.readouterr().out.splitlines()] == [
        "restarting", "restarting", "waits", "healthy", "restarting", "exited", "exited",
    ]  # fmt: skip


def test_json_output(capfd: Capture) -> None:
    """There is one object per line, ASCII only, with version, time and the event's fields, without colours."""
    window = Console(as_json=True)
    window.emit(e.Log("web", "\x1b[31mü\x1b[0m\n\x07"))
    window.emit(e.Waiting("web", "why", 5.0, line="\x1b[2Jlast"))
    window.emit(e.Executed("web", "make", 1, "\x1b]0;one\n\x1b[31mtwo\x1b[0m\n", 1.0))
    window.emit(e.Problem("web failed:\n  \x1b[31mwhy", service="web"))
    window.emit(e.Stopped())
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["v"], line["event"]) for line in lines] == [
        (1, "log"), (1, "waiting"), (1, "executed"), (1, "problem"), (1, "stopped"),
    ]  # fmt: skip
    assert lines[0]["line"] == "ü\n\x07"
    assert (lines[1]["line"], lines[2]["output"], lines[3]["message"]) == ("last", "\ntwo\n", "web failed:\n  why")
    assert lines[4]["survivors"] == []
    assert lines[0]["ts"].endswith("Z")


def test_names_of_services_line_up_from_the_first_line(capfd: Capture) -> None:
    """If the services are known before, up to the widest prefix."""
    window = Console()
    window.expect([])
    window.expect(["web", "worker", "a" * 90])
    window.emit(e.Log("web", "x"))
    assert capfd.readouterr().out == f"{'web':<20} │ x\n"
    assert not window.is_live


def test_timings_are_as_wide_as_the_window(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one line per part, in as many columns as the window has, or 80; JSON is one event."""
    timings = e.Timings(2.0, (e.Span("load", 0.0, 2.0, critical=True),))
    widths = []
    for columns in ("40", "90"):
        monkeypatch.setenv("COLUMNS", columns)
        Console(quiet=True).emit(timings)
        _, bar, most = capfd.readouterr().out.splitlines()
        assert (bar[:17], most) == ("* load   2.00 s █", "most of it: load 2.0 s")
        widths.append(len(bar))
    assert widths == [40, 90]
    Console(as_json=True).emit(timings)
    span = {"name": "load", "start": 0.0, "end": 2.0, "critical": True, "after": ""}
    assert json.loads(capfd.readouterr().out)["spans"] == [span]


def test_errors_and_warnings_of_services_have_a_colour(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The colour is added if the service prints none: red and yellow, for hooks too."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    window = Console()
    for event in (
        e.Log("web", "Error: x", level="error"), e.Log("web", "slow", level="warn"), e.Log("web", "fine"),
        e.HookLine("before_up", "\x1b[1mError: y", level="error"),
    ):  # fmt: skip
        window.emit(event)
    lines = [line.partition("│ \x1b[0m")[2] for line in capfd.readouterr().out.splitlines()]
    assert lines == ["\x1b[31mError: x\x1b[0m", "\x1b[33mslow\x1b[0m", "fine", "\x1b[31m\x1b[1mError: y\x1b[0m"]


def test_quiet_shows_problems_and_results(capfd: Capture) -> None:
    """Problems and results are shown, logs and syncs are not."""
    window = Console(quiet=True)
    window.emit(e.Log("web", "x"))
    window.emit(e.Synced("web", 1, 0, 1, 1.0, ("a",)))
    window.emit(e.Problem("bad"))
    assert capfd.readouterr().out == "problem: bad\n"


def test_errors_go_to_stderr(capfd: Capture) -> None:
    """The message, the relative path and the hint, on stderr."""
    Console().error(ConfigError("no such key", hint="remove it", file=f"{os.getcwd()}/compose.yml", line=3))
    assert capfd.readouterr() == ("", "error: compose.yml:3: no such key\n  hint: remove it\n")


def test_an_error_cannot_drive_the_terminal(capfd: Capture) -> None:
    """The output of a container may be in it: no escape code gets through, its lines stay lines."""
    Console().error(EngineError("web failed:\n  \x1b]52;c;aGk=\x07\x1b[2Jlast\x08 words"))
    assert capfd.readouterr().err == "error: web failed:\n  last words\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_commands_to_type_select_the_same_project(capfd: Capture, *, as_json: bool) -> None:
    """In notices, problems, errors, and lines for people."""
    window = Console(as_json=as_json, selected=ProjectOptions(isolated="demo", verbs=("up", "down")))
    window.emit(e.Notice("left running", "devenv down"))
    window.emit(e.Problem("x ended (devenv up)"))
    window.error(EngineError("no", hint="devenv down"))
    window.aside("x is not up (devenv up)")
    out, err = capfd.readouterr()
    counts = [text.count(f"devenv --isolated=demo {verb}") for text in (out, err) for verb in ("down", "up")]
    assert counts == ([2, 1, 1, 1] if as_json else [1, 1, 1, 1])
    assert (out + err).count("devenv") == sum(counts)


def test_errors_as_json(capfd: Capture) -> None:
    """The error is also printed as an event, for programs that read events."""
    Console(as_json=True).error(EngineError("no engine"))
    out, err = capfd.readouterr()
    assert json.loads(out) | {"ts": ""} == {
        "v": 1, "ts": "", "event": "error", "message": "no engine", "where": None, "hint": None, "exit_code": 4,
    }  # fmt: skip
    assert err == "error: no engine\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_verbose_shows_what_a_build_prints(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    """On a terminal too, which otherwise shows it in the status line at most."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    Console().emit(e.Step("build", "detail", "#7 0.5 added 12 packages"))
    assert "packages" not in capfd.readouterr().out
    Console(verbose=True).emit(e.Step("build", "detail", "#7 0.5 added 12 packages"))
    assert "added 12 packages\n" in capfd.readouterr().out


def test_without_a_terminal_a_transfer_is_not_counted(capfd: Capture) -> None:
    """A log shows its begin, its retries and its end, but not several counts a second."""
    events = [("pulling", ""), ("pulling", "0 of 8 layers"), ("pulling", "3 of 8 layers, 12 of 40 MB")]
    events += [("pulling", "no answer in time: again in 3 s"), ("pulled", "m.example/node:22")]
    for state, detail in events:
        Console().emit(e.ImageState("node:22", state, detail))
    assert capfd.readouterr().out.splitlines() == [
        "image node:22: pulling",
        "image node:22: pulling (no answer in time: again in 3 s)",
        "image node:22: pulled (m.example/node:22)",
    ]
    Console(verbose=True).emit(e.ImageState("node:22", "pulling", "0 of 8 layers"))
    assert capfd.readouterr().out == "image node:22: pulling (0 of 8 layers)\n"


async def _long_build(window: Console) -> None:
    window.emit(e.Step("build", "begin"))
    await anyio.sleep(0.05)
    window.emit(e.Step("build", "detail", "#7 [web 2/3] RUN npm ci"))
    await anyio.sleep(0.05)
    window.emit(e.Step("build", "end", seconds=0.1))
    window.emit(e.ImageState("node:22", "pulling", "3 of 8 layers"))
    await anyio.sleep(0.05)
    window.emit(e.ImageState("node:22", "pulled"))
    await anyio.sleep(0.05)


def test_without_a_terminal_a_line_now_and_then_says_what_takes_long(
    capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines end with the work; with `--quiet` and on a terminal, which has a status line, there are none."""
    monkeypatch.setattr(reminder, "REMIND", 0.03)
    anyio.run(_long_build, Console())
    lines = capfd.readouterr().out.splitlines()
    reminders = [line.partition(" (")[0] for line in lines if line.endswith(" s so far)")]
    assert [*dict.fromkeys(reminders)] == [
        "building",
        "building [web 2/3] RUN npm ci",
        "pulling node:22: 3 of 8 layers",
    ]
    assert lines[-1] == "image node:22: pulled"
    anyio.run(_long_build, Console(quiet=True))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    anyio.run(_long_build, Console())
    assert "so far" not in capfd.readouterr().out


def test_traces_go_to_stderr(capfd: Capture) -> None:
    """Traces are cleaned and in columns, or JSON, and not on stdout, which may hold one document."""
    event = e.Traced("command", "docker \x1b[31mps", "exit 0", 12.34)
    Console().emit(event)
    assert capfd.readouterr() == ("", "      12 ms  exit 0    docker ps\n")
    Console(as_json=True).emit(event)
    output = capfd.readouterr()
    assert output.out == ""
    told = json.loads(output.err)
    assert (told["event"], told["what"], told["ms"]) == ("traced", "docker \x1b[31mps", 12.34)


def test_colours_of_services(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's own colours are kept, each ended at the line's end, and nothing else of its codes."""
    line = "\x1b[32mGET\x1b[0m /items \x1b[7;36m200\x1b]0;owned\x07 \x1b[2J"
    monkeypatch.setenv("FORCE_COLOR", "1")
    window = Console()
    window.emit(e.Log("web", line))
    window.emit(e.Log("web", f"{line} failed", level="error"))
    plain, error = [line.partition("│ \x1b[0m")[2] for line in capfd.readouterr().out.splitlines()]
    assert plain == "\x1b[32mGET\x1b[0m /items \x1b[36m200\x1b[0m"
    assert error.startswith("\x1b[31m\x1b[32mGET\x1b[0m\x1b[31m /items \x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    Console().emit(e.Log("web", line))
    assert capfd.readouterr().out == "web │ GET /items 200\n"


def synced(number: int) -> e.Synced:
    return e.Synced("web", 50, 0, 1, 100.0, (f"f{number}",))


def test_a_burst_of_syncs(capfd: Capture) -> None:
    """Of a hundred syncs in a run two have lines; the next event comes after one line for all others."""
    window = Console()
    window.emit(e.ServiceState("web", "healthy"))
    for number in range(100):
        window.emit(synced(number))
        window.emit(e.Log("web", f"line {number}"))
    window.emit(e.Notice("next"))
    out = [line for line in capfd.readouterr().out.splitlines() if " │ " not in line]
    assert out[1:3] == ["↻ f0 +49 → web (100 ms)", "↻ f1 +49 → web (100 ms)"]
    assert [re.sub(r"\(.*\)", "()", line) for line in out[3:]] == ["↻ 5,000 files synced → web ()", "next"]


async def _burst(window: Console) -> None:
    window.emit(e.ServiceState("web", "healthy"))
    for number in range(9):
        window.emit(synced(number))
    await anyio.sleep(0.1)


def test_the_end_of_a_burst(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is printed once the burst ends; without a run, and in JSON, each sync is printed."""
    monkeypatch.setattr(text, "QUIET", 0.02)
    anyio.run(_burst, Console())
    assert "↻ 450 files synced → web" in capfd.readouterr().out
    window = Console()
    for number in range(9):
        window.emit(synced(number))
    assert capfd.readouterr().out.count("↻") == 9
    anyio.run(_burst, Console(as_json=True))
    assert capfd.readouterr().out.count('"synced"') == 9
