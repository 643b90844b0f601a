"""When `devenv ps --watch` looks again."""

from __future__ import annotations

# ruff: noqa: D102 - the fake speaks the words of what it stands for
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from devenv.config.load import Selection
from devenv.engine import quick
from devenv.engine.api import Engine
from devenv.errors import EngineError, UsageError
from devenv.lifecycle import pswatch
from devenv.lifecycle.ps import age, ps
from devenv.lifecycle.pswatch import watching
from devenv.model.observed import Container
from devenv.model.standing import Stands

pytestmark = pytest.mark.anyio

NOW = dt.datetime(2026, 11, 29, 12, 0, 0, tzinfo=dt.UTC)
WEB = Container("1", "p-web-1", "web", "running", ours=True, started_at="2026-11-29T11:59:30.123Z")


class FakeEngine:
    """Tells of these actions, one after the other, one a look, and ends; or at the look when it `dies`."""

    def __init__(self, actions: Sequence[str] = (), dies: int = 0) -> None:
        self.actions, self.dies, self.looks = actions, dies, 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def containers(self, _project: str) -> tuple[Container, ...]:
        self.looks += 1
        if self.looks == self.dies:
            raise EngineError("over")
        return (WEB,)

    async def clock(self) -> dt.datetime:
        return NOW

    async def events(self, _project: str) -> AsyncIterator[dict[str, Any]]:
        for action in self.actions:
            looks = self.looks
            yield {"Action": action} if action else {}
            with anyio.move_on_after(0.2):
                while self.looks == looks:  # noqa: ASYNC110 - the world tells no event
                    await anyio.sleep(0.01)
        if self.actions:
            raise EngineError("over")
        await anyio.sleep(60)


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is shown of a project of `web`, `db` and, by its profile, `tool`, until nothing more comes."""
    (tmp_path / "compose.yml").write_text("services: {web: {}, db: {}, tool: {profiles: [x]}}\n")
    monkeypatch.setattr(pswatch, "TOGETHER", 0.0)

    async def run(engine: FakeEngine, *services: str, watch: bool = False, seconds: float = 20) -> list[Stands]:
        monkeypatch.setattr(Engine, "connect", lambda: engine)
        found: list[Stands] = []
        over = pytest.raises(EngineError, match="over") if engine.actions or engine.dies else contextlib.nullcontext()
        with over, anyio.move_on_after(seconds):
            await watching(Selection(str(tmp_path), project_name="p"), services, found.append, watch=watch)
        return found

    return run


async def test_it_is_shown_once(shown: Any) -> None:
    """Services that are on, and those that are named; ages are by the engine's clock."""
    (found,) = await shown(FakeEngine())
    assert [(one.service, one.state, one.age) for one in found.services] == [
        ("web", "running", 30),
        ("db", "absent", None),
    ]
    (found,) = await shown(FakeEngine(), "tool", "web")
    assert [one.service for one in found.services] == ["web", "tool"]
    with pytest.raises(UsageError, match="there is no service `wbe`"):
        await shown(FakeEngine(), "wbe")


async def test_it_is_looked_at_again_when_something_happens(shown: Any) -> None:
    """At the start of the stream, and at what changes a state; what a health check runs is nothing."""
    engine = FakeEngine(["", "die", "exec_create: /check", "exec_die", "health_status: healthy", "top"])
    assert len(await shown(engine, watch=True)) == 4


async def test_nothing_happens_while_nothing_changes(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """But after a while ages are others."""
    assert len(await shown(FakeEngine(), watch=True, seconds=0.5)) == 1
    monkeypatch.setattr(pswatch, "LOOK_AGAIN", 0.05)
    assert len(await shown(FakeEngine(dies=4), watch=True)) == 3


async def test_what_can_be_asked_at_once_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an event loop; where that or the name takes more, nothing is shown yet."""
    (tmp_path / "compose.yml").write_text("services: {web: {}}\n")
    found: list[Stands] = []
    asked: list[str] = []

    def containers(project: str) -> Any:
        asked.append(project)
        return ((WEB,), NOW) if project == "p" else None

    monkeypatch.setattr(quick, "containers", containers)
    assert ps(Selection(str(tmp_path), project_name="p"), (), found.append)
    assert [one.container for one in found[0].services] == ["p-web-1"]
    assert not ps(Selection(str(tmp_path), project_name="q"), (), found.append)
    (tmp_path / "compose.yml").write_text("name: ${NAME}\nservices: {web: {}}\n")
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    assert not ps(Selection(str(tmp_path)), (), found.append)
    assert (asked, len(found)) == (["p", "q"], 1)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("2026-11-29T11:59:00.5Z", 60),
        ("2026-11-29T11:59:00Z", 60),
        ("2026-11-29T12:00:09Z", 0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_age(at: str, seconds: float | None) -> None:
    """What never was has none, and nothing comes from the future."""
    assert age(at, NOW) == seconds
