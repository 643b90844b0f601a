"""Events are gathered for the open pages; a page that does not read is left."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from devenv import events as e
from devenv.redact import Redactor
from devenv.web import hub as module
from devenv.web.fold import Fold
from devenv.web.hub import Hub, OpenPage

pytestmark = pytest.mark.anyio


def hub() -> Hub:
    """A hub of a run that has not ended its start."""
    return Hub(Fold(Redactor({})), lambda: {"type": "startup", "seconds": 1.0, "spans": []})


async def taken(page: OpenPage, wanted: str) -> list[dict[str, Any]]:
    """The messages until one of this type has come."""
    messages: list[dict[str, Any]] = []
    with anyio.fail_after(20):
        while not any(message["type"] == wanted for message in messages):
            messages += [json.loads(line) for line in (await page.take()).splitlines()]
    return messages


async def test_lines_are_sent_together_and_in_order() -> None:
    """Far fewer messages than lines; each page gets the same bytes."""
    its, pages = hub(), [OpenPage(lambda: None), OpenPage(lambda: None)]
    its.pages.extend(pages)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(its.run)
        for number in range(2000):
            its.tell(e.Log("web", f"line {number}"), 1.0)
        its.tell(e.Ready("shop", (), 1.0), 2.0)
        first, second = [await taken(page, "startup") for page in pages]
        tasks.cancel_scope.cancel()
    assert first == second
    logs = [message for message in first if message["type"] == "log"]
    assert len(logs) < 10
    lines = [line[4] for message in logs for line in message["lines"] if line[2] == "web"]
    assert lines == [f"line {number}" for number in range(2000)]


async def test_a_hub_without_news_does_nothing() -> None:
    """It sleeps until something happens: no page is sent anything, and no timer runs."""
    its, page = hub(), OpenPage(lambda: None)
    its.pages.append(page)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(its.run)
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(3 * module.GATHER) as scope:
            await page.take()
        assert scope.cancelled_caught
        tasks.cancel_scope.cancel()


def test_a_page_that_does_not_read_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages are not kept without a limit, and the others get theirs."""
    monkeypatch.setattr(module, "BEHIND", 1000)
    left: list[str] = []
    page = OpenPage(lambda: left.append("left"))
    for _ in range(9):
        page.put(b"x" * 100)
    assert left == []
    page.put(b"x" * 200)
    assert left == ["left"]


async def test_a_new_page_begins_where_the_others_are() -> None:
    """What waits is sent to the open pages before the new one gets its history: it gets nothing twice."""
    its, page = hub(), OpenPage(lambda: None)
    its.pages.append(page)
    its.tell(e.Log("web", "one"), 1.0)
    history = its.history()
    lines = [line[4] for message in history if message["type"] == "log" for line in message["lines"]]
    assert lines == ["one"]
    assert [message["type"] for message in await taken(page, "log")] == ["log"]
    assert its.fold.news(with_state=False) == []
