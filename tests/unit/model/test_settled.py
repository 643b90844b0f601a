"""When a service has settled: a table of what is known, and what follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devenv.model import settled
from devenv.model.settled import Effect, Facts, Proof, ReloadSigns, Settled, SettledService, Verdict
from devenv.model.status import Phase, Standing

AT = 100.0  # the time of the last effect
NEW = Proof(AT + 5)
UP = Standing("web", Phase.HEALTHY)
RESTARTED = Facts(UP, Effect("restarted", AT), seen=AT + 1, proof=NEW)
SYNCED = replace(RESTARTED, effect=Effect("synced", AT))


def facts(base: Facts = RESTARTED, **changes: Any) -> Facts:
    """The facts with some changes."""
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("known", "after", "expected"),
    [
        (RESTARTED, 6, Verdict("healthy")),
        (facts(is_busy=True), 6, Verdict(waits="changes that are under way")),
        (facts(problem="a.py: disk full"), 6, Verdict(failure="a.py: disk full", is_logged=False)),
        (facts(is_busy=True, problem="a.py: disk full"), 6, Verdict(waits="a.py: disk full")),
        (facts(effect=Effect("restarted", AT, "`make` ended with exit code 2")), 6,
         Verdict(failure="`make` ended with exit code 2", is_logged=False)),
        (facts(effect=Effect("synced", AT, "c.yml:3: exit code 1\n  NameError: x"), error="a.py:1: NameError: x"), 6,
         Verdict(failure="a.py:1: NameError: x")),
        (facts(effect=Effect("synced", AT, "Dockerfile:6: exit code 1"), error="a.py:1: NameError: x"), 6,
         Verdict(failure="Dockerfile:6: exit code 1", is_logged=False)),
        (facts(seen=AT - 1), 6, Verdict(waits="a look at its containers", needs="look")),
        (facts(standing=Standing("web", Phase.COMPLETED)), 6, Verdict("synced")),
        (facts(standing=Standing("web", Phase.STOPPED)), 6, Verdict("synced")),
        (facts(standing=Standing("web", Phase.EXITED, "exit code 1")), 6, Verdict(failure="ended with exit code 1")),
        (facts(standing=Standing("web", Phase.UNHEALTHY)), 6, Verdict("healthy")),
        (facts(error="a.py:1: NameError", error_at=AT + 1), 6, Verdict(failure="a.py:1: NameError")),
        (facts(error="a.py:1: NameError", error_at=AT + 6), 6.1, Verdict(waits="the rest of an error in its log")),
        (facts(error="", error_at=AT + 1), 6, Verdict(waits="the rest of an error in its log")),
        (facts(error="a.py:1: NameError", error_at=AT - 1), 6, Verdict("healthy")),
        (facts(SYNCED, error="a.py:1: NameError", error_at=AT + 0.1), 2, Verdict(failure="a.py:1: NameError")),
        (facts(SYNCED, error="a.py:1: NameError", error_at=AT + 0.1, is_reloader=True), 2.9,
         Verdict(waits="a reload")),
        (facts(SYNCED, error="a.py:1: NameError", error_at=AT + 0.1, is_reloader=True), 3.0,
         Verdict(failure="a.py:1: NameError")),
        (facts(SYNCED, error="a.py:1: NameError", error_at=AT + 0.2, is_reloader=True), 2,
         Verdict(failure="a.py:1: NameError")),
        (facts(SYNCED, error="a.py:1: Error", error_at=AT + 0.1, is_reloader=True, reload=ReloadSigns(AT + 0.5)), 2,
         Verdict("healthy")),
        (facts(SYNCED, error="a.py:1: NameError", error_at=AT + 0.6, reload=ReloadSigns(AT + 0.5)), 2,
         Verdict(failure="a.py:1: NameError")),
        (facts(proof=Proof()), 6, Verdict(waits="its check", needs="proof")),
        (facts(proof=Proof()), 0.01, Verdict(waits="its check")),
        (facts(proof=Proof(AT - 0.1)), 6, Verdict(waits="its check", needs="proof")),
        (facts(proof=Proof(AT + 5, "503")), 6, Verdict(waits="503", needs="proof")),
        (facts(proof=Proof(AT + 5, is_possible=False)), 6, Verdict("restarted")),
        (facts(proof=Proof(AT + 5, is_possible=False), standing=Standing("web", Phase.STARTING)), 6,
         Verdict(waits="starting", needs="look")),
        (facts(SYNCED, proof=Proof(AT + 5, is_possible=False)), 6, Verdict("unverified")),
        (facts(SYNCED, proof=Proof(AT + 5, is_possible=False), reload=ReloadSigns(AT + 0.1, AT + 0.2)), 6,
         Verdict("restarted")),
        (SYNCED, 0.9, Verdict(waits="a reload")),
        (SYNCED, 1.0, Verdict("healthy")),
        (facts(SYNCED, is_reloader=True), 2.9, Verdict(waits="a reload")),
        (facts(SYNCED, is_reloader=True), 3.0, Verdict("healthy")),
        (facts(SYNCED, reload=ReloadSigns(AT + 0.1)), 1.0, Verdict(waits="the end of its reload")),
        (facts(SYNCED, reload=ReloadSigns(AT + 0.1)), 1.1, Verdict("healthy")),
        (facts(SYNCED, seen=AT + 3, reload=ReloadSigns(AT + 3), proof=Proof(AT + 3)), 6,
         Verdict(waits="its check", needs="proof")),
        (facts(SYNCED, seen=AT + 3, reload=ReloadSigns(AT + 3), proof=Proof(AT + 4, is_possible=False)), 5.9,
         Verdict(waits="the end of its reload")),
        (facts(SYNCED, seen=AT + 3, reload=ReloadSigns(AT + 3), proof=Proof(AT + 4, is_possible=False)), 6,
         Verdict("unverified")),
        (facts(SYNCED, seen=AT + 3, reload=ReloadSigns(AT + 3, AT + 2), proof=Proof(AT + 4, is_possible=False)), 6,
         Verdict("unverified")),
        (facts(SYNCED, reload=ReloadSigns(AT + 0.1, AT + 0.2)), 0.3, Verdict("healthy")),
        (facts(SYNCED, reload=ReloadSigns(AT + 0.1, AT + 0.2), proof=Proof(AT + 0.15)), 0.3,
         Verdict(waits="its check", needs="proof")),
        (facts(SYNCED, reload=ReloadSigns(AT + 2, AT + 2), seen=AT + 1), 6,
         Verdict(waits="a look at its containers", needs="look")),
    ],
)  # fmt: skip
def test_verdict(known: Facts, after: float, expected: Verdict) -> None:
    """`after`: seconds since the last effect."""
    assert settled.verdict(known, AT + after) == expected


def test_a_process_that_was_started_after_a_failure_has_nothing_to_do_with_it() -> None:
    """Neither before nor after the next sync; a failure after the start counts."""
    crashed = Effect("synced", AT, "ended with exit code 1", AT + 1)
    assert crashed.started(AT - 5) == crashed
    assert crashed.started(AT + 2) == Effect("restarted", AT + 2, "", AT + 1)
    assert replace(crashed, at=AT + 9).started(AT + 2) == Effect("synced", AT + 9, "", AT + 1)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (facts(SYNCED, proof=Proof(), seen=0.0), Verdict("synced")),
        (facts(is_busy=True), Verdict(waits="changes that are under way")),
        (facts(problem="a.py: disk full"), Verdict(failure="a.py: disk full", is_logged=False)),
    ],
)
def test_only_files_count(known: Facts, expected: Verdict) -> None:
    """With `--synced`, neither a look nor a check is needed."""
    assert settled.synced(known, 0.0) == expected


def test_what_the_log_shows_of_a_reload() -> None:
    """Lines before the last effect do not count; the last line of each kind does."""
    lines = [
        (AT - 9, "WARNING:  WatchFiles detected changes in 'a.py'. Reloading..."),
        (AT + 1, "WARNING:  WatchFiles detected changes in 'b.py'. Reloading..."),
        (AT + 2, "INFO:     Application startup complete."),
        (AT + 3, "[nodemon] restarting due to changes..."),
        (AT + 4, "GET /"),
    ]
    assert settled.reload_shown(lines, AT) == ReloadSigns(AT + 3, AT + 2)
    assert settled.reload_shown(lines[:1], AT) == ReloadSigns()


def test_the_excerpt_of_a_log_is_around_the_message() -> None:
    """Old lines are left out; without the message in the log, the last lines count."""
    lines = [(AT - 1, "SyntaxError: old"), *((AT + n, f"line {n}") for n in range(20))]
    lines[9] = (AT + 8, "SyntaxError: bad")
    shown = settled.excerpt(lines, AT, "a.py:3: SyntaxError: bad")
    assert (shown[0], shown[settled.BEFORE], len(shown)) == ("line 3", "SyntaxError: bad", settled.LINES)
    assert settled.excerpt(lines, AT, "ended with exit code 1") == tuple(f"line {n}" for n in range(10, 20))
    assert settled.excerpt(lines[:2], AT, "x") == ("line 0",)
    assert settled.excerpt([(AT, "\x1b[32mgreen\x1b[0m\r\tbell\a")], AT, "x") == ("green     bell ",)


def test_a_failure_is_explained_by_its_own_lines_or_by_those_of_the_log() -> None:
    """The failure is one line; what a build printed belongs to it, the log of the old container does not."""
    lines = [(AT, "GET /")]
    built = settled.failed(
        "web",
        Verdict(failure="Dockerfile:6: exit code 1\n  no \x1b[1msuch\x1b[0m\tpackage", is_logged=False),
        lines,
        AT,
    )
    assert built == SettledService("web", "failed", "Dockerfile:6: exit code 1", ("  no such    package",))
    assert settled.failed("web", Verdict(failure="exit code 1"), lines, AT).log == ("GET /",)


def test_lines_for_people() -> None:
    """A row for each service, and the log below a failure."""
    answer = Settled(False, 1.0, (SettledService("db", "healthy"), SettledService("api", "failed", "boom", ("one",))))
    assert list(answer.lines) == ["db   healthy", "api  boom", "     | one"]
