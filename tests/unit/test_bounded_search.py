"""Regular expressions that would never end are stopped; all others are not affected."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv import bounded_search
from devenv.bounded_search import BoundedSearch, matcher
from devenv.docker.endpoint import Endpoint
from devenv.errors import UsageError
from devenv.state.run_dir import Run

ENDLESS = [
    (r"(a+)+$", "a" * 40 + "b"),
    (r"(a|a)*$", "a" * 40 + "b"),
    (r"(?:a|aa)+$", "a" * 60 + "b"),
    (r"(.*)(.*)(.*)(.*)(.*)(.*)x$", "a" * 4000),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60),
    (r"(\w+\s?)+:", "word " * 20),
]


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test finds the timer stopped, and stops it; searches have less time than those of users."""
    monkeypatch.setattr(bounded_search, "TICK", 0.02)
    monkeypatch.setattr(bounded_search, "AT_ONCE", 0.09)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    bounded_search._Timer.is_on = False


@pytest.mark.parametrize(("pattern", "text"), ENDLESS)
def test_endless_search_is_ended(pattern: str, text: str) -> None:
    """Soon after the time is up, with the pattern and what to do."""
    search, began = BoundedSearch(pattern), time.process_time()
    with pytest.raises(UsageError, match=re.escape(f"/{pattern}/ takes too long: 0.1 s for 1 line")) as raised:
        search(text)
    assert "a+ finds the same" in (raised.value.hint or "")
    assert time.process_time() - began < 0.6
    assert BoundedSearch("b")("abc"), "and the next one is as any other"


def test_many_slow_lines_are_too_much_together() -> None:
    """The sum counts: a filter of the live view delays the run for a moment at most."""
    search, began = BoundedSearch(r"(a+)+$", a_line=0.0), time.process_time()
    with pytest.raises(UsageError, match=r"takes too long: 0\.1 s for \d+ lines"):
        any(search("a" * 17 + "b") for _ in range(100_000))
    assert time.process_time() - began < 1


def test_lines_have_their_time() -> None:
    """A pattern that is slow, but not too slow, continues as long as there are lines."""
    search, lines = BoundedSearch(r"(a+)+$", a_line=1.0), 0
    began = time.process_time()
    while time.process_time() - began < 0.3:
        assert not search("a" * 17 + "b")
        lines += 1
    assert search.lines == lines


def test_matches_equal_those_of_re() -> None:
    """Flags and all."""
    assert BoundedSearch("A.b", re.IGNORECASE)("xa\tBx")
    assert not BoundedSearch("A.b")("xa\tBx")
    with pytest.raises(ValueError, match="unterminated subpattern"):
        BoundedSearch("(a")


def test_the_timer_stops_when_nobody_searches() -> None:
    """It starts again with the next search."""
    assert BoundedSearch("a")("a")
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[1] == pytest.approx(bounded_search.TICK)
    began = time.process_time()
    while signal.getitimer(signal.ITIMER_VIRTUAL)[1]:
        assert time.process_time() - began < 5
    with pytest.raises(UsageError):
        BoundedSearch(r"(a+)+$")("a" * 40 + "b")


def test_another_thread_searches_without_a_bound() -> None:
    """The time limit does not work in other threads, but the search does."""
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(BoundedSearch("a")("a") is not None))
    thread.start()
    thread.join()
    assert results == [True]


def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> dict[str, str]:
    """The environment of a project whose last run left these lines, on an engine that is gone."""
    host = f"unix://{tmp_path}/no.sock"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = Path(Run.open("an engine", Endpoint(host), "shop").path, "logs", "0000000005.000000")
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    (folder / "web@1").write_text("".join(f"stdout 2026-11-30T10:00:00Z {line}\n" for line in lines))
    (tmp_path / "compose.yaml").write_text("name: shop\nservices: {web: {image: x}}\n")
    return {**os.environ, "DOCKER_HOST": host}


def test_grep_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`devenv logs --grep` reports a wrong or slow pattern within seconds, and finds matching lines."""
    env = kept(tmp_path, monkeypatch, "fine", "a" * 40 + "b")
    command = [sys.executable, "-m", "devenv", "logs", "--grep"]
    slow = subprocess.run(
        [*command, "/(a+)+$/"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20, check=False
    )
    assert slow.returncode == 2, slow.stderr
    assert "error: /(a+)+$/ takes too long: 0.8 s for 2 lines\n  hint: Patterns such as (a+)+" in slow.stderr
    plain = subprocess.run(
        [*command, "/^f.*e$/"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=20, check=True
    )
    assert plain.stdout == "web │ fine\n"


def test_ctrl_c_ends_a_slow_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C works even if each line is slow, and none is too slow."""
    env = kept(tmp_path, monkeypatch, *["a" * 15 + "b"] * 20_000)
    argv = [sys.executable, "-m", "devenv", "logs", "--grep", "/(a+)+$/"]
    with subprocess.Popen(argv, cwd=tmp_path, env=env, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        child.stderr.readline()  # the message that the engine is gone
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert child.wait(20) == 130
        assert time.monotonic() - began < 5


def test_process_exits_normally_after_a_search() -> None:
    """Python resets signal handlers before it exits, so that the timer must be off by then."""
    code = """
from devenv.bounded_search import BoundedSearch

class Slow:
    def __del__(self):
        for _ in range(12_000_000):
            pass

slow = Slow()
BoundedSearch("a")("a")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        (None, "anything", True),
        ("", "anything", True),
        ("get /API", "x GET /api y", True),
        ("get .api", "GET /api", False),
        ("/GET .*(5\\d\\d)$/", "GET / 503", True),
        ("/GET .*(5\\d\\d)$/", "get / 503", False),
        ("/get .*(5\\d\\d)$/i", "GET / 503", True),
        ("/", "a/b", True),
        ("//", "a/b", False),
        ("STRASSE", "straße", True),
    ],
)
def test_grep(pattern: str | None, text: str, wanted: bool) -> None:
    """A text is found in any case, an expression as it is written."""
    assert matcher(pattern)(text) is wanted


def test_a_broken_expression_is_named() -> None:
    """The error names the mistake, and how to search for the same text."""
    with pytest.raises(UsageError, match=r"not a regular expression: .*missing") as raised:
        matcher("/a(b/")
    assert raised.value.hint == "As plain text, without the slashes: --grep 'a(b'"
