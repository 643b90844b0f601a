"""Events of child processes and calls with `-v` and `-vv`."""

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
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Traced]]:
    """The events, of commands and calls."""
    monkeypatch.setenv("SOME_TOKEN", "c4n4ry")
    seen: list[Traced] = []

    def emit(event: Event) -> None:
        assert isinstance(event, Traced)
        seen.append(event)

    trace.listen(emit, calls=True)
    yield seen
    trace.listen(None)


class Answers:
    """An engine that answers every request in the same way, or not at all."""

    plain = None

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    async def send(self, data: bytes) -> None:
        """Ignore the request."""

    async def receive(self, _: int) -> bytes:
        """The answer, once."""
        answer, self.answer = self.answer, b""
        return answer

    async def aclose(self) -> None:
        """Nothing is open."""


def client(answer: bytes) -> Client:
    """Calls to such an engine."""

    async def dial() -> Answers:
        return Answers(answer)

    return Client(dial)


async def test_a_child_is_reported_at_its_end(events: list[Traced]) -> None:
    """The report has its exit code and its duration, without secrets."""
    await process.run([sys.executable, "-c", "raise SystemExit(3)", "--password", "x", "c4n4ry"])
    (event,) = events
    assert (event.kind, event.outcome) == ("command", "exit 3")
    assert event.what.endswith("-c 'raise SystemExit(3)' --password '***' ***")
    assert event.ms > 0


async def test_a_child_that_is_cancelled_or_not_installed(events: list[Traced]) -> None:
    """The outcome says so."""
    with anyio.move_on_after(0.05):
        await process.run([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(EngineError):
        await process.run(["/not/there"])
    assert [event.outcome for event in events] == ["cancelled", "EngineError"]


async def test_a_call_is_reported_with_its_answer(events: list[Traced]) -> None:
    """Method, target and status; a long stream is reported once, at its beginning."""
    http = client(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    async with http.request("GET", "/v1/x?filters=%7B%22label%22%7D&t=c4n4ry", idle=1):
        assert events == []
    await http.aclose()
    async with client(b"HTTP/1.1 200 OK\r\n\r\n").request("GET", "/events", idle=None):
        assert len(events) == 2
    assert [(event.kind, event.what, event.outcome) for event in events] == [
        ("call", 'GET /v1/x?filters={"label"}&t=***', "404"),
        ("call", "GET /events", "200"),
    ]


async def test_a_call_that_fails(events: list[Traced]) -> None:
    """The kind of error is its outcome."""
    with pytest.raises(ConnectionError):
        async with client(b"").request("GET", "/x", idle=1):
            pass
    assert [event.outcome for event in events] == ["LostError"]


async def test_calls_need_two_v(events: list[Traced]) -> None:
    """Without `-v` nothing is reported."""
    trace.listen(events.append)  # type: ignore[arg-type] # nothing else comes
    async with client(b"HTTP/1.1 200 OK\r\n\r\n").request("GET", "/x", idle=1):
        pass
    assert events == []
    trace.listen(None)
    await process.run([sys.executable, "-c", ""])
    assert events == []


async def test_a_program_that_replaces_us_is_reported_before(events: list[Traced]) -> None:
    """Afterwards we do not run any more."""
    with pytest.raises(EngineError):
        process.exec_replace(["not-there", "-e", "SOME_KEY=c4n4ry-2"])
    assert [(event.what, event.outcome) for event in events] == [("not-there -e 'SOME_KEY=***'", "takes over")]
