"""The state of a run as the page gets it, made of the state that the live view shows. Pure."""

from __future__ import annotations

import re
from typing import Any

from devenv.model.status import BAD, GOOD
from devenv.ui.cells import clean, clean_lines
from devenv.ui.run_state import RunState, ServiceRow

PLACE = re.compile(r"([^\s:]+:\d+)(?=[:\s]|$)")
WORKING = ("starting", "restarting", "created")


def ms(seconds: float) -> int:
    """A time or duration in milliseconds."""
    return round(seconds * 1000)


def hello(
    project: str, folder: str, branch: str, version: str, *, is_read_only: bool, now: float, began: float
) -> dict[str, Any]:
    """The message `hello`."""
    return {
        "type": "hello",
        "project": clean(project),
        "folder": clean(folder),
        "branch": clean(branch),
        "version": version,
        "readOnly": is_read_only,
        "now": ms(now),
        "startedAt": ms(began),
    }


def state(run: RunState) -> dict[str, Any]:
    """The message `state`."""
    ready, step = run.ready, run.step
    return {
        "type": "state",
        "services": [_service(row, run) for row in run.services.values()],
        "problems": [
            {
                "service": problem.event.service or "",
                "path": problem.event.path or "",
                "message": clean_lines(problem.event.message),
                "hint": clean_lines(problem.event.hint or ""),
                "since": ms(problem.at),
            }
            for problem in run.problems.values()
        ],
        "step": {"name": step.name, "detail": run.step_detail} if step else None,
        "ready": {
            "seconds": ready.event.seconds,
            "urls": ready.event.urls,
            "forwarded_from": ready.event.forwarded_from,
        }
        if ready
        else None,
    }


def tone(row: ServiceRow) -> str:
    """`good`, `bad`, `busy` or `idle`."""
    if row.busy:
        return "busy"
    if row.error or row.state in BAD:
        return "bad"
    return "good" if row.state in GOOD else "busy" if row.state in WORKING else "idle"


def _service(row: ServiceRow, run: RunState) -> dict[str, Any]:
    stats, sync, waiting = row.service_stats, row.sync, row.waiting
    place = PLACE.match(row.error)
    nodes = {node.name: node for node in run.project.graph.nodes}
    needs = nodes[row.name].needs if row.name in nodes else ()
    return {
        "name": row.name,
        "phase": row.state or "absent",
        "word": row.word,
        "tone": tone(row),
        "detail": row.detail,
        "error": row.error,
        "place": place[1] if place else "",
        "check": row.check,
        "busy": row.busy,
        "since": ms(row.changed),
        "urls": stats.urls,
        "cpu": stats.cpu,
        "memory": stats.memory,
        "restarts": stats.restarts,
        "pending": stats.pending,
        "built": row.name in run.project.built,
        "needs": [need.service for need in needs],
        "waiting": waiting
        and {
            "detail": clean(waiting.detail),
            "seconds": waiting.seconds,
            "holdsUp": waiting.holds_up,
            "line": clean(waiting.line),
        },
        "sync": sync
        and {
            "at": ms(sync.at),
            "ms": sync.event.ms,
            "files": sync.event.files,
            "deleted": sync.event.deleted,
            "paths": [clean(path) for path in sync.event.paths],
        },
    }
