"""Handle keys: each changes what is shown, or is a command for the run or the terminal. Pure."""

from __future__ import annotations

import functools

from devenv import package_text
from devenv.model.graph import ViewCommand
from devenv.ui.cells import width
from devenv.ui.live import log
from devenv.ui.live.log import Filter, LogLine
from devenv.ui.live.state import State, Typing
from devenv.ui.run_state import ServiceRow

PASTED = "pasted "  # pasted text is one key with this prefix
PAGES = {"g": "graph", "y": "syncs", "?": "help"}
HINTS = (
    "/ filter", "l only this", "e error", "space pause", "r restart", "b rebuild", "s stop", "x shell", "o open",
    "p page", "g graph", "y syncs", "t times", "w wrap", "h checks", "d detach", "? help", "q end",
)  # fmt: skip
RANKS = (
    "q", "?", "/", "e", "d", "r", "x", "space", "o", "s", "l", "b", "p", "g", "y", "w", "t", "h",
)  # by importance  # fmt: skip
LEAVING = ("q", "d")  # keys that leave the view of a run in another process
HELP = package_text("ui/live/help.txt").splitlines()
ATTACHED = "q          leave this view: the project goes on, and `devenv down` ends it. Ctrl-Z suspends the view"


@functools.cache
def hints(columns: int, *, is_attached: bool = False) -> str:
    """The hints that fit into `columns`, chosen by importance."""
    chosen: list[str] = []
    known = (*(hint for hint in HINTS if hint[0] not in LEAVING), "q leave") if is_attached else HINTS
    for rank in RANKS:
        more = [hint for hint in known if hint in chosen or hint.split()[0] == rank]
        if chosen and width("  ".join(more)) > columns:
            break
        chosen = more
    return "  ".join(chosen)


def help_lines(*, is_attached: bool) -> list[str]:
    """The lines of the page about keys."""
    return [*(line for line in HELP if line[0] not in LEAVING), ATTACHED] if is_attached else HELP


def press(state: State, key: str) -> ViewCommand | None:
    """Handle a key, and return its command for the run or the terminal, if it has one."""
    view = state.view
    view.note, asked, view.asked = "", view.asked, ""
    if view.typing is not None:
        _type(state, key)
        return None
    if asked:
        return _answer(state, asked, key)
    if key.startswith(PASTED):
        view.note = "paste ignored; press / first to filter"
        return None
    if key in (*LEAVING, "p"):
        return _run_key(state, key)
    if key in ("up", "k", "down", "j"):
        step = -1 if key in ("up", "k") else 1
        view.selected = max(0, min(view.selected + step, len(state.services) - 1))
    elif key in PAGES:
        view.page, view.offset = ("" if view.page == PAGES[key] else PAGES[key]), 0
    elif key in ("pgup", "pgdn", "home", "end"):
        _scroll(state, key)
    elif not _log_key(state, key):
        return _service_key(state, key)
    return None


def _run_key(state: State, key: str) -> ViewCommand | None:
    """Handle a key for the whole run."""
    if key == "p":
        state.view.note = "opening the page"
        return ViewCommand("page")
    if state.is_attached:
        return ViewCommand("detach")
    if key == "d":
        return _detach(state)
    state.view.asked = key
    return None


def _answer(state: State, asked: str, key: str) -> ViewCommand | None:
    """Handle the key that answers the question about the key `asked`; a key that is no answer cancels."""
    if asked == "q" and key == "d":
        return _detach(state)
    if key not in (asked, "y"):
        return None
    return ViewCommand("quit") if asked == "q" else _act(state, "stop")


def _detach(state: State) -> ViewCommand:
    state.view.is_detaching = True
    state.view.note = "" if state.ready else "detaches when all services are up"
    return ViewCommand("detach")


def _log_key(state: State, key: str) -> bool:
    """Handle a key for the log; return False if the key is not for the log."""
    view = state.view
    match key:
        case "/":
            view.typing, view.page = Typing(state.log.filter.typed, state.log.filter), ""
        case "e":
            _find_error(state)
        case " ":
            view.anchor, view.marked = (None if view.anchor is not None else state.log.newest), None
        case "l":
            _only_chosen(state)
        case "t":
            view.shows ^= {"times"}
        case "w":
            view.shows ^= {"wrap"}
        case "h":
            state.log.folds = not state.log.folds
            state.log.narrow(state.log.filter)
        case "escape":
            _escape(state)
        case _:
            return False
    return True


def _escape(state: State) -> None:
    """Leave the page, or else end the pause, or else clear the filter, or else the problems in the status line."""
    view = state.view
    if view.page:
        view.page = ""
    elif view.anchor is not None:
        view.follow_log()
    elif state.log.filter.typed:
        state.log.narrow(Filter())
    else:
        state.problems.clear()
        if state.progress.failed:
            state.progress.clear()


def _only_chosen(state: State) -> None:
    view = state.view
    if state.chosen is not None:
        wanted = f"@{state.chosen.name}"
        state.log.narrow(log.parse("" if state.log.filter.typed == wanted else wanted, view.tools.search))
        view.follow_log()
        view.page = ""


def _find_error(state: State) -> None:
    """Mark and show the last error in the log, or the error before the marked error."""
    view = state.view

    def begins(line: LogLine) -> bool:
        return line.begins

    error = state.log.last(begins, view.marked)
    error = state.log.last(begins) if error is None else error
    if error is None:
        view.note = "no error in the log" + (" matches the filter" if state.log.filter.typed else "")
    else:
        view.marked, view.page = error, ""
        state.log.errors.clear()
        view.anchor = state.log.step(error, view.height - 3) or state.log.newest  # with the lines after the error


def _scroll(state: State, key: str) -> None:
    view = state.view
    page = max(view.height - 1, 1)
    if view.page:
        offsets = {"pgup": max(view.offset - page, 0), "pgdn": view.offset + page, "home": 0, "end": 10**6}
        view.offset = offsets[key]
    elif key == "end":
        view.follow_log()
    else:
        lines = {"pgup": -page, "pgdn": page, "home": -log.SHOWN}[key]
        view.anchor = state.log.step(view.anchor, lines)


def _service_key(state: State, key: str) -> ViewCommand | None:
    view, service = state.view, state.chosen
    verb = {"r": "restart", "b": "rebuild", "s": "stop", "x": "shell", "enter": "shell", "o": "open"}.get(key)
    if verb is None or service is None:
        return None
    if verb == "open":
        return _open(state, service)
    if verb == "shell":
        view.note = "" if service.service_stats.container else f"{service.name} is not running"
        return ViewCommand("shell", service.service_stats.container) if service.service_stats.container else None
    if verb == "stop" and not service.busy:
        view.asked = key
        return None
    return _act(state, verb)


def _act(state: State, verb: str) -> ViewCommand | None:
    """The command to restart, rebuild or stop the chosen service."""
    service = state.chosen
    if service is None:
        return None
    if service.busy:
        state.view.note = f"{service.name} is busy: {service.busy}"
        return None
    if verb == "rebuild" and service.name not in state.project.built:
        state.view.note = f"{service.name} is not built by this run: r restarts it"
        return None
    service.begin(verb)
    state.problems.pop(service.name, None)
    return ViewCommand(verb, service.name)


def _open(state: State, service: ServiceRow) -> ViewCommand | None:
    known = state.ready.event.urls if state.ready else ()
    url = next((url for url in service.service_stats.urls if url in known), None)
    if url is None and state.ready and not service.service_stats.urls:
        state.view.note = f"{service.name} publishes no port"
        return None
    url = url or next(iter(service.service_stats.urls), None)
    state.view.note = f"opening {url}" if url else f"{service.name} is not up yet"
    return ViewCommand("open", url) if url else None


def _type(state: State, key: str) -> None:
    view, typing = state.view, state.view.typing
    assert typing is not None  # noqa: S101 - the caller has checked it
    match key:
        case "enter":
            view.typing = None
            return
        case "escape":
            view.typing = None
            state.log.narrow(typing.replaced)
            return
        case "backspace":
            typed = typing.text[:-1]
        case "clear":
            typed = ""
        case _ if len(key) == 1 or key.startswith(PASTED):
            typed = typing.text + key.removeprefix(PASTED)
        case _:
            return
    view.typing = typing._replace(text=typed)
    state.log.narrow(log.parse(typed, view.tools.search))
    view.follow_log()
