"""The log of a keeper, and its unsolved problems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.events import Event, Executed, Log, Notice, Problem, ServiceState, Solved, Step, Synced, Traced
from devenv.keeper.log import EventLog, Unsolved

SYNCED = Synced("web", 1, 0, 3, 2.0, ("a.py",))


def test_events_are_redacted_lines(tmp_path: Path) -> None:
    """Without lines of containers, progress and traces; every text is without secrets, and short."""
    log = EventLog(str(tmp_path), {"API_TOKEN": "s3cr3t-value"})
    log.write(SYNCED)
    log.write(Executed("web", "curl -H 'x: s3cr3t-value'", 0, "out s3cr3t-value\n" * 1000, 1.0))
    for event in (Log("web", "line"), Step("build", "detail", "x"), Traced("call", "GET", "200", 1.0)):
        log.write(event)
    lines = [json.loads(line) for line in Path(log.path).read_text(encoding="utf-8").splitlines()]
    assert [line["event"] for line in lines] == ["synced", "executed"]
    assert (lines[0]["paths"], lines[0]["v"]) == (["a.py"], 1)
    assert "s3cr3t" not in json.dumps(lines)
    assert len(lines[1]["output"]) <= 2000


def test_the_log_is_bounded(tmp_path: Path) -> None:
    """A full file becomes the older one of two."""
    log = EventLog(str(tmp_path), {}, limit=1000)
    for number in range(100):
        log.write(Notice(f"number {number:03}"))
    files = [Path(log.path), Path(f"{log.path}.1")]
    assert sum(path.stat().st_size for path in files if path.exists()) < 2300
    assert "number 099" in "".join(path.read_text(encoding="utf-8") for path in files if path.exists())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """The keeper goes on without its log."""
    EventLog(str(tmp_path / "missing"), {}).write(SYNCED)


@pytest.mark.parametrize(
    ("events", "newest"),
    [
        ([Problem("no", path="/a")], "no"),
        ([Problem("no", path="/a"), Problem("bad", service="web")], "bad"),
        ([Problem("no", path="/a"), Problem("bad", path="/b"), Problem("no", path="/a")], "no"),
        ([Problem("no", path="/a"), Solved("/a")], ""),
        ([Problem("no", path="/a"), Problem("bad", path="/b"), Solved("/b")], "no"),
        ([Problem("crash", service="web"), ServiceState("web", "healthy")], ""),
        ([Problem("crash", service="web"), ServiceState("web", "started", error="main.py:3")], "crash"),
        ([Problem("crash", service="web"), ServiceState("db", "healthy"), ServiceState("web", "exited")], "crash"),
        ([Problem("crash", service="web"), SYNCED], "crash"),
    ],
)
def test_the_newest_problem_that_is_not_solved(events: list[Event], newest: str) -> None:
    """A problem of a path ends when it is solved, that of a service when the service is up."""
    unsolved = Unsolved()
    changes = [unsolved.note(event) for event in events]
    assert unsolved.newest == newest
    assert changes[0]


def test_a_problem_of_the_whole_run_ends_when_the_run_goes_on() -> None:
    """Such as an engine that could not be reached."""
    unsolved = Unsolved()
    unsolved.note(Problem("no engine"))
    unsolved.note(Problem("no", path="/a"))
    unsolved.recovered()
    assert unsolved.newest == "no"
