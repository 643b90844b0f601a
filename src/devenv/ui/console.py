"""The only writer to stdout and stderr: terminal or not, colour or not, text or JSON.

Every text that is written passes `_cleaned` (or is JSON in ASCII), whatever it comes from: `_put` takes nothing else.
The terminal's codes that are written are those of this module.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import select
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple, NewType

from devenv import events as e
from devenv.errors import DevenvError
from devenv.ui import text, waterfall

PALETTE = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
QUIET_EVENTS = (e.Log, e.HookLine, e.Synced, e.Step, e.ImageState, e.ServiceState, e.Waiting, e.Restarted, e.Executed)
CHATTY = ("build", "save", "load", "layers", "doctor")  # steps whose details are said where they replace each other
WIDEST_PREFIX = 20
CLEAR_LINE = "\r\x1b[2K"
REDRAW = "\x1b[H\x1b[J"
JSON_VERSION = 1
Clean = NewType("Clean", str)


class Painted(NamedTuple):
    """A text in a colour or weight of the terminal's."""

    text: str
    code: int


Piece = str | Painted


class Console:
    """Says what events mean. Data goes to stdout, all else to stderr; under `--output json` stdout is NDJSON.

    A reader that goes away, or a terminal that dies, silences it and stops nothing.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self._json = as_json
        self._quiet = quiet
        self._verbose = verbose
        self._colours: dict[str, int] = {}
        self._prefixes: dict[str, Painted] = {}  # as wide as all others
        self._colour = _wants_colour(sys.stdout)
        self._width = 0
        self._states: dict[str, str] = {}
        self._status = Clean("")
        self._dead: set[int] = set()
        self._gathers = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A mark that the locale does not have is no reason to fall silent.
                stream.reconfigure(errors="replace")

    @property
    def is_live(self) -> bool:
        """Whether it speaks to a terminal that can be drawn on."""
        return not self._json and _terminal(sys.stdout)

    @property
    def is_heard(self) -> bool:
        """Whether anybody still reads what it says."""
        return id(sys.stdout) not in self._dead

    @property
    def is_read(self) -> bool:
        """As `is_heard`, for whoever has nothing to say for long: a pipe is asked whether its reader is there."""
        with contextlib.suppress(OSError, ValueError):
            pipe = select.poll()
            pipe.register(sys.stdout, 0)
            return self.is_heard and not pipe.poll(0)
        return self.is_heard

    def expect(self, services: Iterable[str]) -> None:
        """Lines of these services may come: room for their names before each."""
        self._widen(*services)

    @property
    def colour(self) -> bool:
        """Whether there are colours."""
        return self._colour

    @property
    def verbose(self) -> bool:
        """Whether what builds print is wanted, too."""
        return self._verbose

    def emit(self, event: e.Event) -> None:
        """Tell one event."""
        if isinstance(event, e.Traced):
            if self._json:
                self._write_json(sys.stderr, self._fields(event))
            else:
                self._write(sys.stderr, text.traced(event))
        elif self._json:
            self._write_json(sys.stdout, self._fields(event))
        elif not (self._quiet and isinstance(event, QUIET_EVENTS)):
            self._show(event)

    def log(self, service: str, line: str) -> None:
        """Tell one line that a service printed."""
        prefix = self._prefixes.get(service) or self._prefix(service)
        said = text.clean(line).rstrip()
        self._write(sys.stdout, prefix if said else prefix._replace(text=prefix.text.rstrip()), said)

    def _fields(self, event: e.Event) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"v": JSON_VERSION, "ts": now, "event": event.event, **event.fields()}

    def data(self, value: Any) -> None:
        """One JSON value on a line of stdout."""
        self._write_json(sys.stdout, value)

    def answer(self, value: Mapping[str, Any], lines: Iterable[str]) -> None:
        """What a question of its own is answered with: one JSON object, or lines."""
        if self._json:
            self.data({"v": JSON_VERSION, **value})
        else:
            for line in lines:
                self.line(line)

    def line(self, line: str) -> None:
        """One line of data on stdout."""
        self._write(sys.stdout, line)

    def diff(self, lines: Iterable[str]) -> None:
        """Lines of a unified diff, in its colours where there are colours."""
        for line in lines:
            colour = {"+": 32, "-": 31, "@": 36}.get(line[:1])
            said = text.clean(line)
            self._write(sys.stdout, Painted(said, colour) if colour else said)

    def redraw(self, lines: Iterable[str]) -> None:
        """The lines in place of what the terminal shows."""
        self._put(sys.stdout, Clean(f"{REDRAW}{self._cleaned(chr(10).join(lines))}\n"))

    def aside(self, line: str) -> None:
        """One line for people that is no data."""
        self._write(sys.stderr, line)

    def error(self, error: DevenvError) -> None:
        """What failed, where, and what to type; as an event under `--output json` too."""
        where = error.where
        if self._json:
            failed = e.Failed(error.message, where, error.hint, error.exit_code)
            self._write_json(sys.stdout, self._fields(failed))
        self.close()
        said = f"{_shortened(where)}: {error.message}" if where else error.message
        self._write(sys.stderr, Painted("error:", 31), f" {said}")
        if error.hint:
            self._write(sys.stderr, "  ", Painted("hint:", 36), f" {error.hint}")

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Within it, lines for a pipe or a file are written many at once."""
        self._gathers = True
        try:
            yield
        finally:
            self._gathers = False
            self._put(sys.stdout, Clean(""))

    def close(self) -> None:
        """The status line gone."""
        if self._status:
            self._status = Clean("")
            self._write(sys.stdout)

    # --- people ---------------------------------------------------------------------------------------------------

    def _show(self, event: e.Event) -> None:
        if isinstance(event, e.ServiceState):
            self._states[event.service] = event.state
            self._widen(event.service)
        match event:
            case e.Log(service, line) | e.HookLine(service, line):
                self.log(service, line)
            case e.Step(_, "begin" | "detail") | e.ImageState(_, "pulling" | "making" | "pushing"):
                self._progress(event)
            case e.ServiceState(_, "absent" | "created" | "starting") if _terminal(sys.stdout):
                self._say_who_is_late()
            case e.Timings():
                for line in waterfall.lines(event, shutil.get_terminal_size().columns):
                    self.line(line)
            case _:
                if isinstance(event, (e.Ready, e.Rebuilt, e.Reloaded, e.Stopping)):
                    self.close()
                if isinstance(event, e.ServiceState):
                    self._say_who_is_late()
                if (said := text.plain(event)) is not None:
                    # The terminal has echoed ^C by now.
                    over = isinstance(event, e.Stopping) and _terminal(sys.stdout)
                    self._write(sys.stdout, *self._decorated(event, said), over=over)

    def _progress(self, event: e.Event) -> None:
        """What is going on: one line that is replaced on a terminal; elsewhere what takes long is said once."""
        if _terminal(sys.stdout):
            if (said := text.progress(event)) is not None:
                self._update(said)
            if not self._verbose:
                return
        said = text.plain(event)
        chatty = event.name in CHATTY if isinstance(event, e.Step) else text.is_count(event)
        if said is not None and (self._verbose or not chatty):
            self._write(sys.stdout, said)

    def _say_who_is_late(self) -> None:
        """Who is waited for, in the status line, where there is one: it comes and goes with the steps."""
        starting = [service for service, state in self._states.items() if state == "starting"]
        later = [service for service, state in self._states.items() if state in ("absent", "created")]
        if self._status and (starting or later):
            then = f", then {', '.join(later)}" if starting and later else ""
            self._update(f"waiting for {', '.join(starting or later)}{then}")

    def _update(self, said: str) -> None:
        from rich.cells import set_cell_size  # noqa: PLC0415 - only where a terminal is there

        columns = shutil.get_terminal_size().columns
        self._status = self._cleaned(Painted(set_cell_size(f"… {text.clean(said)}", columns - 1).rstrip(), 2))
        self._write(sys.stdout)

    def _decorated(self, event: e.Event, said: str) -> tuple[Piece, ...]:
        match event:
            case e.Ready():
                return (Painted(said, 1),)
            case e.Problem():
                return (Painted(said, 33),)
            case e.ServiceState(service, state):
                mark, rest = said[:1], said[1:].replace(service, f"{service:<{self._width}}", 1)
                colour = {"healthy": 32, "started": 32, "completed": 32, "unhealthy": 31, "exited": 31}.get(state, 2)
                return Painted(mark, colour), rest
            case e.Synced() | e.Restarted() | e.Rebuilt() | e.Reloaded() | e.Executed():
                return Painted("↻", 36), f" {said}"
            case _:
                return (said,)

    def _prefix(self, service: str) -> Painted:
        self._widen(service)
        colour = self._colours.setdefault(service, PALETTE[len(self._colours) % len(PALETTE)])
        found = self._prefixes[service] = Painted(f"{text.clean(service):<{self._width}} │ ", colour)
        return found

    def _widen(self, *services: str) -> None:
        width = max(self._width, *(min(len(name), WIDEST_PREFIX) for name in services), 0)
        if width > self._width:
            self._width = width
            self._prefixes.clear()

    def _write(self, stream: IO[str], *line: Piece, over: bool = False) -> None:
        """The line, and below it the status line of a terminal; without a line the status line alone.

        `over`: in place of what is on the terminal's last line.
        """
        said = f"{self._cleaned(*line)}\n" if line else ""
        if self._status or over or not line:
            said = f"{CLEAR_LINE}{said}{self._status}"
        self._put(stream, Clean(said))

    def _write_json(self, stream: IO[str], value: Any) -> None:
        said = json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")  # which JSON lets pass as it is
        self._write(stream, said)

    def _cleaned(self, *line: Piece) -> Clean:
        """The texts with nothing in them that a terminal acts on, in their colours if there are colours."""
        said = ""
        for piece in line:
            bare = piece if isinstance(piece, str) else piece.text
            if not bare.isprintable():  # nearly all are, and a log may have a million lines
                bare = text.clean_lines(bare)
            said += bare if isinstance(piece, str) or not self._colour else f"\x1b[{piece.code}m{bare}\x1b[0m"
        return Clean(said)

    def _put(self, stream: IO[str], said: Clean) -> None:
        if id(stream) in self._dead:
            return
        try:
            stream.write(said)
            if not self._gathers:
                stream.flush()
        except (OSError, ValueError):
            # Whoever read us is gone; what we do goes on, and the way down above all.
            self._dead.add(id(stream))


def _terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def _wants_colour(stream: IO[str]) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or _terminal(stream)


def _shortened(where: str) -> str:
    """The place relative to here, where that is shorter to read and to click."""
    relative = os.path.relpath(where)
    return relative if not relative.startswith("..") else where
