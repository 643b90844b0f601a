"""The log: limited in size, filtered while typing, searched for errors."""

from __future__ import annotations

import pytest

from devenv.bounded_search import BoundedSearch
from devenv.explain.log_lines import level
from devenv.ui.live import log as logbook
from devenv.ui.live.log import Filter, Logbook, LogLine, parse


def book(*lines: tuple[str, str]) -> Logbook:
    log = Logbook()
    for service, line in lines:
        log.add(service, line, level(line))
    return log


def texts(log: Logbook) -> list[str]:
    return [line.text for line in log.shown]


SOME = (("web", "GET /a"), ("db", "FATAL: no such role"), ("web", "warning: old"), ("web", "GET /b"), ("", "synced"))


def test_a_progress_bar() -> None:
    """Of overwritten text, only the last is shown, as in a terminal."""
    bar = "\r".join(f"{percent} % " + "#" * percent for percent in range(101))
    assert texts(book(("web", f"{bar}\r"), ("web", "plain\r"), ("web", "\rbegun again"))) == [
        f"100 % {'#' * 100}", "plain", "begun again",
    ]  # fmt: skip


TRACEBACK = (
    ("web", "Traceback (most recent call last):", "error"), ("db", "fine", ""),
    ("web", '  File "/app/main.py", line 3', "error"), ("web", "", ""), ("web", "    x", "error"),
    ("web", "KeyError: 'a'", "error"), ("web", "Error: b", "error"), ("web", "fine", ""),
    ("web", "Error: c", "error"),
)  # fmt: skip


def test_a_traceback_is_one_error() -> None:
    """All its lines have the level, and the first line begins it; each service has its own."""
    log = Logbook()
    for service, line, known in TRACEBACK:
        log.add(service, line, known)
    assert [line.number for line in log.shown if line.begins] == [1, 7, 9]
    assert +log.errors == {"web": 3}


def test_a_known_level_counts() -> None:
    """It is not read again."""
    log = Logbook()
    log.add("", "Error in the name", "info")
    log.add("web", "Error in the name", "")
    assert [line.level for line in log.shown] == ["info", ""]
    assert not log.errors.total()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", ["GET /a", "FATAL: no such role", "warning: old", "GET /b", "synced"]),
        ("get", ["GET /a", "GET /b"]),
        ("get b", ["GET /b"]),
        ("/a$/", ["GET /a"]),
        ("@web /[ab]$/ get", ["GET /a", "GET /b"]),
        ("@db", ["FATAL: no such role"]),
        ("@d @w", ["GET /a", "FATAL: no such role", "warning: old", "GET /b"]),
        ("@", ["GET /a", "FATAL: no such role", "warning: old", "GET /b", "synced"]),
        ("level:error", ["FATAL: no such role"]),
        ("level:warning", ["FATAL: no such role", "warning: old"]),
        ("/such role/", ["FATAL: no such role"]),
        ("/a", ["GET /a"]),
        ("nothing", []),
    ],
)
def test_filters(typed: str, expected: list[str]) -> None:
    """Words, a regular expression and a level must all match; of several services one is enough."""
    log = book(*SOME)
    log.narrow(parse(typed))
    assert texts(log) == expected
    fresh = Logbook()
    fresh.narrow(parse(typed))
    for service, line in SOME:
        fresh.add(service, line, level(line))
    assert texts(fresh) == expected


@pytest.mark.parametrize("typed", ["/(/", "level:loud", "level:", "/(/ level:loud"])
def test_invalid_filter_shows_its_error(typed: str) -> None:
    """An invalid filter shows its fault and hides nothing."""
    assert parse(typed).fault
    assert parse(typed).takes(LogLine(1, "web", "x"))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("a B", ["a", "A", "b"]), ("/b|$/", ["", "b"]), ("/x*/ a", [*[""] * 5, "a", "A"]),
        ("@web level:error", []),
    ],
)  # fmt: skip
def test_places_of_matches(typed: str, expected: list[str]) -> None:
    """All matches of each word and expression are found, in any case; an empty match has no effect."""
    assert sorted("a bA"[begin:end] for begin, end in parse(typed).places("a bA")) == sorted(expected)


def test_clearing_the_filter_shows_all_lines() -> None:
    """Without a filter all lines are shown again, in order."""
    log = book(*SOME)
    log.narrow(parse("get"))
    log.narrow(Filter())
    assert texts(log) == [line for _, line in SOME]
    assert [line.raw for line in log.recent(2)] == ["GET /b", "synced"]


def test_a_flood_is_bounded_and_leaves_other_services_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest lines of the service with most lines are dropped first: the only line of a quiet service stays."""
    monkeypatch.setattr(logbook, "KEPT", 100)
    log = book(("quiet", "the one"), *(("loud", str(i)) for i in range(1000)))
    kept = [line.raw for line in log.recent(1000)]
    assert kept == ["the one", *(str(i) for i in range(901, 1000))]


def test_size_counts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The length of a line and the sum of all lines are limited."""
    monkeypatch.setattr(logbook, "BUDGET", 20_000)
    log = book(*(("web", "x" * 100_000) for _ in range(50)))
    lines = log.recent(100)
    assert {len(line.raw) for line in lines} == {logbook.LONGEST}
    assert len(lines) == 20_000 // (logbook.LONGEST + logbook.OVERHEAD)


def test_scrolling() -> None:
    """The position is a line, or none at the end."""
    log = book(*(("web", str(i)) for i in range(1, 11)))
    assert log.newest == 10
    assert log.step(None, -3) == 7
    assert log.step(7, -100) == 1
    assert log.step(7, 2) == 9
    assert log.step(7, 3) is None
    assert log.below(7) == 3
    assert log.below(0) == 10
    assert [line.number for line in log.above(3)] == [3, 2, 1]
    assert Logbook().step(None, 1) is None
    assert Logbook().newest is None


def test_last_matching_line_is_found() -> None:
    """The search begins at the end, or at a known line and goes up."""
    log = book(("web", "Error 1"), ("web", "fine"), ("web", "Error 2"))

    def wanted(line: LogLine) -> bool:
        return line.level == "error"

    assert log.last(wanted) == 3
    assert log.last(wanted, 3) == 1
    assert log.last(wanted, 1) is None


@pytest.mark.parametrize("first", [True, False])
def test_a_filter_that_never_ends_is_given_up(*, first: bool) -> None:
    """The filter applies to lines before and after: its mistake is shown, and no line is hidden."""
    lines = (("web", "GET /a"), ("web", "a" * 40 + "b"))
    log = book(*lines) if first else Logbook()
    log.narrow(parse("/(a+)+$/", BoundedSearch))
    for service, line in lines if not first else ():
        log.add(service, line)
    assert log.filter.fault.startswith("/(a+)+$/ takes too long")
    assert (log.filter.typed, texts(log)) == ("/(a+)+$/", [line for _, line in lines])


UVICORN = 'INFO:     127.0.0.1:39244 - "GET /health HTTP/1.1" 200 OK'
NGINX = '127.0.0.1 - - [01/Dec/2026:06:00:00 +0000] "GET / HTTP/1.1" 200 615 "-" "curl/8.14.1" "-"'


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ("/health", UVICORN, True),
        ("/health", UVICORN.replace("GET", "HEAD"), True),
        ("/health", UVICORN.replace("/health", "/health?full=1"), True),
        ("/health", "GET /health 200 1.234 ms - 15", True),
        ("/health", '{"req":{"method":"GET","url":"/health","addr":"127.0.0.1"},"res":{"statusCode":200}}', True),
        ("/health", '::1 - - "GET /health HTTP/1.1" 204 0', True),
        ("/health", '::ffff:127.0.0.1 - - "GET /health HTTP/1.1" 200 2', True),
        ("/", NGINX, True),
        # Another source, another path, a response with an error.
        ("/health", UVICORN.replace("127.0.0.1", "172.18.0.1"), False),
        ("/health", UVICORN.replace("/health", "/healthy"), False),
        ("/health", UVICORN.replace("/health", "/api/health"), False),
        ("/health", UVICORN.replace("GET", "POST"), False),
        ("/health", UVICORN.replace("200 OK", "503 Service Unavailable"), False),
        ("/health", UVICORN.replace("200 OK", "404 Not Found"), False),
        ("/", NGINX.replace("127.0.0.1 -", "172.18.0.1 -"), False),
        ("/", "GET / 200 3 ms", False),
        ("/health", "the health check /health is on", False),
    ],
)  # fmt: skip
def test_access_lines_of_health_checks(path: str, line: str, expected: bool) -> None:
    """Only lines of the check's own requests count, as long as the answer is good."""
    assert logbook.requests(path)(line) == expected


def test_a_line_that_is_removed() -> None:
    """It is in none of the lists, and the others are."""
    log = book(("", "one"), ("web", "two"), ("", "three"))
    for number in (1, 1, 2, 9):
        log.drop(number)
    assert texts(log) == ["two", "three"]
    assert [line.text for line in log.recent(9)] == ["two", "three"]
