"""One look around, and why an engine is not reached."""

from __future__ import annotations

import anyio
import pytest

from devenv.compose.resolve import Selection
from devenv.docker.endpoint import Endpoint
from devenv.doctor import probes
from devenv.errors import EngineError

HERE = Selection("/")
HOST = Endpoint("unix:///var/run/docker.sock")


@pytest.mark.anyio
async def test_a_round_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a part might take; what had nothing to look at was not looked at."""
    monkeypatch.setattr(probes, "TOTAL", 0.1)
    round_ = probes._Round(HERE, lambda _: None)

    async def nothing() -> dict[str, object]:
        return {}

    began = anyio.current_time()
    await round_.parts(("machine", 60.0, anyio.sleep_forever), ("project", 60.0, nothing))
    assert anyio.current_time() - began < 5
    assert (round_.late, round_.looked) == (["machine"], [])


@pytest.mark.parametrize(
    ("endpoint", "cause", "code"),
    [
        (HOST, FileNotFoundError(), "engine-missing"),
        (HOST, ConnectionRefusedError(), "engine-stopped"),
        (HOST, PermissionError(), "engine-forbidden"),
        (HOST, TimeoutError(), "engine-silent"),
        (Endpoint("ssh://far.example", "far"), TimeoutError(), "engine-unreachable"),
        (HOST, ValueError(), "engine-unusable"),
        (HOST, None, "engine-unusable"),
    ],
)
def test_why_an_engine_is_not_reached(endpoint: Endpoint, cause: Exception | None, code: str) -> None:
    """It hangs on what lies below the error."""
    error = EngineError("x")
    error.__cause__ = cause
    found = anyio.run(probes.unreached, endpoint, error)
    assert code in (found["connection"].state, *(told for told, _ in found.get("errors", ())))
