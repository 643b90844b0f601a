"""Records of runs, with a ledger that has just begun."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from devenv.docker.endpoint import Endpoint
from devenv.model.containers import ProjectState
from devenv.state import ledger as ledgers
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run

ENDPOINT = Endpoint("unix:///run/some.sock")
KEY = "id /var/lib/docker"


def opened(project: str = "p", key: str = KEY, endpoint: Endpoint = ENDPOINT) -> Run:
    """The run of the project on an engine."""
    return Run.open(key, endpoint, project)


def begun(project: str = "p", **more: Any) -> Ledger:
    """A new ledger."""
    ledger = ledgers.begin(
        ProjectState(), {}, project=project, place=Place("/p"), engine=KEY, endpoint=ENDPOINT.host, context=None
    )
    return replace(ledger, **more)
