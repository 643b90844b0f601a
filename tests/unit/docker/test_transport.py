"""Requests to an engine in memory, and what their failures become."""

from __future__ import annotations

import contextlib

import pytest

from devenv.docker.transport import CallError
from devenv.errors import EngineError
from support.engine import Fails, MemoryEngine, MemoryHost

pytestmark = pytest.mark.anyio


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine(MemoryHost())


@pytest.mark.parametrize(
    ("status", "reason", "absent"),
    [
        (404, "any", True),
        (500, "No such container: x", True),
        (500, "lstat /a/b: not a directory", True),
        (409, "volume x not found", True),
        (500, "command not found", False),
        (409, "in use", False),
    ],
)
def test_an_object_that_is_gone(status: int, reason: str, absent: bool) -> None:
    """Engines and versions differ in the code."""
    error = CallError(status, reason, "removing")
    assert (error.absent, error.message) == (absent, f"removing: {reason}")


@pytest.mark.parametrize(
    ("status", "reason", "expectation"),
    [
        (404, "", contextlib.nullcontext()),
        (409, "removal of container x is already in progress", contextlib.nullcontext()),
        (409, "in use", pytest.raises(CallError, match="in use")),
    ],
)
async def test_removal_of_a_missing_object_succeeds(
    engine: MemoryEngine, status: int, reason: str, expectation: contextlib.AbstractContextManager[object]
) -> None:
    engine.faults.on("DELETE", Fails(status, reason))
    with expectation:
        await engine.remove("containers/x", "removing")


async def test_stream_waits_for_its_consumer(engine: MemoryEngine) -> None:
    taken: list[bytes] = []

    async def take(chunk: bytes) -> None:
        taken.append(chunk)

    await engine.stream("GET", "_ping", "asking", take)
    await engine.stream("GET", "_ping", "asking", taken.append)
    assert taken == [b"OK", b"OK"]


async def test_an_error_has_the_engines_reason(engine: MemoryEngine) -> None:
    engine.faults.on("GET _ping", Fails(507, "no space left"))
    with pytest.raises(CallError, match="asking: no space left") as raised:
        await engine.call("GET", "_ping", "asking")
    assert raised.value.status == 507


async def test_an_answer_of_another_shape(engine: MemoryEngine) -> None:
    """It is an error of the engine, not of ours."""
    with pytest.raises(EngineError, match="asking: unexpected answer from the engine at"):
        await engine.ask("info", "asking", lambda shown: shown["None"])


async def test_a_listing_that_is_null(engine: MemoryEngine) -> None:
    """Some engines answer null for an empty list."""

    async def ask(_path: str, _what: str, read: object, _query: object) -> object:
        assert callable(read)
        return read(None)

    engine.ask = ask  # type: ignore[method-assign, assignment]
    assert await engine.ask_all("containers/json", "listing", dict) == []
