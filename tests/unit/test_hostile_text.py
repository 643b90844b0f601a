"""Text from outside never controls the terminal, on any way to it."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
import sys
import time
import types
import typing
import unicodedata
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devenv import events as e
from devenv.errors import DevenvError
from devenv.model.containers import Line
from devenv.ui.cells import Styled
from devenv.ui.console import Console
from devenv.ui.live.screen import screen
from devenv.ui.live.state import State
from devenv.ui.live.terminal import Terminal

HOSTILE = {
    "clipboard": "a\x1b]52;c;ZXZpbA==\x07b",
    "title": "a\x1b]0;evil\x1b\\b",
    "conceal": "a\x1b[8mb\x1b[0m",
    "erase": "a\x1b[2J\x1b[1;1Hb",
    "device": "a\x1bP+q544e\x1b\\b\x1b_x\x1b\\",
    "one byte": "a\x9b8mb\x9d52;c;ZXZpbA==\x9cc\x85d",
    "bidi": "a\u202eb\u2066c\u200ed\u061ce",
    "controls": "a\x00\x07\x08\x0b\x0c\x0e\x7fb\rc\td",
    "torn": "a\x1b",
    "nested": "a\x1b[\x1b[8m31mb\x1b]\x1b]52;c;ZQ==\x07",
    "lines": "a\u2028b\u2029c\x1cd\x1de",
    "surrogate": "a\udc9b8m\ud800b",
    "tag": "a\U000e0041b\ufeffc\u00add",
    "kept": "a\x1b[1;45mb\x1b[38;5;196mc\x1b[48;2;1;2;3md",
    "other looks": "a\x1b[5;7;8;9mb\x1b[38;5;999mc\x1b[38:5:1md\x1b[>4;1me\x1b[1;45;H",
    "long look": f"a\x1b[{'45;' * 40}45mb",
}
LOOK = r"\x1b\[(?:[0-4]|[34][0-7]|9[0-7]|10[0-7]|[34]8;5;\d{1,3}|[34]8;2;\d{1,3};\d{1,3};\d{1,3})m"
OURS = re.compile(rf"{LOOK}|\r\x1b\[2K|\x1b\[H\x1b\[J")  # looks, lines and screens written over
FRAME = re.compile(
    rf"\x1b\[\?2026[hl]|\x1b\[2J|\x1b\[\d+;1H|\x1b\[K|{LOOK}|\x1b\[(?:1;)?7m|\x1b\]8;;(?:https?://[^\x1b]*)?\x1b\\"
)
EVENTS = sorted((c for c in vars(e).values() if isinstance(c, type) and issubclass(c, e.Event)), key=str)
ALL = list(HOSTILE.values())


def harmful(text: str) -> list[str]:
    """Characters that a terminal acts on or that turn text around; lines may end."""
    return [f"{c!r} in {text[max(i - 20, 0) : i + 20]!r}" for i, c in enumerate(text) if is_harmful(c)]


def is_harmful(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in "\n\u200d"


def variants(cls: type, text: str) -> Iterator[Any]:
    """The class with the text in every field that holds text, once for each word that a field may hold."""
    hints = get_type_hints(cls, include_extras=True)
    words = {f.name: list(allowed(hints[f.name])) for f in dataclasses.fields(cls)}
    for name, choices in words.items():
        for word in choices:
            yield cls(**{f.name: filled(hints[f.name], text) for f in dataclasses.fields(cls)} | {name: word})
    yield cls(**{f.name: filled(hints[f.name], text) for f in dataclasses.fields(cls)})


def allowed(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Annotated and isinstance(get_args(hint)[1], tuple):
        yield from get_args(hint)[1]


def filled(hint: Any, text: str) -> Any:
    """A value of the type with the text wherever it may be."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return filled(arguments[0], text)
    if origin in (types.UnionType, typing.Union):
        return filled(arguments[0], text)
    if origin is tuple:
        return (filled(arguments[0], text), filled(arguments[0], text))
    if origin is dict:
        return {filled(arguments[0], text): filled(arguments[1], text)}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return next(variants(hint, text))
    return {str: text, int: 3, float: 4.5, bool: True}[hint]


class Screen(io.StringIO):
    """Keeps the written text, and is a terminal if asked to be."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether the screen is a terminal."""
        return self._terminal


def said(monkeypatch: pytest.MonkeyPatch, say: Callable[[Console], object], *, terminal: bool, **how: Any) -> str:
    """All that a console writes meanwhile: to a terminal in colours, or to a pipe without."""
    out, err = Screen(terminal=terminal), Screen(terminal=terminal)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
            patch.delenv(name, raising=False)
        patch.setenv("TERM", "xterm-256color")
        say(Console(**how))
    return out.getvalue() + err.getvalue()


def harm_done(monkeypatch: pytest.MonkeyPatch, say: Callable[[Console], object]) -> list[str]:
    """The sequences to which a terminal reacts, except for our own colours on a terminal."""
    sequences = []
    for verbose in (False, True):
        sequences += harmful(said(monkeypatch, say, terminal=False, verbose=verbose))
        sequences += harmful(OURS.sub("", said(monkeypatch, say, terminal=True, verbose=verbose)))
    return sequences


@pytest.mark.parametrize("cls", EVENTS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("text", ALL, ids=list(HOSTILE))
def test_no_event_drives_the_terminal(cls: type[e.Event], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event there is, and each that is yet to be: the console writes its own codes and no others."""
    for event in variants(cls, text):
        say = functools.partial(Console.emit, event=event)
        assert harm_done(monkeypatch, say) == []
        as_json = said(monkeypatch, say, terminal=True, as_json=True)
        assert as_json.isascii()
        assert harmful(as_json) == []
        for line in as_json.splitlines():
            assert json.loads(line)["event"] == event.event


@pytest.mark.parametrize("cls", EVENTS, ids=lambda c: c.__name__)
def test_colours_are_kept_of_lines_alone(cls: type[e.Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """A container and a hook may colour what they print until its end; no other text brings colours along."""
    for event in variants(cls, HOSTILE["kept"]):
        shown = said(monkeypatch, functools.partial(Console.emit, event=event), terminal=True)
        assert ("\x1b[45m" in shown) == isinstance(event, (e.Log, e.HookLine))
        assert all(line.endswith("\x1b[0m") for line in shown.splitlines() if "\x1b[45m" in line)


@pytest.mark.parametrize("text", ALL, ids=list(HOSTILE))
def test_no_other_way_to_the_console_drives_the_terminal(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors with place and hint, answers, asides, diffs, logs, tables that are drawn again."""

    def say(window: Console) -> None:
        window.expect([text])
        window.error(DevenvError(text, hint=text, file=text, line=3))
        window.answer({"value": text}, [text, f"{text}\n{text}"])
        window.line(text)
        window.aside(text)
        window.diff([text, f"+{text}", f"-{text}", f"@{text}"])
        window.log(text, text)
        window.logs([Line("", text, "stdout", text)])
        window.logs([Line(text, text, "stdout", text)], timestamps=True)
        window.close()

    assert harm_done(monkeypatch, say) == []
    assert harmful(OURS.sub("", said(monkeypatch, lambda window: window.redraw([text, text]), terminal=True))) == []
    as_json = said(monkeypatch, lambda window: window.answer({"value": text}, ()), terminal=True, as_json=True)
    assert harmful(as_json) == []
    assert json.loads(as_json)["value"] == text


@pytest.mark.parametrize("text", ALL, ids=list(HOSTILE))
def test_the_live_view_shows_text_alone(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All events at once, and a name, a link and a note as bad as can be."""
    state = State(verbose=True)
    for cls in EVENTS:
        for event in variants(cls, text):
            state.tell(event, time.monotonic())
    state.view.note = text
    rows = screen(state, 120, 60, time.monotonic())
    rows.append((Styled(text, "good"), Styled(text, "link", f"https://x/{text}"), Styled(text, text, text)))
    written = io.BytesIO()
    monkeypatch.setattr("devenv.ui.live.terminal.os.write", lambda _fd, data: written.write(data))
    terminal = Terminal(colour=True)
    terminal.draw(rows, (120, 61))
    assert harmful(FRAME.sub("", written.getvalue().decode())) == []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(
        st.sampled_from("\x1b[]\\;0158mJHP_^cX\x07\x9b\x9c\x9d\u202e\u2066\x7f\r\n\t aä│\U0001f600"), max_size=40
    )
)
def test_no_text_whatever_drives_the_terminal(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However codes are torn, nested and put together."""

    def say(window: Console) -> None:
        window.emit(e.Notice(text, text))
        window.emit(e.Problem(text, text, text))
        window.emit(e.Log(text, text))
        window.error(DevenvError(text, hint=text))

    assert harm_done(monkeypatch, say) == []
