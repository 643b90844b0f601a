"""The log of a keeper, and its unsolved problems."""

from __future__ import annotations

import json
from pathlib import Path

from devenv.events import Executed, Log, Notice, Step, Synced, Traced
from devenv.state.event_log import EventLog

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
