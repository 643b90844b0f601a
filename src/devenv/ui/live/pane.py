"""The part below the table of the live view: the log or a page, and pulls and builds. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from devenv.ui import drawing
from devenv.ui.cells import ELLIPSIS, Row, Styled, cut, fit, pieces, row, width
from devenv.ui.live import log
from devenv.ui.live.state import BAD, GOOD, BuildStep, ImageProgress, State, TimedSync
from devenv.ui.text import MARKS, clean, counted, took

WIDEST_PREFIX = 20
SERVICE_STYLES = 5
HELP = (
    "↑ ↓        choose a service              PgUp PgDn Home End  scroll",
    "/          filter: text, /regex/, @service, level:error; all must hold",
    "l          the log of this service alone, and back",
    "e          the last error; again: the one before",
    "space      pause the log, and go on     Esc  back",
    "r b s      restart, rebuild, stop this service",
    "x, Enter   a shell in it                o    open it in the browser",
    "g          who waits for whom           y    the last syncs",
    "d          detach: leave it running, as `up -d` does",
    "q, Ctrl-C  end it all; Ctrl-Z suspends the view",
)


def log_or_page(state: State, columns: int, rows: int, now: float) -> Iterator[Row]:
    """A title, and so many rows of the log (newest at the bottom) or of the page."""
    if state.view.page:
        lines = list(_page(state, columns, now))
        state.view.offset = max(0, min(state.view.offset, len(lines) - rows))
        shown = lines[state.view.offset : state.view.offset + rows]
        more = len(lines) - len(shown)
        yield _title(state.view.page, f"{more} more: PgUp PgDn" if more else "", "Esc: back to the log", columns)
        yield from shown
        yield from [()] * (rows - len(shown))
        return
    chosen, typed = state.log.filter, state.log.filter.typed
    title = f"log: {typed}" if typed else "log"
    title += f" ({counted(len(state.log.shown), 'line')})" if typed and not chosen.fault else ""
    held = chosen.fault if state.view.typing is None else ""
    if state.view.anchor is not None:
        held = f"paused, {counted(state.log.below(state.view.anchor), 'line')} below: space or End goes on"
    yield _title(title, held, "", columns)
    names = list(state.services)
    prefix = min(max(map(width, (*names, "devenv"))), WIDEST_PREFIX, max(columns // 4, 1))
    styles = {name: f"service{index % SERVICE_STYLES}" for index, name in enumerate(state.services)}
    drawn: list[Row] = []
    for line in state.log.above(state.view.anchor):
        if len(drawn) >= rows:
            break
        most = max(rows * 2 // 3, 1)
        drawn += reversed(list(_line(line, prefix, styles, columns, most, marked=line.number == state.view.marked)))
    yield from reversed(drawn[:rows])
    yield from [()] * (rows - len(drawn))


def _title(title: str, middle: str, right: str, columns: int) -> Row:
    begin = [Styled("── ", "dim"), Styled(title, "bold"), Styled(" ", "dim")]
    begin += [Styled("── ", "dim"), Styled(middle, "warn"), Styled(" ", "dim")] if middle else []
    end = [Styled(f" {right} ", "dim"), Styled("──", "dim")] if right else []
    room = columns - sum(width(span.text) for span in (*begin, *end))
    return row((*begin, Styled("─" * max(room, 0), "dim"), *end), columns)


def _line(
    line: log.LogLine, prefix: int, styles: dict[str, str], columns: int, most: int, *, marked: bool
) -> Iterator[Row]:
    """A line of the log on as many rows as it needs, cut after `most`."""
    ours = line.service == log.OURS
    level = log.level(line)
    style = {"error": "bad", "warn": "warn"}.get(level, "dim" if ours else "")
    name = fit("devenv" if ours else clean(line.service), prefix)
    begin = Styled(f"{name} {'▶' if marked else '│'} ", "dim" if ours else styles.get(line.service, "dim"))
    room = max(columns - prefix - 3, 1)
    wrapped = list(islice(pieces(line.text, room), most + 1))
    if len(wrapped) > most:
        wrapped[most - 1 :] = [cut(f"{wrapped[most - 1]}{ELLIPSIS * room}", room)]
    for index, piece in enumerate(wrapped):
        yield (begin if not index else Styled(f"{' ' * prefix} │ ", begin.style)), Styled(piece, style)


def _page(state: State, columns: int, now: float) -> Iterator[Row]:
    match state.view.page:
        case "graph" if state.project.graph.nodes:
            for line in drawing.tree(state.project.graph):
                yield _drawn(line, state)
        case "syncs":
            for sync in reversed(state.syncs):
                yield _sync(sync, columns, now)
            if not state.syncs:
                yield (Styled("nothing was synced yet", "dim"),)
        case "help":
            yield from ((Styled(line),) for line in HELP)
        case _:
            yield (Styled("the project is not read yet", "dim"),)


def _drawn(line: str, state: State) -> Row:
    """A line of the graph with the state of its service."""
    match = re.match(r"([│├└─ ]*[├└]─ (?:\* )?)(\S+)(.*)", line)
    service = state.services.get(match[2]) if match else None
    if match is None or service is None:
        return (Styled(line, "dim"),)
    style = "good" if service.word in GOOD else "bad" if service.word in BAD else "warn"
    rest = re.sub(r"^ \((.+?)\)", r" (needed: \1)", match[3])
    return Styled(match[1], "dim"), Styled(match[2], "bold"), Styled(f" {service.word}", style), Styled(rest, "dim")


def _sync(sync: TimedSync, columns: int, now: float) -> Row:
    event = sync.event
    files = counted(event.files + event.deleted, "file")
    cells = (
        fit(ago(now - sync.at), 10),
        fit(clean(event.service), 14),
        fit(files, 9),
        fit(took(event.ms), 7, right=True),
    )
    begin = "  ".join((*cells, ""))
    paths = ", ".join(map(clean, event.paths))
    more = event.files + event.deleted - len(event.paths)
    changed = f"{paths}{f' +{more}' if more > 0 else ''}{' (removed)' if not event.files else ''}"
    return row((Styled(begin, "dim"), Styled(changed)), columns)


def under_way(state: State, columns: int, now: float) -> Iterator[Row]:
    """Rows for current pulls and build steps, and for failed steps."""
    progress = state.progress
    for reference, pull in progress.pulls.items():
        bar = f"{'■' * min(pull.done, 30)}{'□' * min(pull.layers - pull.done, 30)} " if pull.layers else ""
        yield (
            Styled(f"{MARKS['starting']} ", "warn"),
            Styled(f"{pull.state} {clean(reference)} "),
            Styled(f"{bar}{pull.detail}", "dim"),
        )
    if progress.failed:
        yield Styled(f"{MARKS['exited']} ", "bad"), Styled(f"build failed: {built(progress)}")
    for step in progress.steps.values():
        if step.state in ("running", "failed"):
            yield from _build_step(step, columns, now)


def built(progress: ImageProgress) -> str:
    """The number of finished steps of a build."""
    ended = [step for step in progress.steps.values() if step.state in ("done", "cached")]
    cached = sum(step.state == "cached" for step in ended)
    return f"{counted(len(ended), 'step')} done{f', {cached} of them cached' if cached else ''}"


def _build_step(step: BuildStep, columns: int, now: float) -> Iterator[Row]:
    failed = step.state == "failed"
    yield (
        Styled(f"  {MARKS['exited' if failed else 'starting']} ", "bad" if failed else "warn"),
        Styled(cut(f"[{step.where}] {step.what}", max(columns - 12, 1))),
        Styled("" if failed else _since(step.began, now), "dim"),
    )
    for line in [*step.lines][0 if failed else -1 :]:
        yield (Styled(f"      {line}", "" if failed else "dim"),)


def _since(began: float, now: float) -> str:
    seconds = int(now - began)
    return f" {seconds} s" if seconds else ""


def ago(seconds: float) -> str:
    """An age in steps that change rarely."""
    for unit, size, step in (("s", 1, 10), ("min", 60, 1), ("h", 3600, 1)):
        count = int(seconds // size // step * step)
        if count < 60 or unit == "h":  # noqa: PLR2004 - seconds, minutes
            return f"{count} {unit} ago" if count else "just now"
    raise AssertionError  # pragma: no cover - hours have no end
