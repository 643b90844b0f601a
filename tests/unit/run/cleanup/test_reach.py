"""The end of a run on another machine's engine, which may not answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError
from devenv.events import Event, Notice
from devenv.run.cleanup import reach
from devenv.run.cleanup.reach import while_reachable

pytestmark = pytest.mark.anyio


@dataclass
class FarEngine:
    """An engine that answers each question as `answers` says; the last for ever. None: it is silent."""

    answers: list[bool | None]
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("ssh://far"))
    asked: list[float] = field(default_factory=list)
    dropped: int = 0

    async def drop_connections(self) -> None:
        """Count the call."""
        self.dropped += 1

    async def call(self, method: str, path: str, action: str, *, total: float) -> bytes:
        """Answer `GET _ping`."""
        assert (method, path, action) == ("GET", "_ping", reach.ACTION)
        self.asked.append(total)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            await anyio.sleep(total)
        if not answer:
            raise EngineError("no answer")
        return b"OK"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of hundredths of a second."""
    for name, seconds in {"WAIT": 0.2, "WAIT_LOST": 0.05, "PAUSE": 0.02, "SAY_AFTER": 0.03,
                          "ASK_EVERY": 0.01, "SILENT": 0.02}.items():  # fmt: skip
        monkeypatch.setattr(reach, name, seconds)


@dataclass
class Ending:
    """Ends a run: `done` once the work is over, which waits for `goes_on`."""

    engine: FarEngine
    done: bool = False
    events: list[Event] = field(default_factory=list)
    hurry: anyio.Event = field(default_factory=anyio.Event)
    goes_on: anyio.Event = field(default_factory=anyio.Event)

    async def work(self) -> str:
        """Wait, and be done."""
        await self.goes_on.wait()
        self.done = True
        return "ended"

    async def end(self, *, is_lost: bool = False) -> str:
        """End the run."""
        with anyio.fail_after(10):
            engine = cast("Engine", self.engine)
            return await while_reachable(engine, self.work, self.events.append, self.hurry, is_lost=is_lost)


def ending(*answers: bool | None, waits: bool = False, **more: Any) -> Ending:
    """An ending on an engine with these answers; `waits`: its work does not end by itself."""
    made = Ending(FarEngine([*answers], **more))
    if not waits:
        made.goes_on.set()
    return made


async def test_an_engine_on_this_machine_is_not_asked() -> None:
    """It is there, or a call of the teardown says that it is not."""
    run = ending(False, endpoint=Endpoint("unix:///x"))
    assert await run.end() == "ended"
    assert (run.engine.asked, run.engine.dropped, run.events) == ([], 0, [])


@pytest.mark.parametrize("before", [[], [False], [False, False]])
async def test_a_connection_that_is_back_soon_is_used(before: list[bool]) -> None:
    """Open connections are closed first: after a change of address, they are silent."""
    run = ending(*before, True)
    assert await run.end() == "ended"
    assert run.engine.dropped == 1
    assert len(run.engine.asked) >= len(before) + 1


@pytest.mark.parametrize("answer", [False, None])
async def test_an_engine_that_does_not_answer_is_left_to_the_guardian(answer: bool | None) -> None:
    """It is said that the command waits, and how not to; nothing is begun."""
    run = ending(answer)
    with pytest.raises(EngineError):
        await run.end()
    assert not run.done
    assert run.events == [Notice("waiting for far to answer; Ctrl-C again leaves the rest to the guardian")]
    assert len(run.engine.asked) > 1 or answer is None


async def test_an_engine_that_was_silent_before_is_asked_once() -> None:
    """The command is over at once if the attempt fails."""
    run = ending(False)
    with pytest.raises(EngineError):
        await run.end(is_lost=True)
    assert run.engine.asked == [reach.WAIT_LOST]
    back = ending(True)
    assert await back.end(is_lost=True) == "ended"


@pytest.mark.parametrize(("last", "is_done"), [(None, False), (True, True)])
async def test_a_second_signal_ends_the_wait(last: bool | None, is_done: bool) -> None:
    """The engine is asked once more: the signal may have come before the wait."""
    run = ending(None, last)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set_soon, run.hurry)
        if is_done:
            assert await run.end() == "ended"
        else:
            with pytest.raises(EngineError):
                await run.end()
    assert run.engine.asked[1:2] == [reach.WAIT_LOST]
    assert run.done is is_done


async def _set_soon(event: anyio.Event) -> None:
    await anyio.sleep(0.02)
    event.set()


@pytest.mark.parametrize("answers", [[True, False], [True, True, True, None]])
async def test_an_engine_that_is_lost_amid_the_teardown_ends_it(answers: list[bool | None]) -> None:
    """After two questions without an answer."""
    run = ending(*answers, waits=True)
    with pytest.raises(EngineError):
        await run.end()
    assert not run.done


async def test_one_question_without_an_answer_is_no_loss() -> None:
    """The next one is answered."""
    run = ending(True, False, True, waits=True)
    async with anyio.create_task_group() as tasks:

        async def go_on() -> None:
            while len(run.engine.asked) < 4:  # noqa: ASYNC110 - the engine tells no event
                await anyio.sleep(0.005)
            run.goes_on.set()

        tasks.start_soon(go_on)
        assert await run.end() == "ended"
