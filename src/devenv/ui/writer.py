"""The only writer to stdout and stderr, except for the screen of the live view.

Every text passes `_cleaned` (or is JSON in ASCII), whatever its source: `_put` takes nothing else. So no text brings
its own codes for the terminal.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import select
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any, NamedTuple, NewType

from devenv.errors import DevenvError
from devenv.lazy_imports import LazyImports
from devenv.ui import cells

with LazyImports():  # only a terminal needs it
    import shutil

CLEAR_LINE = "\r\x1b[2K"
REDRAW = "\x1b[H\x1b[J"
DIM = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk of a redirected output
Clean = NewType("Clean", str)


class Painted(NamedTuple):
    """A text with colours or weights, each the number of an SGR sequence."""

    text: str
    code: int
    codes: tuple[str, ...] = ()  # further numbers


Piece = str | Painted


class Writer:
    """Writes lines, and below them a status line if stdout is a terminal.

    If the reader or the terminal goes away, or the disk is full, the output is dropped without an error.
    """

    def __init__(self) -> None:
        self.colour = _wants_colour(sys.stdout)
        self._status = Clean("")
        self._dead: set[int] = set()  # streams without a reader
        self._unwritten: OSError | None = None  # the error if stdout goes to a full disk
        self._in_ascii: set[int] = set()  # streams whose encoding lacks the characters that we draw with
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A character that the locale lacks must not stop the output.
                stream.reconfigure(errors="replace")
                if cells.lacks_shapes(stream.encoding):
                    self._in_ascii.add(id(stream))

    @property
    def has_status(self) -> bool:
        """Whether a status line is shown."""
        return bool(self._status)

    @property
    def is_heard(self) -> bool:
        """Whether stdout had a reader at the last write."""
        return id(sys.stdout) not in self._dead

    @property
    def is_read(self) -> bool:
        """As `is_heard`, for commands that write rarely: this also tests whether a pipe has a reader."""
        with contextlib.suppress(OSError, ValueError):
            pipe = select.poll()
            pipe.register(sys.stdout, 0)
            return self.is_heard and not pipe.poll(0)
        return self.is_heard

    def require_written(self) -> None:
        """Check that all output to stdout was written, unless its reader is gone. Raises DevenvError."""
        if self._unwritten is not None:
            raise unwritten(self._unwritten)

    def line(self, *line: Piece, stream: IO[str] | None = None, over: bool = False) -> None:
        """Write the line (to stdout), and below it the status line; without pieces only the status line.

        `over`: overwrite the terminal's last line.
        """
        written = f"{self._cleaned(*line)}\n" if line else ""
        if self._status or over or not line:
            written = f"{CLEAR_LINE}{written}{self._status}"
        self._put(stream or sys.stdout, Clean(written))

    def lines(self, rows: Iterable[Sequence[Piece]]) -> None:
        """Write lines to stdout, all at once, and below them the status line."""
        written = "".join([f"{self._cleaned(*row)}\n" for row in rows])
        self._put(sys.stdout, Clean(f"{CLEAR_LINE}{written}{self._status}" if self._status else written))

    def json(self, value: Any, stream: IO[str] | None = None) -> None:
        """Write a JSON value on a line, in ASCII."""
        self.line(dumped(value), stream=stream)

    def status(self, line: str) -> None:
        """Write the line as the status line, cut to the terminal's width."""
        columns = shutil.get_terminal_size().columns
        self._status = self._cleaned(Painted(cells.cut(f"{cells.ELLIPSIS} {cells.clean(line)}", columns - 1), DIM))
        self.line()

    def close(self) -> None:
        """Remove the status line."""
        if self._status:
            self._status = Clean("")
            self.line()

    def redraw(self, lines: Iterable[str]) -> None:
        """Clear the terminal, and write the lines."""
        self._put(sys.stdout, Clean(f"{REDRAW}{self._cleaned(chr(10).join(lines))}\n"))

    def _cleaned(self, *line: Piece) -> Clean:
        """The texts without control characters, in their colours if there are colours."""
        if not self.colour:
            return _printable("".join([piece if isinstance(piece, str) else piece.text for piece in line]))
        cleaned = ""
        for piece in line:
            if isinstance(piece, str):
                cleaned += _printable(piece)
            else:
                codes = "".join([f"\x1b[{code}m" for code in (piece.code, *piece.codes) if code])
                cleaned += f"{codes}{_printable(piece.text)}\x1b[0m" if codes else _printable(piece.text)
        return Clean(cleaned)

    def _put(self, stream: IO[str], cleaned: Clean) -> None:
        if id(stream) in self._dead:
            return
        try:
            stream.write(cleaned.translate(cells.IN_ASCII) if id(stream) in self._in_ascii else cleaned)
            stream.flush()
        except (OSError, ValueError) as error:
            # There is no reader any more; the run and its cleanup go on.
            self._dead.add(id(stream))
            if stream is sys.stdout and isinstance(error, OSError) and error.errno in FULL:
                self._unwritten = error


def unwritten(error: OSError) -> DevenvError:
    """The error for an answer that a full disk did not take."""
    return DevenvError(f"the answer cannot be written: {error.strerror}")


def _printable(text: str) -> Clean:
    """The text without control characters; nearly all have none, and a log may have a million lines."""
    return Clean(text if text.isprintable() else cells.clean_lines(text))


def dumped(value: Any) -> str:
    """The value as JSON, in ASCII."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")  # JSON does not escape DEL


def is_terminal(stream: IO[str]) -> bool:
    """Whether the stream is a terminal that can be drawn on."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def _wants_colour(stream: IO[str]) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or is_terminal(stream)
