"""The writer: buffering, colours, the status line, and readers that exit."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from devenv import events as e
from devenv.model.containers import Line
from devenv.ui.console import Console
from devenv.ui.writer import Writer

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that asks for colour, or forbids it."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)


def test_a_failed_write_shows_that_the_reader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that would never end can end then."""
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        window = Console()
        heard = []
        for _ in range(2):
            window.line("x")
            heard.append(window.is_heard)
            if len(heard) == 1:
                os.close(reader)
        assert heard == [True, False]
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # the rest of its content is written nowhere


class Writes(io.BytesIO):
    """Remembers what each write wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[bytes] = []

    def write(self, data: Any) -> int:
        """Write and remember."""
        self.all.append(bytes(data))
        return len(self.all[-1])


def test_many_lines_are_written_at_once_and_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is read back costs no system call a line."""
    writes = Writes()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(writes, "utf-8"))
    Console().logs([Line("", "web", "stdout", "one"), Line("", "web", "stdout", "\x1b[31mtwo")])
    assert [data.decode() for data in writes.all] == ["web │ one\nweb │ two\n"]


def test_times_of_lines_are_shown_if_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Before the text; as JSON, they are always there."""
    lines = [Line("2026-12-02T03:36:49.123456789Z", "web", "stderr", "one", "error")]
    Console().logs(lines, timestamps=True)
    assert capsys.readouterr().out == "web │ 2026-12-02T03:36:49.123456789Z one\n"
    Console(as_json=True).logs(lines)
    logged = json.loads(capsys.readouterr().out)
    assert (logged["event"], logged["at"], logged["stream"], logged["level"]) == (
        "log",
        "2026-12-02T03:36:49.123456789Z",
        "stderr",
        "error",
    )


def test_lines_are_written_above_the_status_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It is written again below them."""
    window = Console()
    window.status("waiting")
    capsys.readouterr()
    window.logs([Line("", "web", "stdout", "one")])
    assert re.fullmatch(r"\r\x1b\[2Kweb │ one\n.*waiting.*", capsys.readouterr().out)


def test_a_gone_reader_is_noticed_without_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipe is polled."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        window = Console()
        before = window.is_read
        os.close(reader)
        assert (before, window.is_heard, window.is_read) == (True, True, False)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert Console().is_read


def test_colour_only_if_wanted(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """FORCE_COLOR asks for it, NO_COLOR wins."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    Console().emit(e.Problem("bad"))
    assert "\x1b[" in capfd.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    Console().emit(e.Problem("bad"))
    assert "\x1b[" not in capfd.readouterr().out


LEFT = """
import sys, time
from devenv import events as e
from devenv.ui.console import Console
window = Console(as_json=True)
window.emit(e.Notice("first"))
sys.stdin.readline()
for _ in range(3):
    window.emit(e.Notice("x" * 100000))
sys.stderr.write("alive")
"""


def test_a_reader_that_leaves_stops_nothing() -> None:
    """`devenv up | head -1`: the run continues to its own end, with its own exit code and without a message."""
    with subprocess.Popen(
        [sys.executable, "-c", LEFT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        child.stdin.write(b"\n")
        child.stdin.close()
        errors = child.stderr.read()
        code = child.wait(20)
    assert (errors, code) == (b"alive", 0)


def test_the_status_line_stays_below_what_is_written(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut to the terminal's width, written again after each line, and removed without a trace."""
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("NO_COLOR", "1")
    writer = Writer()
    writer.close()
    writer.status("building everything")
    writer.line("log")
    assert writer.has_status
    writer.close()
    writer.line("end")
    status = "… buildi…"
    clear = "\r\x1b[2K"
    assert capfd.readouterr().out == f"{clear}{status}{clear}log\n{status}{clear}end\n"


def test_shapes_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters that the encoding lacks are replaced, others stay."""
    for encoding, expected in (
        ("ascii", "* web | a > b ?"),
        ("latin-1", "* web | a > b é"),
        ("utf-8", "● web │ a → b é"),
    ):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
        Writer().line("● web │ a → b é")
        assert written.getvalue().decode(encoding) == f"{expected}\n"
