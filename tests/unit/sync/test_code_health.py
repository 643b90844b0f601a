"""When an error in a log marks its service as broken, and when the mark is removed."""

from __future__ import annotations

import math

import pytest

from devenv.events import Synced
from devenv.explain.log_lines import LoggedError, read
from devenv.sync.code_health import CodeHealth, CodeWatch, may_mend

TRACEBACK = """Traceback (most recent call last):
  File "/app/main.py", line 63
    def broken(:
SyntaxError: invalid syntax"""
BROKEN = "main.py:63: SyntaxError: invalid syntax"
HEADLESS = TRACEBACK.partition("\n")[2]  # of a program that cannot even be parsed
PLAIN = "ERROR payment failed"
ENDED_NPM = """npm error path /usr/src/app
npm error command failed
npm error signal SIGTERM
npm error command sh -c node server.js
npm error A complete log of this run can be found in: /root/.npm/_logs/0.log
npm ERR! code ELIFECYCLE
npm ERR! errno 1"""
REFUSED = "Error: connect ECONNREFUSED"
CRASHED = "[nodemon] app crashed - waiting for file changes before starting..."


def synced(*paths: str, ms: float = 50.0) -> Synced:
    return Synced("api", len(paths), 0, 1, ms, paths[:5])


# The events with their seconds, and the expected state at given seconds.
Happened = tuple[float, str | Synced]
STORIES: dict[str, tuple[tuple[Happened, ...], dict[float, str]]] = {
    "a broken file": (
        ((0, synced("main.py")), (0.4, TRACEBACK)), {0.3: "", 0.7: BROKEN, 100: BROKEN},
    ),
    "uvicorn exits after the cause": (
        ((0, synced("main.py")), (0.4, f"ERROR:    {TRACEBACK}"), (0.5, "ERROR:    startup failed. Exiting.")),
        {0.7: BROKEN, 100: BROKEN},
    ),
    "a program that fails again and again": (
        ((0, synced("main.py")), (1, HEADLESS), (3, HEADLESS), (14, HEADLESS)), {3.1: BROKEN, 14.1: BROKEN},
    ),
    "a line after a sync": (((0, synced("main.py")), (1, PLAIN)), {2: PLAIN}),
    "the error came before the event of its sync": (((0, TRACEBACK), (0.03, synced("main.py"))), {1: BROKEN}),
    "an error long before a sync": (((0, TRACEBACK), (5, synced("main.py"))), {6: ""}),
    "an error at another time": (((0, synced("main.py")), (30, TRACEBACK)), {31: ""}),
    "a traceback after a start": (((0, "start"), (1, TRACEBACK)), {2: BROKEN}),
    "a line after a start is often a retry": (((0, "start"), (1, PLAIN)), {2: ""}),
    "a line after a sync that restarts": (((0, synced("main.py")), (1, "start"), (2, PLAIN)), {3: PLAIN}),
    "mended": (
        ((0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py"))), {21: BROKEN, 22.9: BROKEN, 23: ""},
    ),
    "mended in another file": (((0, synced("main.py")), (1, TRACEBACK), (20, synced("db.py"))), {23: ""}),
    "a file of another kind mends nothing": (
        ((0, synced("main.py")), (1, TRACEBACK), (20, synced("style.css", "README.md"))), {30: BROKEN},
    ),
    "still broken": (
        ((0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py")), (22, TRACEBACK)), {21: BROKEN, 30: BROKEN},
    ),
    "broken in another way": (
        ((0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py")), (22, PLAIN)), {21: BROKEN, 30: PLAIN},
    ),
    "a slow program is broken again": (
        ((0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py")), (26, TRACEBACK)), {24: "", 27: BROKEN},
    ),
    "loaded": (
        ((0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py")), (20.5, "Application startup complete.")),
        {21: BROKEN, 21.5: ""},
    ),
    "loaded without a sync": (((0, "start"), (1, TRACEBACK), (9, "Listening on port 80")), {9.5: BROKEN, 10: ""}),
    "loaded, and broken at once": (
        ((0, synced("main.py")), (1, TRACEBACK), (9, "\x1b[32mready in\x1b[0m 1 s"), (9.4, TRACEBACK)), {11: BROKEN},
    ),
    "the next error is not complete": (
        ((0, "start"), (1, TRACEBACK), (2, "start"), (3, TRACEBACK.partition("\n")[0])), {3: BROKEN, 4: BROKEN},
    ),
    "a program that waits for a change, and does not notice it": (
        (
            (0, synced("a.py")), (1, f"{TRACEBACK}\n[nodemon] app crashed - waiting for file changes..."),
            (20, synced("a.py")),
        ),
        {30: BROKEN},
    ),
    "a program that waits for a change, and starts again": (
        (
            (0, synced("a.py")), (1, TRACEBACK), (1.1, "Failed. Waiting for file changes before restarting..."),
            (20, synced("a.py")), (20.1, "Restarting 'index.js'"),
        ),
        {23: BROKEN, 23.2: ""},
    ),
    "a program that ends long after its start, and waits for a change": (
        (
            (0, "start"), (30, "Error: connect ECONNREFUSED\n    at afterConnect (node:net:1638:16)"),
            (30.1, "[nodemon] app crashed - waiting for file changes before starting..."), (40, "a line of npm"),
            (50, "[nodemon] restarting due to changes..."), (51, TRACEBACK), (60, "Restarting 'index.js'"),
        ),
        {29: "", 30: "", 31: REFUSED, 45: REFUSED, 52: BROKEN, 60: BROKEN, 64: BROKEN},
    ),
    "a program that ended without a word": (
        ((0, "start"), (30, CRASHED), (50, "[nodemon] restarting due to changes...")), {52: CRASHED, 53: ""},
    ),
    "a program that ended well, and waits": (
        ((0, "start"), (30, "[nodemon] clean exit - waiting for changes before restart")), {31: ""},
    ),
    "a reloader that notices a save in a bind mount": (
        (
            (0, "start"), (100, "WARNING:  StatReload detected changes in 'main.py'. Reloading..."), (102, TRACEBACK),
            (200, " * Detected change in '/app/main.py', reloading"), (202, TRACEBACK),
            (300, "/app/main.py changed, reloading."),
        ),
        {101: "", 103: BROKEN, 199: BROKEN, 204: BROKEN, 302: BROKEN, 303.1: ""},
    ),
    "mended, and broken in another way": (
        (
            (0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py")), (30, synced("main.py")), (31, PLAIN),
            (40, synced("main.py")), (42, PLAIN),
        ),
        {24: "", 30.1: "", 31.1: "", 31.3: PLAIN, 42.9: PLAIN, 50: PLAIN},
    ),
    "recovered": (((0, synced("main.py")), (1, TRACEBACK), (5, "recovered")), {5: ""}),
    "restarted well": (((0, synced("main.py")), (1, TRACEBACK), (15, "start")), {16: BROKEN, 18: ""}),
    "crashes again and again": (
        ((0, "start"), (1, TRACEBACK), (2, "start"), (2.5, TRACEBACK), (4, "start")), {3: BROKEN, 5: BROKEN},
    ),
    "what follows an error tells less": (
        ((0, synced("main.py")), (1, TRACEBACK), (1.1, "npm ERR! Lifecycle script `dev` failed")), {2: BROKEN},
    ),
    "what npm says of a program that a restart ends": (
        ((0, synced("app.js")), (0.5, ENDED_NPM), (1, "start")), {3: ""},
    ),
    "what npm says after the reason": (
        ((0, synced("app.js")), (1, "sh: 1: tsc: not found"), (1.1, ENDED_NPM)), {2: "sh: 1: tsc: not found"},
    ),
    "what npm itself does not find": (
        ((0, synced("app.js")), (1, 'npm error Missing script: "dev"')), {2: 'npm error Missing script: "dev"'},
    ),
    "what comes before tells less": (
        ((0, synced("main.py")), (1, "[nodemon] app crashed"), (1.1, TRACEBACK)), {2: BROKEN},
    ),
    "as far as a place": (((0, synced("main.py")), (1, "\n".join(TRACEBACK.splitlines()[:3]))), {2: ""}),
    "a start after a start": (((0, "start"), (2, "start"), (3, PLAIN)), {4: ""}),
    "a sync that began before the mark": (
        ((0, synced("main.py")), (1, TRACEBACK), (1.03, synced("main.py"))), {4: BROKEN, 4.1: ""},
    ),
    "another error just after": (
        ((0, synced("main.py")), (1, TRACEBACK), (2, TRACEBACK.replace("63", "64"))), {3: BROKEN.replace("63", "64")},
    ),
    "a program that waits for a change, and says more": (
        ((0, synced("a.py")), (1, f"{TRACEBACK}\nwaiting for changes"), (1.2, "bye")), {9: BROKEN},
    ),
    "not complete": (((0, synced("main.py")), (1, "Traceback (most recent call last):")), {2: ""}),
}  # fmt: skip


def told(happened: tuple[Happened, ...], until: float) -> CodeHealth:
    health, error = CodeHealth(), None
    for at, what in happened:
        if at > until:
            break
        health = health.at(at)
        if isinstance(what, Synced):
            health = health.synced(what, at)
        elif what == "start":
            health = health.started(at)
        elif what == "recovered":
            health = health.recovered()
        else:
            for line in what.splitlines():
                _, error = read(line, error)
                health = health.logged(line, error, at)
    return health


@pytest.mark.parametrize("name", STORIES)
def test_mark_at_each_moment(name: str) -> None:
    """The mark at each moment."""
    happened, expected = STORIES[name]
    assert {at: told(happened, at).shown(at) for at in expected} == expected


@pytest.mark.parametrize("name", STORIES)
def test_changes_happen_only_when_due(name: str) -> None:
    """Between two moments at which something happens or is due, nothing changes."""
    happened, _ = STORIES[name]
    health = told(happened, math.inf)
    now, seen = happened[-1][0], []
    while (then := health.due(now)) < math.inf:
        assert health.shown(now) == health.shown((now + then) / 2)
        seen.append(health.shown(then))
        now = then
    assert health.shown(now) == health.shown(1e6)
    assert len(seen) <= 2


def test_a_failed_service_shows_its_last_error() -> None:
    """It is shown until the service is well again."""
    health = told(((0, PLAIN),), 0)
    assert (health.shown(99), health.shown(99, is_bad=True)) == ("", PLAIN)
    assert health.recovered().shown(99, is_bad=True) == ""
    assert told(((0, "start"), (1, PLAIN), (9, "bye")), 9).shown(99, is_bad=True) == PLAIN


def test_a_failed_service_shows_no_error_that_a_sync_fixed() -> None:
    """If it is killed later, that was another reason."""
    fixed = told(((0, synced("main.py")), (1, TRACEBACK), (20, synced("main.py"))), 20)
    assert [fixed.shown(now, is_bad=True) for now in (22, 24)] == [BROKEN, ""]


@pytest.mark.parametrize(
    ("place", "event", "expected"),
    [
        ("main.py:3", synced("a/main.py"), True), ("main.py:3", synced("b.py"), True),
        ("main.py:3", synced("b.css"), False), ("App.vue:3", synced("b.ts"), True), ("", synced("b.css"), True),
        ("main.py:3", synced(*map(str, range(9))), True), ("main.py:3", Synced("api", 0, 1, 0, 1.0, ("b.py",)), True),
    ],
)  # fmt: skip
def test_syncs_that_may_fix_an_error(place: str, event: Synced, *, expected: bool) -> None:
    """A file of that kind; any, if the error names none or the event not all."""
    assert may_mend(event, LoggedError("x", place)) is expected


def test_marks_of_services_are_separate() -> None:
    """Each has its own mark; a line that changes nothing says so."""
    watch = CodeWatch()
    watch.synced(synced("main.py"), 0.0)
    error = LoggedError("x", "main.py:1")
    assert not watch.logged("web", "x", error, 1.0)
    assert watch.logged("api", "x", error, 1.0)
    assert not watch.logged("api", "fine", None, 1.1)
    assert watch.due(("api", "web"), 1.1) == 1.2
    assert (watch.of("api").shown(2.0), watch.of("web").shown(2.0)) == ("main.py:1: x", "")
    watch.started("api", 5.0)
    assert watch.due(("api",), 5.0) == 8.0
    watch.recovered("api")
    assert watch.due(("api",), 5.0) == math.inf
