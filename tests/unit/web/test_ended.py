"""The report about a run that has ended, from what it left on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.events import ServiceState, Synced
from devenv.state.identity import Place
from devenv.state.ledger import Ledger, encode
from devenv.state.run_dir import ENDED, Run
from devenv.web import ended

pytestmark = pytest.mark.anyio

BEGAN = 1_790_000_000.0
ENGINE = Endpoint("unix:///run/memory.sock")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The folder of a run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SHOP_TOKEN", "sesame-4711")
    return Run.open("an engine", ENGINE, "shop")


def leave(run: Run, *events: tuple[float, Any], logs: dict[str, str], began: float = BEGAN) -> None:
    """Write what an ended run leaves."""
    ledger = Ledger("shop", Place("/srv/shop"), "an engine", ENGINE.host, None, began, pid=1)
    Path(run.path, ENDED).write_text(json.dumps(encode(ledger)))
    Path(run.path, "last.json").write_text(
        json.dumps({"v": 1, "timings": {"seconds": 2.0, "spans": []}, "began": began})
    )
    folder = Path(run.path, "logs", f"{began:017.6f}")
    folder.mkdir(parents=True)
    for service, text in logs.items():
        (folder / f"{service}@{'0' * 63}{len(service)}").write_text(text)
    lines = [json.dumps(event.document(at)) for at, event in events]
    Path(run.path, "events.jsonl").write_text("\n".join(["{damaged", *lines]))


LOG = (  # 4 and 6 s after the beginning
    "stdout 2026-09-21T14:13:24.5Z start\nstderr 2026-09-21T14:13:26.5Z ERROR: sesame-4711 is wrong\n"
)


async def test_a_run_in_the_background_is_told_from_its_events_and_logs(run: Run) -> None:
    """A save, the error after it, the states of services, the start; nothing secret; no event of an earlier run."""
    leave(
        run,
        (BEGAN - 60, ServiceState("old", "healthy")),
        (BEGAN + 5, Synced("web", 1, 0, 10, 3.0, ("app.py",))),
        (BEGAN + 7, ServiceState("web", "exited", "with exit code 3")),
        logs={"web": LOG, "db": ""},
    )
    found = await ended.report(run)
    kinds = [message["type"] for message in found]
    assert kinds == ["hello", "state", "timeline", "log", "startup", "ended"]
    hello, state, timeline, log, *_ = found
    assert (hello["project"], hello["folder"], hello["readOnly"]) == ("shop", "/srv/shop", True)
    assert {s["name"]: s["phase"] for s in state["services"]} == {"web": "exited", "db": "absent"}
    assert {"save", "sync", "error"} <= {item["kind"] for item in timeline["items"]}
    assert "start" in [line[4] for line in log["lines"]]
    assert "sesame" not in json.dumps(found)


async def test_a_run_in_the_foreground_leaves_its_logs(run: Run) -> None:
    """They are enough for a report."""
    leave(run, logs={"web": LOG})
    found = await ended.report(run)
    log = next(message for message in found if message["type"] == "log")
    assert [line[2] for line in log["lines"]] == ["web", "web"]


async def test_without_logs_there_is_no_report(run: Run) -> None:
    """Nothing was run here, or nothing is left of it."""
    assert await ended.report(run) == []
    leave(run, logs={})
    assert await ended.report(run) == []
