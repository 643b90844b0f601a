"""Use a terminal as a screen of rows (enter, draw changed rows, leave), and parse the keys in its input."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import termios
from collections.abc import Sequence
from typing import Any

from devenv.ui import cells
from devenv.ui.cells import Row, Styled, clean
from devenv.ui.live.commands import PASTED

# The alternate screen, no cursor, no wrapping (a row that is wider than computed stays one row), and bracketed paste.
ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h\x1b[2J"
LEAVE = "\x1b[0m\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"
SYNCHRONIZED, DONE = "\x1b[?2026h", "\x1b[?2026l"  # terminals that support these show the text between them at once
# Colours of the terminal's own palette, which fits its light or dark background; never white or black.
PLAIN = {"bold": "1", "dim": "2", "link": "4", "chosen": "1;7", "match": "7"}
COLOURS = {
    "good": "32", "bad": "31", "warn": "33",
    "service0": "36", "service1": "35", "service2": "34", "service3": "32", "service4": "33",
}  # fmt: skip
SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)\Z")
KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[C": "right", b"\x1bOC": "right", b"\x1b[D": "left", b"\x1bOD": "left",
    b"\x1b[5~": "pgup", b"\x1b[6~": "pgdn",
    b"\x1b[H": "home", b"\x1bOH": "home", b"\x1b[1~": "home", b"\x1b[7~": "home",
    b"\x1b[F": "end", b"\x1bOF": "end", b"\x1b[4~": "end", b"\x1b[8~": "end",
}  # fmt: skip
CONTROLS = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x15": "clear"}
PASTE, PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
MOST_PASTED = 500  # characters
MOST_HELD = 4096
ESCAPE = "escape"
WITHOUT_LINKS = ("linux", "vt", "screen", "ansi")


def keys(data: bytes) -> tuple[list[str], bytes]:
    """The keys (printable keys as themselves, others by name), and the rest of the bytes, an incomplete key.

    Unknown sequences and controls are left out. A lone escape is the key Esc, since terminals send a sequence in one
    piece. Pasted text is one key, which begins with PASTED.
    """
    typed: list[str] = []
    while data:
        if data.startswith(PASTE):
            pasted, ends, after = data[len(PASTE) :].partition(PASTE_ENDS)
            if not ends:
                tail = data[-len(PASTE_ENDS) :]
                return typed, data if len(data) <= MOST_HELD else data[: MOST_HELD - len(tail)] + tail
            text = " ".join(pasted.decode(errors="ignore").split())
            typed.append(PASTED + "".join(filter(str.isprintable, text))[:MOST_PASTED])
            data = after
        elif data[0] == 0x1B:  # noqa: PLR2004 - escape
            if match := SEQUENCE.match(data):
                typed += [KEYS[match[0]]] if match[0] in KEYS else []
                data = data[match.end() :]
            elif UNFINISHED.match(data):
                return typed, data
            else:
                typed.append(ESCAPE)
                data = data[1:]
        else:
            size = _length(data[0])
            if len(data) < size:
                return typed, data
            for key in data[:size].decode(errors="ignore"):
                typed += [CONTROLS.get(key, key)] if key in CONTROLS or key.isprintable() else []
            data = data[size:]
    return typed, b""


def _length(lead: int) -> int:
    """The length of a UTF-8 character by its first byte."""
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4  # noqa: PLR2004 - UTF-8


class Terminal:
    """The terminal of standard input and output. Writing to a terminal that is gone does nothing."""

    def __init__(self, *, colour: bool) -> None:
        self._looks = PLAIN | (COLOURS if colour else {})
        self._colour = colour
        self._links = not os.environ.get("TERM", "").startswith(WITHOUT_LINKS)
        self._in_ascii = cells.lacks_shapes(sys.stdout.encoding) or os.environ.get("TERM") == "linux"
        self._saved: list[Any] | None = None
        self._rows: list[Row] = []
        self._size: tuple[int, int] | None = None
        self._unsent = b""
        self.descriptor = 1

    @property
    def is_behind(self) -> bool:
        """Whether output is waiting until `descriptor` is writable."""
        return bool(self._unsent)

    @property
    def is_entered(self) -> bool:
        """Whether the terminal is in use for the view."""
        return self._saved is not None

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(1)
        except OSError:
            return shutil.get_terminal_size()
        return (columns, rows) if columns and rows else (80, 24)

    def enter(self) -> None:
        """Show the screen, and read keys one by one without echo; keys for signals still work, except QUIT."""
        with contextlib.suppress(termios.error, OSError):
            mode = termios.tcgetattr(0)
            self._saved = [*mode[:6], list(mode[6])]
            mode[0] &= ~termios.IXON
            mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            mode[6][termios.VQUIT] = b"\0"
            termios.tcsetattr(0, termios.TCSADRAIN, mode)
        self._size = None  # the screen's content is unknown
        if self.descriptor == 1:
            self.descriptor = _nonblocking()
        self._write(ENTER)

    def leave(self) -> None:
        """Restore the terminal."""
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        rest, self._unsent = self._unsent + self._encoded(LEAVE), b""
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(1, rest) :]
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, saved)

    def draw(self, rows: Sequence[Row], size: tuple[int, int]) -> None:
        """Draw the rows that differ from the last drawing, or all rows if the size differs.

        Does nothing while the terminal is behind.
        """
        self.catch_up()
        if self.is_behind:
            return
        before, clear = self._rows, "" if size == self._size else "\x1b[2J"
        self._size = size
        changed = [  # cleared before, since after a row that fills the screen the cursor is still on its last cell
            f"\x1b[{place};1H\x1b[K{''.join(map(self._painted, row))}\x1b[0m"
            for place, row in enumerate(rows, 1)
            if (row if clear else row != before[place - 1])
        ]
        self._rows = list(rows)
        if clear or changed:
            self._write(f"{SYNCHRONIZED}{clear}{''.join(changed)}{DONE}")

    def _write(self, text: str) -> None:
        self._unsent += self._encoded(text)
        self.catch_up()

    def catch_up(self) -> None:
        """Write as much as the terminal takes now; drop the output if the terminal is gone."""
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self.descriptor, self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._unsent = b""

    def _painted(self, span: Styled) -> str:
        """The span's text in its style; a link covers the text without the padding."""
        text = span.text if span.text.isprintable() else clean(span.text)  # a last check, whatever its source
        if span.link and self._links and span.link.isprintable():
            bare = text.strip()
            text = text.replace(bare, f"\x1b]8;;{span.link}\x1b\\{bare}\x1b]8;;\x1b\\", 1)
        look = self._looks.get(span.style)
        if self._colour and span.codes:
            codes = "".join(f"\x1b[{code}m" for code in (look, *span.codes) if code)
            return f"{codes}{text}\x1b[0m"
        if look is None or not text.strip():
            return text
        begin = len(text) - len(text.lstrip())
        end = len(text.rstrip())
        return f"{text[:begin]}\x1b[{look}m{text[begin:end]}\x1b[0m{text[end:]}"

    def _encoded(self, text: str) -> bytes:
        """The text as bytes, with ASCII shapes if the terminal cannot show others."""
        shown = text.translate(cells.IN_ASCII) if self._in_ascii else text
        return shown.encode(sys.stdout.encoding, errors="replace")


def _nonblocking() -> int:
    """The terminal of stdout, opened again for writes that do not block; stdout itself if that fails."""
    try:
        return os.open(os.ttyname(1), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return 1
