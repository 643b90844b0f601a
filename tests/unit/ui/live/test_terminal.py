"""The rows on a terminal: only what differs is written, in looks that the terminal has."""

from __future__ import annotations

import re

import pytest

from devenv.ui.cells import Styled
from devenv.ui.live.screen import screen
from devenv.ui.live.terminal import Terminal
from support.stories import two
from unit.ui.live.test_commands import state_of


def test_the_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that fills the screen keeps its last cell: nothing is cleared from there on."""
    written: list[str] = []
    terminal = Terminal(colour=False)
    monkeypatch.setattr(terminal, "_write", written.append)
    terminal.draw([(Styled("full"), Styled("row")), (Styled("short"),)], (7, 2))
    assert "\x1b[1;1H\x1b[Kfullrow\x1b[0m\x1b[2;1H\x1b[Kshort\x1b[0m" in written[0]


def test_only_what_differs_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows once more are nothing; of other rows, those that are others."""
    written: list[str] = []
    terminal = Terminal(colour=True)
    monkeypatch.setattr(terminal, "_write", written.append)
    rows = [(Styled("one"),), (Styled("two"),), ()]
    terminal.draw(rows, (80, 3))
    terminal.draw(list(rows), (80, 3))
    terminal.draw([rows[0], (Styled("2"),), ()], (80, 3))
    assert len(written) == 2
    assert written[1] == "\x1b[?2026h\x1b[2;1H\x1b[K2\x1b[0m\x1b[?2026l"
    terminal.draw(rows, (81, 3))
    assert written[2] == written[0]


def test_colours_are_left_out_and_links_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without colour the text is the same; an address is a link, unless the terminal does not support links."""
    state = state_of(*two())

    def drawn(*, colour: bool, term: str = "xterm") -> str:
        monkeypatch.setenv("TERM", term)
        written: list[str] = []
        terminal = Terminal(colour=colour)
        monkeypatch.setattr(terminal, "_write", written.append)
        terminal.draw(screen(state, 100, 30, 1.0), (100, 30))
        return "".join(written)

    assert "\x1b[32m" in drawn(colour=True)
    assert not re.search(r"\x1b\[3\dm", drawn(colour=False))
    link = "\x1b]8;;http://localhost:8080/\x1b\\localhost:8080\x1b]8;;\x1b\\"
    assert link in drawn(colour=True)
    assert link not in drawn(colour=True, term="linux")
