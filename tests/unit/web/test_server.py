"""The server of the page, over real sockets, for a run on an engine in memory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from devenv.events import Event, Log, Problem, Synced
from devenv.run.active.feed import Feed
from devenv.run.page import PageSource
from devenv.web import access, http, open_pages, server, static
from devenv.web.server import RunPage
from devenv.web.static import StaticFile
from support.active import Active, active
from support.memory.machine import Machine
from support.one_service import until
from support.page import Address, Answer, asked, status

pytestmark = pytest.mark.anyio

SHELL = {"/": StaticFile("text/html", b"<html></html>")}


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of one file."""
    monkeypatch.setattr(static, "files", lambda: SHELL)


@dataclass
class Served:
    """A page that is served, and the run that it shows."""

    run: Active
    feed: Feed
    page: RunPage
    events: list[Event]

    @property
    def address(self) -> Address:
        """The address of the page."""
        return Address(self.page.address(is_read_only=False).url)


@contextlib.asynccontextmanager
async def served(machine: Machine) -> AsyncIterator[Served]:
    """The page of a run with one service."""
    async with active(machine, machine.site("shop", web={})) as run, anyio.create_task_group() as tasks:
        await run.up()
        events: list[Event] = []
        feed = Feed(events.append)
        page = RunPage(PageSource(run.project.volumes.volume_transfer.run, run.project, feed, feed.emit))
        await tasks.start(_serve, page)
        yield Served(run, feed, page, events)
        tasks.cancel_scope.cancel()


async def _serve(page: RunPage, *, task_status: Any) -> None:
    await page.serve(task_status=task_status)


async def until_type(answer: Answer, kind: str) -> list[dict[str, Any]]:
    """The messages of the stream until one of this type has come."""
    messages = []
    with anyio.fail_after(20):
        async for message in answer.messages():
            messages.append(message)
            if message["type"] == kind:
                break
    return messages


async def test_a_stream_has_what_was_and_what_comes(machine: Machine) -> None:
    """`hello` comes first; events follow while the connection is open."""
    async with served(machine) as its:
        its.feed.emit(Log("web", "one"))
        async with asked(its.address, "POST", access.STREAM) as answer:
            assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
            messages = await until_type(answer, "log")
            assert [message["type"] for message in messages] == ["hello", "state", "timeline", "log"]
            assert (messages[0]["project"], messages[0]["readOnly"]) == ("shop", False)
            its.feed.emit(Synced("web", 1, 0, 10, 2.0, ("a.js",)))
            (*_, timeline) = await until_type(answer, "timeline")
            assert [item["kind"] for item in timeline["items"]] == ["save", "sync"]


async def test_a_run_that_ends_says_so(machine: Machine) -> None:
    """The last message of a stream."""
    async with contextlib.AsyncExitStack() as stack:
        async with served(machine) as its:
            answer = await stack.enter_async_context(asked(its.address, "POST", access.STREAM))
            await until_type(answer, "timeline")
        *_, ended = [message async for message in answer.messages()]
        assert ended == {"type": "ended", "reason": "it was stopped", "goesOn": False}


async def test_actions_are_those_of_the_live_view(machine: Machine) -> None:
    """A restart restarts the container, and its end is a message; a second page may only look."""
    async with served(machine) as its, asked(its.address, "POST", access.STREAM) as answer:
        reader = Address(its.page.address(is_read_only=True).url)
        body = json.dumps({"verb": "restart", "service": "web"}).encode()
        assert await status(reader, "POST", access.ACTION, body) == 403
        assert await status(its.address, "POST", access.ACTION, b'{"verb": "rub", "service": "web"}') == 400
        assert await status(its.address, "POST", access.ACTION, b'{"verb": "stop", "service": "gone"}') == 409
        await until_type(answer, "state")
        assert await status(its.address, "POST", access.ACTION, body) == 200
        (*_, done) = await until_type(answer, "done")
        assert done == {"type": "done", "verb": "restart", "service": "web", "error": ""}


async def test_the_tokens_of_actions_and_of_readers_differ(machine: Machine) -> None:
    """Each is given out again; a page says which it is."""
    async with served(machine) as its:
        reader = Address(its.page.address(is_read_only=True).url)
        assert its.page.address(is_read_only=True).url == reader.url
        assert reader.token != its.address.token
        async with asked(reader, "POST", access.STREAM) as answer:
            hello, *_ = await until_type(answer, "state")
            assert hello["readOnly"] is True


async def test_an_address_that_works_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leads to the page with its token; neither a second time nor later, and no other address does."""
    async with served(machine) as its:
        first, second = (its.page.address(is_read_only=True) for _ in range(2))
        assert first.once != second.once
        for expected in (303, 404):
            async with asked(its.address, "GET", first.once.removeprefix(its.address.origin), None) as answer:
                assert answer.status == expected
                assert answer.headers.get("location") == (
                    "/#" + Address(first.url).token if expected == 303 else None
                )
        assert await status(its.address, "GET", "/open/", None) == 404
        monkeypatch.setattr(server, "OPENS", -1.0)
        late = its.page.address(is_read_only=True).once
        assert await status(its.address, "GET", late.removeprefix(its.address.origin), None) == 404


async def test_the_state_is_dropped_when_no_page_is_open(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the run is not followed any more; a page that opens later works."""
    monkeypatch.setattr(open_pages, "UNUSED", 0.05)
    async with served(machine) as its:
        for _ in range(2):
            async with asked(its.address, "POST", access.STREAM) as answer:
                await until_type(answer, "timeline")
                assert its.feed.is_followed
            await until(lambda: not its.feed.is_followed)


async def test_an_action_ends_although_its_page_was_closed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild may take longer than the state is kept without a page."""
    monkeypatch.setattr(open_pages, "UNUSED", 0.02)
    async with served(machine) as its:
        goes_on, ended = anyio.Event(), anyio.Event()

        async def restart(_: str) -> None:
            await goes_on.wait()
            ended.set()

        monkeypatch.setattr(its.run.project.actions, "restart", restart)
        await until_known(its)
        body = b'{"verb": "restart", "service": "web"}'
        assert await status(its.address, "POST", access.ACTION, body) == 200
        await anyio.sleep(0.2)
        assert its.feed.is_followed
        goes_on.set()
        with anyio.fail_after(20):
            await ended.wait()
        await until(lambda: not its.feed.is_followed)


async def until_known(its: Served) -> None:
    """Wait until the page knows the services."""
    async with asked(its.address, "POST", access.STREAM) as answer:
        await until_type(answer, "timeline")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 2000, b"\xff"])
async def test_a_body_that_is_no_object(machine: Machine, body: bytes) -> None:
    """It is refused; an empty body is an empty object."""
    async with served(machine) as its:
        assert await status(its.address, "POST", access.ACTION, body) == 400


async def test_limits(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is too long or too slow, a head that is too long, or that never ends: no connection stays."""
    monkeypatch.setattr(http, "PATIENCE", 0.1)
    async with served(machine) as its:
        assert await status(its.address, "POST", access.ACTION, b" " * (http.BODY + 1)) == 413
        assert await status(its.address, "POST", access.ACTION, b"{", content_length="100") == 408
        assert await status(its.address, "GET", "/", None, x="y" * (3 * http.HEAD)) == 431
        async with await anyio.connect_tcp("127.0.0.1", its.address.port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n")
            with anyio.fail_after(20), contextlib.suppress(anyio.EndOfStream):
                assert b" 408 " in await stream.receive()


async def test_a_bug_in_a_request_ends_no_run(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, and says what happened."""
    async with served(machine) as its:

        def fail(*_: object) -> None:
            raise KeyError("planted")

        monkeypatch.setattr(access, "refusal", fail)
        assert await status(its.address, "GET", "/", None) == 500
        monkeypatch.undo()
        monkeypatch.setattr(static, "files", lambda: SHELL)
        assert await status(its.address, "GET", "/", None) == 200
        (problem,) = [event for event in its.events if isinstance(event, Problem)]
        assert "this is a bug" in problem.message


async def test_earlier_lines_come_from_the_engine(machine: Machine) -> None:
    """Those that the page has are not among them."""
    async with served(machine) as its, asked(its.address, "POST", access.EARLIER) as answer:
        found = json.loads(await answer.body())
        assert found["source"] == "this run"
        assert all(number < 0 for number, *_ in found["lines"])


async def test_a_report_has_the_messages_of_a_page(machine: Machine) -> None:
    """Also while no page is open."""
    async with served(machine) as its:
        its.feed.emit(Log("web", "one"))
        messages = [json.loads(line) async for line in its.page.report()]
        assert [message["type"] for message in messages][:3] == ["hello", "state", "timeline"]
        assert [line[4] for line in messages[-1]["lines"]][-1] == "one"
