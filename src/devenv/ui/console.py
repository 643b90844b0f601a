"""Show events and answers as text for people, or as JSON."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devenv.errors import DevenvError
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Line, bare
from devenv.model.status import BAD, GOOD
from devenv.ui import cells
from devenv.ui.hints import ProjectOptions
from devenv.ui.reminder import Reminder
from devenv.ui.writer import Painted, Piece, Writer, dumped, is_terminal

with LazyImports():  # most commands print an answer and have no events
    import asyncio
    import shutil

    from devenv import events as e
    from devenv.ui import drawing, prefixes, text

CHATTY = ("build", "save", "load", "layers", "doctor")  # steps with too many details for lines of their own
PRINTED = ("line", "error", "output", "message")  # fields with output of programs
LEVEL_COLOURS = {"error": 31, "warn": 33}


class Console(Writer):
    """Shows events, answers and errors. Data goes to stdout, all else to stderr; as JSON, stdout is NDJSON."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        selected: ProjectOptions = ProjectOptions(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self._selected = selected
        self.verbose = verbose  # show the output of builds too
        self.is_json = as_json
        self._quiet = quiet
        self._states: dict[str, str] = {}
        self._shown: dict[str, set[str]] = {}  # by service: the lines about it since its last start
        self._bursts: dict[str, text.Burst] = {}  # of syncs, by service
        self._due: dict[str, text.Burst] = {}  # bursts that have no line yet
        self._reminder = Reminder(self.line)

    @functools.cached_property
    def _prefixes(self) -> prefixes.Prefixes:
        return prefixes.Prefixes()

    @property
    def is_live(self) -> bool:
        """Whether stdout is a terminal that can be drawn on."""
        return not self.is_json and is_terminal(sys.stdout)

    def expect(self, services: Iterable[str]) -> None:
        """Leave room for the names of these services, whose lines may follow."""
        self._prefixes.widen(*services)

    def emit(self, event: e.Event, at: float | None = None) -> None:
        """Show an event that came at this time, in seconds since 1970; by default now."""
        event = self.with_options(event)
        if isinstance(event, e.Traced):
            self.json(_fields(event, at), sys.stderr) if self.is_json else self.aside(text.traced(event))
        elif self.is_json:
            self.json(_fields(event, at))
        elif not (self._quiet and isinstance(event, text.QUIET_EVENTS)):
            self._show(event)

    def remark(self, event: e.Event) -> None:
        """Show a notice or a problem on stderr, beside the output of another program; other events are not shown."""
        shown = self.with_options(event)
        if isinstance(shown, (e.Notice, e.Problem)) and (line := text.plain(shown)) is not None:
            self.line(line, stream=sys.stderr)

    def with_options(self, event: e.Event) -> e.Event:
        """The event, whose commands to type select the same project as the command line."""
        if not isinstance(event, (e.Notice, e.Problem)):
            return event
        hint, message = self._selected.in_hint(event.hint), self._selected.in_message(event.message)
        return replace(event, hint=hint, message=message)

    def log(self, service: str, line: str, level: str = "") -> None:
        """Show a line that a service printed, with its own colours; errors are red, warnings yellow."""
        self.line(*self._log_line(service, line, level))

    def logs(self, lines: Iterable[Line], *, timestamps: bool = False) -> None:
        """Show lines that services printed, all at once."""
        if self.is_json:
            logs = (e.Log(line.service, line.text, line.stream, line.at or None, line.level) for line in lines)
            self.lines([dumped(_fields(log))] for log in logs)
        else:
            texts = ((line, f"{line.at} {line.text}" if timestamps else line.text) for line in lines)
            self.lines(self._log_line(line.service, text, line.level) for line, text in texts)

    def _log_line(self, service: str, line: str, level: str) -> Sequence[Piece]:
        prefix, colour = self._prefixes[service], LEVEL_COLOURS.get(level, 0)
        cleaned = cells.clean(line).rstrip()
        if not cleaned:
            prefix = prefix._replace(text=prefix.text.rstrip())
        if not self.colour or not (colour or "\x1b" in line):
            return prefix, cleaned
        spans = cells.part(cells.coloured(line), 0, len(cleaned))
        return prefix, *(Painted(span.text, colour, span.codes) for span in spans)

    def answer(self, value: Mapping[str, Any], lines: Iterable[str]) -> None:
        """Write the answer of a command: as one JSON object, or as lines. Raises DevenvError if the disk is full."""
        if self.is_json:
            self.json({"v": e.JSON_VERSION, **self._selected.in_answer(value)})
        else:
            for line in lines:
                self.line(self._selected.in_message(line))
        self.require_written()

    def diff(self, lines: Iterable[str]) -> None:
        """Write the lines of a unified diff, coloured if there are colours."""
        for line in lines:
            colour = {"+": 32, "-": 31, "@": 36}.get(line[:1])
            cleaned = cells.clean(line)
            self.line(Painted(cleaned, colour) if colour else cleaned)

    def aside(self, line: str) -> None:
        """Write a line for people, which is not data, to stderr."""
        self.line(self._selected.in_message(line), stream=sys.stderr)

    def error(self, error: DevenvError) -> None:
        """Show what failed, its place, and what to type; as JSON, write an event too."""
        where, hint = error.where, self._selected.in_hint(error.hint)
        if self.is_json:
            self.json(_fields(e.Failed(error.message, where, hint, error.exit_code)))
        self.close()
        column = f":{error.column}" if error.column else ""
        message = f"{_shortened(where)}{column}: {error.message}" if where else error.message
        self.line(Painted("error:", 31), f" {message}", stream=sys.stderr)
        for line in error.excerpt:
            self.line(f"  {line}", stream=sys.stderr)
        if hint:
            self.line("  ", Painted("hint:", 36), f" {hint}", stream=sys.stderr)

    def _show(self, event: e.Event) -> None:
        if isinstance(event, e.ServiceState):
            self._states[event.service] = event.state
            self._prefixes.widen(event.service)
        if isinstance(event, (e.Stopping, e.Notice)):  # a run ends with these
            for burst in [*self._due.values()]:
                self._show_burst(burst)
        match event:
            case e.Log(service, line):
                self.log(service, line, event.level)
            case e.HookLine(hook, line):
                self.log(hook, line, event.level)
            case e.Step(_, "begin" | "detail") | e.ImageState(_, "pulling" | "making" | "pushing"):
                self._show_progress(event)
            case e.ServiceState(_, "absent" | "created" | "starting") if is_terminal(sys.stdout):
                self._show_awaited()
            case e.Synced():
                self._show_sync(event)
            case e.Timings():
                for line in drawing.waterfall(event, shutil.get_terminal_size().columns):
                    self.line(line)
            case _:
                self._show_line(event)

    def _show_line(self, event: e.Event) -> None:
        if isinstance(event, (e.Ready, e.Rebuilt, e.Reloaded, e.Stopping)):
            self.close()
        if isinstance(event, (e.Step, e.ImageState, e.Rebuilt, e.Problem, e.Stopping)):
            self._reminder.end()
        if isinstance(event, e.ServiceState):
            self._show_awaited()
        if (line := text.plain(event)) is not None and not _is_repeated(event, line, self._shown):
            # The terminal has echoed ^C before.
            over = isinstance(event, e.Stopping) and is_terminal(sys.stdout)
            self.line(*_decorated(event, line, self._prefixes.width), over=over)

    def _show_sync(self, event: e.Synced) -> None:
        """Show a sync; if many follow each other quickly during a run, count them and show one line at the end."""
        now, known = time.monotonic(), self._bursts.get(event.service)
        burst = self._bursts[event.service] = known.after(event, now) if known else text.Burst.of(event, now)
        if not burst.is_many or not self._states:
            self._show_line(event)
            return
        self._due[event.service] = burst
        if is_terminal(sys.stdout):
            self.status(burst.line())
        with contextlib.suppress(RuntimeError):  # without an event loop, the next event ends the burst
            asyncio.get_running_loop().call_later(2 * text.QUIET, self._show_burst, burst)

    def _show_burst(self, burst: text.Burst) -> None:
        """Show the line of a burst, unless more syncs have followed."""
        if self._due.get(burst.service) is burst:
            del self._due[burst.service]
            self.close()
            self.line(Painted("↻", 36), f" {burst.line()}")

    def _show_progress(self, event: e.Event) -> None:
        """Show progress: on a terminal in the status line, elsewhere with a line for each long step."""
        if isinstance(event, e.Step) and event.state == "begin":
            self._reminder.end()
        if (progress := text.progress(event)) is not None:
            (self.status if is_terminal(sys.stdout) else self._reminder.note)(progress)
        if is_terminal(sys.stdout) and not self.verbose:
            return
        line = text.plain(event)
        chatty = event.name in CHATTY if isinstance(event, e.Step) else text.is_count(event)
        if line is not None and (self.verbose or not chatty):
            self.line(line)

    def _show_awaited(self) -> None:
        """Name the services that the run waits for in the status line, if a step shows one."""
        starting = [service for service, state in self._states.items() if state == "starting"]
        later = [service for service, state in self._states.items() if state in ("absent", "created")]
        if self.has_status and (starting or later):
            then = f", then {', '.join(later)}" if starting and later else ""
            self.status(f"waiting for {', '.join(starting or later)}{then}")


def _fields(event: e.Event, at: float | None = None) -> dict[str, Any]:
    fields = event.document(time.time() if at is None else at)
    return fields | {key: _bare(fields[key]) for key in PRINTED if key in fields}


def _is_repeated(event: e.Event, line: str, shown_by: dict[str, set[str]]) -> bool:
    """Whether the line was shown for an earlier start of a service that restarts again and again; it is added."""
    if not isinstance(event, e.ServiceState):
        return False
    shown = shown_by.setdefault(event.service, set())
    if event.state not in ("starting", "restarting"):
        shown.clear()
    is_repeated = line in shown
    shown.add(line)
    return is_repeated


def _bare(text: str) -> str:
    """The text without the escape sequences of each line."""
    return "\n".join(map(bare, text.split("\n")))


def _decorated(event: e.Event, line: str, width: int) -> tuple[Piece, ...]:
    """The line of an event in colours; the names of services are padded to `width`."""
    match event:
        case e.Ready():
            return (Painted(line, 1),)
        case e.Problem():
            return (Painted(line, 33),)
        case e.ServiceState(service, state):
            mark, name = line[:1], f"{service:<{width}}"
            rest = re.sub(f"{re.escape(service)}:?", lambda _: name, line[1:], count=1)
            colour = 31 if event.error or state in BAD else 32 if state in GOOD else 2
            return Painted(mark, colour), rest
        case e.Synced() | e.Restarted() | e.Rebuilt() | e.Reloaded() | e.Executed():
            return Painted("↻", 36), f" {line}"
        case _:
            return (line,)


def _shortened(where: str) -> str:
    """The path relative to the working directory, if that is shorter to read and to click."""
    relative = os.path.relpath(where)
    return relative if not relative.startswith("..") else where
