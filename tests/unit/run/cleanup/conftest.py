"""A run whose process has died, with a state folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run

NOBODY = 4_000_000  # a pid that no process has


@pytest.fixture
def away(tmp_path: Path) -> Endpoint:
    """An address at which no engine answers."""
    return Endpoint(f"unix://{tmp_path}/engine.sock")


@pytest.fixture
def run(tmp_path: Path, away: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Its folder, with a ledger."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    dead = Run.open("key", away, "shop")
    dead.write(Ledger("shop", Place(str(tmp_path)), "key", away.host, None, 1000.0, NOBODY))
    return dead
