"""What is told of children and calls under `-v` and `-vv`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import anyio
import pytest

from devenv.docker import process, trace
from devenv.docker.http import Client
from devenv.errors import EngineError
from devenv.events import Event, Traced

pytestmark = pytest.mark.anyio


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Traced]]:
    """What is told, of commands and calls."""
    monkeypatch.setenv("SOME_TOKEN", "c4n4ry")
    seen: list[Traced] = []

    def emit(event: Event) -> None:
        assert isinstance(event, Traced)
        seen.append(event)

    trace.listen(emit, calls=True)
    yield seen
    trace.listen(None)


class Answers:
    """An engine that says one thing to everybody, or nothing."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def send(self, data: bytes) -> None:
        """Take it."""

    async def receive(self, _: int) -> bytes:
        """The answer, once."""
        said, self.answer = self.answer, b""
        return said

    async def aclose(self) -> None:
        """Nothing to end."""


def client(answer: bytes) -> Client:
    """Calls to such an engine."""

    async def dial() -> Answers:
        return Answers(answer)

    return Client(dial)


async def test_a_child_is_told_when_it_has_ended(told: list[Traced]) -> None:
    """With its exit code and its time, and without what is secret in it."""
    await process.run([sys.executable, "-c", "raise SystemExit(3)", "--password", "x", "c4n4ry"])
    (one,) = told
    assert (one.kind, one.outcome) == ("command", "exit 3")
    assert one.what.endswith("-c 'raise SystemExit(3)' --password '***' ***")
    assert one.ms > 0


async def test_a_child_that_is_cancelled_or_is_not_there(told: list[Traced]) -> None:
    """That is its outcome."""
    with anyio.move_on_after(0.05):
        await process.run([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(EngineError):
        await process.run(["/not/there"])
    assert [one.outcome for one in told] == ["cancelled", "EngineError"]


async def test_a_call_is_told_when_it_is_answered(told: list[Traced]) -> None:
    """Method, address and status; what goes on for long is told at its beginning, and once."""
    http = client(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    async with http.request("GET", "/v1/x?filters=%7B%22label%22%7D&t=c4n4ry", idle=1):
        assert told == []
    await http.aclose()
    async with client(b"HTTP/1.1 200 OK\r\n\r\n").request("GET", "/events", idle=None):
        assert len(told) == 2
    assert [(one.kind, one.what, one.outcome) for one in told] == [
        ("call", 'GET /v1/x?filters={"label"}&t=***', "404"),
        ("call", "GET /events", "200"),
    ]


async def test_a_call_that_fails(told: list[Traced]) -> None:
    """The kind of error is its outcome."""
    with pytest.raises(ConnectionError):
        async with client(b"").request("GET", "/x", idle=1):
            pass
    assert [one.outcome for one in told] == ["LostError"]


async def test_one_v_leaves_out_calls(told: list[Traced]) -> None:
    """And without any, nobody is told of anything."""
    trace.listen(told.append)  # type: ignore[arg-type] # nothing else comes
    async with client(b"HTTP/1.1 200 OK\r\n\r\n").request("GET", "/x", idle=1):
        pass
    assert told == []
    trace.listen(None)
    await process.run([sys.executable, "-c", ""])
    assert told == []


async def test_what_takes_our_place_is_told_before(told: list[Traced]) -> None:
    """Later nobody could."""
    with pytest.raises(EngineError):
        process.exec_replace(["not-there", "-e", "SOME_KEY=c4n4ry-2"])
    assert [(one.what, one.outcome) for one in told] == [("not-there -e 'SOME_KEY=***'", "takes over")]
