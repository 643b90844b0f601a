"""The live view on a real terminal: screens at several sizes, keys, and a terminal that is always given back.

Run as a program, it writes the screens to compare with.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devenv.ui.live.app import is_wanted
from support import docker_cli, stories
from support.terminal import Terminal
from unit.ui.live.golden_screens import GOLDEN, STORY_SIZES, environment

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
ICANON_AND_ECHO = 3  # the place of the local flags


@contextmanager
def telling(story: str, size: tuple[int, int] = (80, 24), **env: str | None) -> Iterator[Terminal]:
    program = Path(stories.__file__)
    argv = (sys.executable, str(program), story)
    with Terminal(*argv, cwd=Path.cwd(), env={**environment(), **env}, size=size) as terminal:
        yield terminal


def still(screen: str) -> str:
    """The screen as it would be if no time passed."""
    return re.sub(r"\d+ s ago", "just now", re.sub(r"(npm ci|%,) \d+ s", r"\1", screen))


def until_screen(terminal: Terminal, size: tuple[int, int], expected: str, since: int = 0) -> None:
    """Return once the screen is as expected; AssertionError with both if that does not happen."""
    deadline = time.monotonic() + 20
    while (shown := still(terminal.screen(*size, since))) != still(expected):
        if time.monotonic() > deadline:
            assert shown == still(expected)
        time.sleep(0.05)


@pytest.mark.parametrize("story", sorted(stories.STORIES))
def test_screens_at_several_sizes(story: str) -> None:
    """Each story has the expected screen at every size, also after the window was resized."""
    sizes = STORY_SIZES
    with telling(story, sizes[0]) as terminal:
        until_screen(terminal, sizes[0], (GOLDEN / f"{story}-80x24.txt").read_text(encoding="utf-8"))
        for columns, rows in sizes[1:]:
            since = len(terminal.output)
            terminal.resize(columns, rows)
            golden = (GOLDEN / f"{story}-{columns}x{rows}.txt").read_text(encoding="utf-8")
            until_screen(terminal, (columns, rows), golden, since)
        terminal.type("qq")
        assert terminal.process.wait(20) == 130


def test_page_opens_and_closes() -> None:
    """Help in the log's place, and after escape the screen is as it was."""
    before = (GOLDEN / "two-80x24.txt").read_text(encoding="utf-8")
    with telling("two") as terminal:
        until_screen(terminal, (80, 24), before)
        terminal.type("?")
        terminal.until("Esc: back to the log")
        terminal.type("\x1b")
        until_screen(terminal, (80, 24), before)


def test_a_page_that_cannot_be_opened() -> None:
    """The status line says why."""
    with telling("two") as terminal:
        terminal.until("q end")
        terminal.type("p")
        terminal.until("the page opens once the start has ended")


def test_another_width() -> None:
    """All rows are written again: the terminal may have moved them."""
    with telling("two") as terminal:
        until_screen(terminal, (80, 24), (GOLDEN / "two-80x24.txt").read_text(encoding="utf-8"))
        since = len(terminal.output)
        terminal.resize(81, 24)
        terminal.until("ready to accept connections", since=since)


def test_a_still_view_writes_nothing() -> None:
    """If nothing happens, no byte is written to the terminal."""
    with telling("two") as terminal:
        until_screen(terminal, (80, 24), (GOLDEN / "two-80x24.txt").read_text(encoding="utf-8"))
        time.sleep(0.3)
        length = len(terminal.output)
        time.sleep(2)
        new = terminal.output[length:]
        assert new == "" or ("s ago" in new and "healthy" in new and "ready to accept" not in new)  # an age, perhaps


@pytest.mark.parametrize("way", ["qq", "\x03", signal.SIGTERM, "crash", "draw", "deaf"])
def test_the_terminal_is_given_back(way: str | signal.Signals) -> None:
    """However the view ends, the terminal is as it was: its mode, its screen, its cursor and its wrapping."""
    with telling("two", STORY_FAULT=str(way) if way in ("crash", "draw", "deaf") else None) as terminal:
        before = terminal.mode()
        if way == "draw":
            terminal.until("the view has failed .ValueError: out of paint.; this is a bug")
            assert terminal.mode() == before
            terminal.type("\x03")
        elif way != "crash":
            terminal.until("up after 4.2 s")
            assert terminal.mode() != before
            if isinstance(way, signal.Signals) or way == "deaf":
                os.kill(terminal.process.pid, signal.SIGTERM)
            else:
                terminal.type(way)
        code = terminal.process.wait(20)
        assert code == {signal.SIGTERM: 143, "crash": 1, "deaf": -15}.get(way, 130)
        assert terminal.mode() == before
        terminal.close()
        assert terminal.output.count(ENTERED) == terminal.output.count(LEFT) == 1
        after = terminal.output.partition(LEFT)[2]
        assert "\x1b[?25h" in terminal.output.partition(LEFT)[0].rpartition("\x1b[K")[2]
        assert "\x1b[?25l" not in after
        if way == "crash":
            assert "web │ Error: connect ECONNREFUSED" in re.sub(r"\x1b\[\d*m", "", after)


def test_ctrl_z_and_back() -> None:
    """The view stops and restores the terminal; when it continues, the whole view is drawn again."""
    before = (GOLDEN / "two-80x24.txt").read_text(encoding="utf-8")
    with telling("two") as terminal:
        until_screen(terminal, (80, 24), before)
        terminal.type("\x1a")
        terminal.until(re.escape(LEFT))
        for _ in itertools.takewhile(lambda _: _state(terminal.process.pid) != "T", range(200)):
            time.sleep(0.05)
        assert _state(terminal.process.pid) == "T"
        since = len(terminal.output)
        os.kill(terminal.process.pid, signal.SIGCONT)
        until_screen(terminal, (80, 24), before, since)
        terminal.type("qq")
        assert terminal.process.wait(20) == 130


def test_ctrl_z_and_the_background() -> None:
    """In a shell's background the run continues and does not use the terminal; in the foreground the view is back."""
    story = shlex.join((sys.executable, stories.__file__, "two"))
    argv = ("bash", "--norc", "--noprofile", "-i")
    with Terminal(*argv, cwd=Path.cwd(), env=environment(), size=(80, 24)) as shell:
        shell.type(f"{story}\n")
        shell.until("up after 4.2 s")
        shell.type("\x1a")
        shell.until("Stopped")
        shell.type("bg; sleep 1; jobs -r; jobs -s\n")
        shell.until("Running")
        shell.type("echo typed to the $((40 + 2))\n")
        shell.until("typed to the 42")
        assert shell.output.count(ENTERED) == 1
        shell.type("fg\n")
        docker_cli.until(lambda: shell.output.count(ENTERED) == 2)
        shell.type("qq")
        shell.until(re.escape(LEFT), since=shell.output.rfind(ENTERED))
        shell.type("exit\n")
        docker_cli.until(shell.survivors, lambda left: not left)


def test_a_terminal_that_is_stuck(tmp_path: Path) -> None:
    """While the terminal takes no output the run continues; then the current screen is drawn."""
    marker = tmp_path / "told"
    with telling("two", (300, 60), STORY_FAULT="flood", STORY_TOLD=str(marker)) as terminal:
        terminal.until("line 9 of a flood")
        with terminal.stuck():
            docker_cli.until(marker.exists)
        docker_cli.until(lambda: "line 399 of a flood" in terminal.screen(300, 60))
        terminal.type("qq")
        assert terminal.process.wait(20) == 130


def test_a_key_that_is_held_down() -> None:
    """`q` many times is one question and one end without hurry."""
    with telling("two", STORY_FAULT="slow") as terminal:
        terminal.until("up after 4.2 s")
        terminal.type("qqqq")
        assert terminal.process.wait(20) == 130


def test_a_detach_that_was_overtaken() -> None:
    """If the run ends all the same, it is not reported as left running."""
    with telling("two") as terminal:
        terminal.until("up after 4.2 s")
        terminal.type("dqq")
        assert terminal.process.wait(20) == 130
        terminal.close()
        assert "left running" not in terminal.output


@pytest.mark.parametrize("lack", [{"PYTHONIOENCODING": "ascii"}, {"TERM": "linux"}])
def test_a_terminal_without_our_shapes(lack: dict[str, str | None]) -> None:
    """Other characters of the same width replace them."""
    shapes = str.maketrans("●›─│↻→", "*>-|@>")
    with telling("two", (80, 24), **lack) as terminal:
        until_screen(terminal, (80, 24), (GOLDEN / "two-80x24.txt").read_text(encoding="utf-8").translate(shapes))


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def test_a_shell_has_the_terminal() -> None:
    """While a shell is open nothing is drawn; afterwards the view is back, with the result."""
    with telling("two") as terminal:
        terminal.until("up after 4.2 s")
        terminal.type("x")
        terminal.until("no shell in that container")
        assert terminal.output.count(ENTERED) == 2
        between = terminal.output.partition(LEFT)[2].rpartition(ENTERED)[0]
        assert between.strip() == "this is the shell"
        assert "while somebody is in the shell" in terminal.output


@pytest.mark.parametrize(
    ("term", "ci", "terminals", "in_front", "wanted"),
    [
        ("xterm", "", True, True, True), ("xterm", "1", True, True, False), ("dumb", "", True, True, False),
        (None, "", True, True, False), ("xterm", "", False, True, False), ("xterm", "", True, False, False),
    ],
)  # fmt: skip
def test_view_needs_a_capable_terminal(
    term: str | None, ci: str, terminals: bool, in_front: bool, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view needs a terminal with cursor movement and a user, not CI."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(os, "isatty", lambda _: terminals)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() if in_front else 1)
    if term is None:
        monkeypatch.delenv("TERM", raising=False)
    else:
        monkeypatch.setenv("TERM", term)
    assert is_wanted() == wanted


def test_no_colour() -> None:
    """With NO_COLOR no colour is written, otherwise colours are."""
    colour = r"\x1b\[3\dm"
    with telling("two", NO_COLOR="1") as terminal:
        terminal.until("up after 4.2 s")
        assert not re.search(colour, terminal.output)
    with telling("two") as terminal:
        terminal.until("up after 4.2 s")
        assert re.search(colour, terminal.output)


def test_a_filter_that_never_ends_holds_nothing_up() -> None:
    """The filter is turned off with a message; the log is complete, and keys work."""
    with telling("two") as terminal:
        terminal.until("ready to accept connections")
        terminal.type("//([a-z ]+)+#$/")
        terminal.until("takes too long", timeout=20)
        terminal.type("\r")
        since = len(terminal.output)
        terminal.type("?")
        terminal.until("Esc: back to the log", since=since, timeout=20)
        terminal.type("qq")
        assert terminal.process.wait(20) == 130
