"""Events as lines of text."""

from __future__ import annotations

from typing import get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

# ruff: noqa: E501 - a table is read by its rows
from devenv import events as e
from devenv.events import Span, Timings
from devenv.ui.cells import clean
from devenv.ui.drawing import waterfall
from devenv.ui.text import plain, progress

WEB, DB = e.Published("web", 80, "127.0.0.1:21000"), e.Published("db", 3306, "127.0.0.1:20123")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07after", "after"),
        ("\x1bPq#0;2\x1b\\after", "after"),
        ("a\rb\x08c\x07\x00\x7f\x9bd", "abcd"),
        ("tab\there", "tab    here"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("safe\u202etxt.exe", "safetxt.exe"),
        ("\u2066x\u2069\u200b", "x"),
        ("ünï👩\u200d💻 日本", "ünï👩\u200d💻 日本"),
        ("cut \x1b[", "cut "),
        ("lone \udcff", "lone "),
    ],
)
def test_cleaned_text_has_no_control_codes(line: str, expected: str) -> None:
    """Nothing that a container prints can move the cursor, set the clipboard or turn the text around."""
    assert clean(line) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (e.Restarted("web", "", 12.0), "web restarted in 12 ms"),
        (e.Rebuilt("web", "", 1.26), "web rebuilt in 1.3 s"),
        (e.Log("web", "\x1b[31mred"), "web | red"),
        (e.HookLine("before_up", "\x1b[31mred"), "before_up | red"),
        (e.HookLine("before_down", "red", "db", "stderr"), "before_down | red"),
        (e.Step("before_down", "begin", "Ctrl-C skips it"), "running before_down; Ctrl-C skips it"),
        (e.Step("before_up", "begin"), None),
        (e.Ready("shop", ("http://localhost/", "http://localhost:81/"), 3.21), "shop is up after 3.2 s: http://localhost/  http://localhost:81/"),
        (e.Ready("shop", (), 3.0), "shop is up after 3.0 s"),
        (e.Ready("shop", ("http://localhost/",), 3.0, forwarded_from="far"), "shop is up after 3.0 s: http://localhost/ (forwarded from far)"),
        (
            e.Ready("shop", ("http://localhost/",), 3.0, faults=(e.Fault("web", "main.py:1: ImportError: x"),)),
            "shop has started, with errors, after 3.0 s: http://localhost/\n  ✗ web: main.py:1: ImportError: x",
        ),
        (
            e.Ready("shop", ("http://localhost:21000/",), 3.0, (WEB, DB)),
            "shop is up after 3.0 s: http://localhost:21000/\n  web 80: 127.0.0.1:21000\n  db 3306: 127.0.0.1:20123",
        ),
        (e.Ready("shop", ("http://localhost:21000/",), 3.0, (WEB,)), "shop is up after 3.0 s: http://localhost:21000/"),
        (e.Ready("shop", (), 3.0, (DB,)), "shop is up after 3.0 s\n  db 3306: 127.0.0.1:20123"),
        (e.ServiceState("db", "healthy"), "● db healthy"),
        (e.ServiceState("db", "created", "waits for x"), "○ db waits for x"),
        (e.ServiceState("db", "exited", "exit code 3"), "✗ db exited (exit code 3)"),
        (e.ServiceState("db", "healthy", error="main.py:3: \x1b[1mno"), "✗ db: main.py:3: no"),
        (e.ServiceState("db", "unhealthy", "its check fails", error="no"), "✗ db unhealthy (its check fails): no"),
        (e.Waiting("db", "waits for its health check", 15.2), "◐ db waits for its health check (15 s)"),
        (
            e.Waiting("db", "waits for its health check", 15.2, ("api",), "\x1b[1mlast", "no route"),
            "◐ db waits for its health check (15 s; api waits for it)\n  no route\n  last",
        ),
        (e.Waiting("a", "is running to its end", 60.0, ("b", "c")), "◐ a is running to its end (60 s; b, c wait for it)"),
        (e.Synced("web", 1, 0, 3, 12.4, ("src/a.js",)), "src/a.js → web (12 ms)"),
        (e.Synced("web", 7, 1, 3, 12.0, ("src/a.js",)), "src/a.js +7 → web (12 ms)"),
        (e.Synced("web", 0, 1, 0, 3.0, ("src/a.js",)), "src/a.js removed from web (3 ms)"),
        (e.Synced("web", 1, 0, 3, 12.0, ("a",), atomic=False), "a → web (12 ms, not atomic: the image has no shell)"),
        (e.Synced("web", 1, 0, 3, 1.0, ("a\x1b[2Jb\nc",)), "abc → web (1 ms)"),
        (e.Restarted("web", "a.js", 120.0), "web restarted in 120 ms (a.js changed)"),
        (e.Rebuilt("web", "package.json", 4.56), "web rebuilt in 4.6 s (package.json changed)"),
        (
            e.Reloaded(("compose.yml", ".env"), recreated=("web",), added=("worker",), rules=True, seconds=1.23),
            "compose.yml, .env changed: web recreated, worker added (1.2 s)",
        ),
        (
            e.Reloaded(("a.yml",), scaled=("api",), removed=("db",)),
            "a.yml changed: api scaled, db removed (0.0 s)",
        ),
        (e.Reloaded((".dockerignore",), rules=True), ".dockerignore changed: new watch rules (0.0 s)"),
        (e.Reloaded(("compose.yml",)), "compose.yml changed: no service affected (0.0 s)"),
        (e.Executed("web", "npm ci", 1, "one\n\x1b[31mtwo\n", 5.0), "web ran `npm ci`: exit code 1, two"),
        (e.Problem("x \x1b[31mfailed", "do y", "web"), "problem in web: x failed\n  hint: do y"),
        (e.Notice("so it is"), "so it is"),
        (e.Stopping("INT", 2), "stopping 2 containers; Ctrl-C again ends them at once"),
        (e.Stopping("down", 1), "stopping 1 container"),
        (e.Stopping("down", 0), None),
        (e.Removed("container", "x"), None),
        (e.Kept("volume", "v", "why", "docker volume rm v"), "kept volume v: why\n  to remove it: docker volume rm v"),
        (e.Stopped((), 1.26, {"container": 2, "network": 1}), "removed 2 containers, 1 network in 1.3 s; nothing of this run is left"),
        (e.Stopped((), 2.0, {"volume": 1}, {"data": 5_200_000}), "removed 1 volume in 2.0 s; data is saved (5.2 MB); nothing of this run is left"),
        (e.Restored("data", "1", 200.0, 199_000_000, 0.42), "data restored (saved 3 min ago, 199 MB in 0.4 s)"),
        (e.Saved("data", "1", 10, 5, 1.0), None),
        (e.Stopped((), 1.0, {}), "there was nothing to remove; nothing of this run is left"),
        (e.Stopped((), 1.0, {"network": 1}, waiting=("p_data",)), "removed 1 network in 1.0 s; nothing else of this run is left"),
        (e.VolumesStay("far", ("p_data",), "save", "drop"), "volume p_data stays on far for the next `devenv up` (save: saves it here and removes it; drop: removes it unsaved)"),
        (e.VolumesStay("far", ("a", "b"), "save", "drop"), "volumes a, b stay on far for the next `devenv up` (save: saves them here and removes them; drop: removes them unsaved)"),
        (e.Stopped(("container x",), 1.0, {}), "nothing was removed; left: container x"),
        (e.Stopped(("container x", "network n"), 1.0, {"container": 1}), "removed 1 container in 1.0 s; left: container x, network n"),
        (e.Step("build", "end", seconds=2.0), "built the images (2.0 s)"),
        (e.Step("build", "end", seconds=0.2), None),
        (e.Step("rebuild", "begin", "web: a changed"), "rebuilding web: a changed"),
        (e.ImageState("node:22", "pulling", "40 %"), "image node:22: pulling (40 %)"),
        (e.ImageState("node:22", "present"), None),
        (e.Step("build", "detail", "#1 x"), "  #1 x"),
        (e.ServiceState("db", "created"), None),
    ],
)  # fmt: skip
def test_each_event_is_one_line_or_none(event: e.Event, expected: str | None) -> None:
    """Hints have a line of their own."""
    assert plain(event) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (e.Step("load", "begin"), "reading the project"),
        (e.Step("unheard-of", "begin"), None),
        (e.Step("rebuild", "begin", "web: a changed"), "rebuilding web: a changed"),
        (e.Step("build", "detail", "#12 [web dev 3/5] RUN npm ci"), "building [web dev 3/5] RUN npm ci"),
        (e.Step("build", "detail", "#1 [web internal] load metadata"), None),
        (e.Step("build", "detail", "#12 0.4 added 90 packages"), None),
        (e.Step("images", "detail", "  \x1b[31mhalf\n"), "half"),
        (e.Step("images", "detail", ""), None),
        (e.ImageState("node:22", "pulling", "40 %"), "pulling node:22: 40 %"),
        (e.ImageState("node:22", "making"), "making node:22"),
        (e.ImageState("node:22", "made"), None),
    ],
)
def test_progress_line_of_events(event: e.Event, expected: str | None) -> None:
    """The line says what is going on; an event without news leaves it unchanged."""
    assert progress(event) == expected


FILLED = {str: "x", int: 1, float: 1.0, bool: True, float | None: 1.0, str | None: "x"}


# No `__subclasses__`: a class with slots may be there twice.
EVENTS = [
    kind for kind in vars(e).values() if isinstance(kind, type) and issubclass(kind, e.Event) and kind is not e.Event
]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: str(kind.__name__))
def test_every_event_has_a_text(kind: type[e.Event]) -> None:
    """No event makes the window fail."""
    types = {name: hint for name, hint in get_type_hints(kind).items() if name != "event"}
    values = {name: FILLED.get(hint, ()) for name, hint in types.items() if get_origin(hint) is not dict}
    assert isinstance(plain(kind(**values)), (str, type(None)))


START = Timings(
    8.0,
    (
        Span("load", 0.0, 0.4, critical=True),
        Span("build", 0.4, 3.0, critical=True),
        Span("build web dev", 0.5, 2.9, critical=True),
        Span("build web internal", 0.5, 0.501),
        Span("start cache", 3.0, 3.5),
        Span("start db", 3.0, 3.4, critical=True),
        Span("health db", 3.4, 7.5, critical=True),
        Span("start web", 7.5, 8.0, critical=True, after="db"),
    ),
)


def test_timings_as_bars() -> None:
    """There are bars for the times, marks for critical parts, and the longest part in words."""
    assert waterfall(START, 72) == [
        "8.00 s until ready; * is what the rest waited for",
        "* load                   0.40 s ██",
        "* build                  2.60 s   █████████████",
        "*   build web dev        2.40 s   ████████████",
        "  start cache            0.50 s                ░░",
        "* start db               0.40 s                ██",
        "* health db              4.10 s                  ████████████████████",
        "* start web (after db)   0.50 s                                      ██",
        "most of it: health db 4.1 s, build web dev 2.4 s, start web 0.5 s",
    ]


def test_nothing_to_show() -> None:
    """A run that took no time has no bars."""
    assert waterfall(Timings(0.0, ()), 80) == ["0.00 s until ready; * is what the rest waited for"]
    assert len(waterfall(Timings(0.0, (Span("load", 0.0, 0.1),)), 80)) == 2


def test_a_narrow_window_has_no_bars() -> None:
    """The figures stay, and long names are cut."""
    assert waterfall(START, 30)[3:6] == [
        "*   build web…   2.40 s",
        "  start cache    0.50 s",
        "* start db       0.40 s",
    ]


SPANS = st.builds(
    lambda name, start, length, critical: Span(name, start, start + length, critical),
    st.sampled_from(["load", "build", "build a", "start a", "health " + "b" * 40]),
    st.floats(0, 100, allow_nan=False),
    st.floats(0, 100, allow_nan=False),
    st.booleans(),
)


@given(st.lists(SPANS, max_size=8), st.floats(0, 50), st.integers(24, 200))
def test_no_line_is_wider_than_the_window(spans: list[Span], seconds: float, width: int) -> None:
    """Each span with a duration has its line, and no line wraps, whatever took long."""
    shown = waterfall(Timings(seconds, tuple(spans)), width)
    table = [line for line in shown[1:] if not line.startswith("most of it")]
    assert len(table) == sum(span.end - span.start >= 0.005 for span in spans)
    assert max(map(len, table), default=0) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_span_with_a_bar_shows_at_least_a_block(width: int) -> None:
    """Even a short span is visible."""
    assert all("█" in line or "░" in line for line in waterfall(START, width)[1:-1])
