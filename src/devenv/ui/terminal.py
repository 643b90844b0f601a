"""A terminal as a screen of rows: entered, drawn on where something differs, and left as it was."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import termios
from collections.abc import Sequence
from typing import Any

from devenv.ui.cells import Row, Span
from devenv.ui.text import clean

# The other screen, no cursor, and no wrapping: a row that is wider than we think stays one row.
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
TOGETHER, DONE = "\x1b[?2026h", "\x1b[?2026l"  # what is between is shown at once, by terminals that know it
# Colours of the terminal's own palette, which its owner chose for a light or a dark one; never white or black.
PLAIN = {"bold": "1", "dim": "2", "link": "4", "chosen": "1;7"}
COLOURS = {
    "good": "32", "bad": "31", "warn": "33",
    "service0": "36", "service1": "35", "service2": "34", "service3": "32", "service4": "33",
}  # fmt: skip
WITHOUT_LINKS = ("linux", "vt", "screen", "ansi")


class Terminal:
    """Standard input and output, which are a terminal. Writing to one that is gone does nothing."""

    def __init__(self, *, colour: bool) -> None:
        self._looks = PLAIN | (COLOURS if colour else {})
        self._links = not os.environ.get("TERM", "").startswith(WITHOUT_LINKS)
        self._saved: list[Any] | None = None
        self._rows: list[Row] = []
        self._size: tuple[int, int] | None = None

    @property
    def is_entered(self) -> bool:
        """Whether we have it."""
        return self._saved is not None

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(1)
        except OSError:
            return shutil.get_terminal_size()
        return (columns, rows) if columns and rows else (80, 24)

    def enter(self) -> None:
        """Keys come one by one and unseen; those that send signals, but for QUIT, still do."""
        with contextlib.suppress(termios.error, OSError):
            mode = termios.tcgetattr(0)
            self._saved = [*mode[:6], list(mode[6])]
            mode[0] &= ~termios.IXON
            mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            mode[6][termios.VQUIT] = b"\0"
            termios.tcsetattr(0, termios.TCSADRAIN, mode)
        self._size = None  # what is on the screen is not known
        self._write(ENTER)

    def leave(self) -> None:
        """As it was before."""
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        self._write(LEAVE)
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, saved)

    def draw(self, rows: Sequence[Row], size: tuple[int, int]) -> None:
        """These rows, of which only those are written that differ from the last ones; all where the size differs."""
        before, clear = self._rows, "" if size == self._size else "\x1b[2J"
        self._size = size
        changed = [
            f"\x1b[{place};1H{''.join(map(self._painted, row))}\x1b[0m\x1b[K"
            for place, row in enumerate(rows, 1)
            if (row if clear else row != before[place - 1])
        ]
        self._rows = list(rows)
        if clear or changed:
            self._write(f"{TOGETHER}{clear}{''.join(changed)}{DONE}")

    def _painted(self, span: Span) -> str:
        """The span's text, with its look; a link covers the text and none of the padding."""
        text = span.text if span.text.isprintable() else clean(span.text)  # whatever came here by whatever way
        if span.link and self._links:
            bare = text.strip()
            text = text.replace(bare, f"\x1b]8;;{span.link}\x1b\\{bare}\x1b]8;;\x1b\\", 1)
        look = self._looks.get(span.style)
        if look is None or not text.strip():
            return text
        begin = len(text) - len(text.lstrip())
        end = len(text.rstrip())
        return f"{text[:begin]}\x1b[{look}m{text[begin:end]}\x1b[0m{text[end:]}"

    def _write(self, text: str) -> None:
        data = text.encode(sys.stdout.encoding, errors="replace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(1, data) :]
