"""Edits of the project's files: which are passed on, and how errors are reported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.errors import ConfigError, EngineError
from devenv.events import Event, Notice, Problem, Solved
from devenv.model.project import Build, Project, Service
from devenv.run.active.reload import Reload

pytestmark = pytest.mark.anyio

FILES = {"compose.yml": "services: {web: {env_file: web.env}}\n", "web.env": "A=1\n"}


class Follower:
    """A project on disk, a load that is played, and everything that was passed on and reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loads = 0
        self.acted: list[tuple[str, ...]] = []
        self.events: list[Event] = []
        self.refusal: str | None = None
        self.is_away = False
        self.meanwhile: Callable[[], None] = lambda: None
        for name, text in FILES.items():
            self.write(name, text)
        self.current = self.project("")
        self.reload = Reload(Selection(str(folder)), self.current, self.events.append, self.act, self.until_back)

    def write(self, name: str, text: str) -> None:
        """Save a file."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def project(self, text: str) -> Loaded:
        """The project whose model is this text."""
        services = (Service("web", build=Build(str(self.folder))),)
        main = str(self.folder / "compose.yml")
        return Loaded(Project("p", str(self.folder), (main,), services), {"text": text})

    async def load(self, _selection: Selection, **_more: object) -> Loaded:
        """Return the content of the files, or raise the error that one of them asks for."""
        self.loads += 1
        text = "\n".join(path.read_text("utf-8") for path in sorted(self.folder.iterdir()))
        await anyio.sleep(0.05)
        self.meanwhile()
        if not (self.folder / "compose.yml").exists():
            raise ConfigError("cannot be read", file="compose.yml")
        if "bad" in text:
            raise ConfigError(text[text.index("bad") :].split()[0], file="compose.yml", line=3)
        return self.project(text)

    async def until_back(self) -> bool:
        """Whether the engine was away until now."""
        was_away, self.is_away = self.is_away, False
        if was_away:
            self.refusal = None
        return was_away

    async def act(self, loaded: Loaded, files: tuple[str, ...]) -> bool:
        """As a project does that is touched by what differs."""
        if self.refusal:
            raise EngineError(self.refusal)
        differs = loaded.model != self.current.model and bool(self.current.model["text"])
        self.current = loaded
        self.acted += [files] if differs else []
        return differs

    def messages(self) -> list[str]:
        """Every message so far."""
        return [event.message for event in self.events if isinstance(event, (Problem, Notice))]

    async def until(self, loads: int) -> None:
        """Returns after so many loads and a pause without another."""
        with anyio.fail_after(10):
            while self.loads < loads:  # noqa: ASYNC110 - the load must not know of tests
                await anyio.sleep(0.02)
        await anyio.sleep(0.3)
        assert self.loads == loads


@pytest.fixture
async def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Follower]:
    """A follower at work that has looked once."""
    started = Follower(tmp_path)
    monkeypatch.setattr(resolve, "load", started.load)
    async with _running(started):
        await started.until(1)
        yield started


@asynccontextmanager
async def _running(follower: Follower) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follower.reload.run)
        yield
        tasks.cancel_scope.cancel()


async def test_only_other_contents_are_read(follower: Follower) -> None:
    """A touch and a save of the same text cost no load; files to come (an override, .dockerignore) do."""
    (follower.folder / "compose.yml").touch()
    follower.write("web.env", FILES["web.env"])
    await follower.until(1)
    follower.write("web.env", "A=2\n")
    await follower.until(2)
    follower.write("compose.override.yml", "x")
    await follower.until(3)
    follower.write(".dockerignore", "x")
    await follower.until(4)
    assert follower.acted == [("web.env",), ("compose.override.yml",), (".dockerignore",)]
    assert follower.messages() == []


async def test_saves_in_quick_succession_are_one_reload(follower: Follower) -> None:
    """Files that are saved together are passed on together."""
    follower.write("web.env", "A=2\n")
    await anyio.sleep(0.03)
    follower.write("compose.yml", f"{FILES['compose.yml']}# more")
    await follower.until(2)
    assert follower.acted == [("compose.yml", "web.env")]


async def test_until_the_files_are_in_force(follower: Follower) -> None:
    """A save just before counts; an invalid state is answered with its error until the files are valid again."""
    for number in range(3):
        follower.write("web.env", f"A={number}\n")
        with anyio.fail_after(10):
            assert await follower.reload.in_force() == ""
        assert f"A={number}" in follower.current.model["text"]
        follower.write("web.env", f"bad{number}")
        with anyio.fail_after(10):
            assert [await follower.reload.in_force() for _ in range(2)] == [f"compose.yml:3: bad{number}"] * 2


async def test_an_invalid_state_is_reported_once(follower: Follower) -> None:
    """Each reason is reported once with file and line, as is its end; nothing is passed on."""
    for number, text in enumerate(["bad1", "bad1 still", "bad2", "bad1"], 2):
        follower.write("compose.yml", text)
        await follower.until(number)
    assert follower.messages() == ["compose.yml:3: bad1", "compose.yml:3: bad2"]
    (follower.folder / "compose.yml").unlink()
    await follower.until(6)
    follower.write("compose.yml", FILES["compose.yml"])
    await follower.until(7)
    assert follower.acted == []
    again = "the project's files are valid again, and nothing has to change"
    assert follower.messages()[2:] == ["compose.yml: cannot be read", again]
    assert {event.path for event in follower.events if isinstance(event, Problem)} == {
        event.path for event in follower.events if isinstance(event, Solved)
    }
    follower.write("compose.yml", "bad1")
    await follower.until(8)
    assert follower.messages()[4:] == ["compose.yml:3: bad1"]


async def test_file_changed_during_the_load_is_read_again(follower: Follower) -> None:
    """A state that has changed by the end of the load may never have been complete: it is not passed on."""

    def save() -> None:
        follower.meanwhile = lambda: None
        follower.write("web.env", "A=3\n")

    follower.meanwhile = save
    follower.write("web.env", "A=2\n")
    await follower.until(3)
    assert len(follower.acted) == 1
    assert "A=3" in follower.current.model["text"]


async def test_an_edit_waits_for_an_engine_that_is_away(follower: Follower) -> None:
    """Its machine is reported by others; once it is back, the edit is put in force without another save."""
    follower.refusal, follower.is_away = "cannot reach the engine", True
    follower.write("web.env", "A=2\n")
    await follower.until(3)
    assert follower.acted == [("web.env",)]
    assert follower.messages() == []


async def test_a_state_that_cannot_be_put_in_force_is_reported(follower: Follower) -> None:
    """The error is reported as a problem of one line; the next save tries again."""
    follower.refusal = "no image"
    follower.write("web.env", "A=2\n")
    await follower.until(2)
    follower.write("web.env", "A=3\n")
    await follower.until(3)
    follower.refusal = None
    follower.write("web.env", "A=4\n")
    await follower.until(4)
    assert follower.messages() == ["no image"]
    assert follower.acted == [("web.env",)]
    follower.refusal = "no port"
    follower.write("web.env", "A=5\n")
    await follower.until(5)
    follower.refusal = None
    (follower.folder / "web.env").touch()
    await follower.until(6)
    assert follower.acted == [("web.env",)] * 2
