"""Lines of logs: of which services, since when, and in which order."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import pytest

from devenv.compose.outline import Selection
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError, UsageError
from devenv.inspect.logs import Listener, LogQuery, LogReader, _after, _follow, _text, logs, since
from devenv.model.containers import Container, Line, line
from devenv.state.run_dir import Run

if TYPE_CHECKING:
    from devenv.docker.client import Engine

NOW = dt.datetime(2026, 11, 29, 12, 0, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("timed", "at", "text"),
    [
        ("2026-11-29T09:40:05.123456789Z a b", "2026-11-29T09:40:05.123456789Z", "a b"),
        ("2026-11-29T09:40:05.5Z ", "2026-11-29T09:40:05.500000000Z", ""),
        ("2026-11-29T09:40:05Z  x", "2026-11-29T09:40:05.000000000Z", " x"),
        ("2026-11-29 no time", "", "2026-11-29 no time"),
        ("", "", ""),
    ],
)
def test_a_line_has_its_time(timed: str, at: str, text: str) -> None:
    """All times have the same number of digits; a text without a time is a line as well."""
    assert line("web", "stdout", timed) == Line(at, "web", "stdout", text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", "2026-11-29 11:58:30"),
        ("10m", "2026-11-29 11:50:00"),
        ("1h30m", "2026-11-29 10:30:00"),
        ("2d", "2026-11-27 12:00:00"),
        ("1.5h", "2026-11-29 10:30:00"),
        ("1m0.5s300ms", "2026-11-29 11:58:59.200000"),
        ("1767182400", "2025-12-31 12:00:00"),
        ("1767182400.250000000", "2025-12-31 12:00:00.250000"),
        ("2026-01-31", f"{dt.datetime(2026, 1, 31).astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"),
        ("2026-01-31T12:00Z", "2026-01-31 12:00:00"),
        ("2026-01-31T12:00:00.5+02:00", "2026-01-31 10:00:00.500000"),
    ],
)
def test_since_is_a_duration_or_a_time(text: str, moment: str) -> None:
    """It is a duration before now, or a time."""
    assert str(since(text, NOW)) == f"{moment}+00:00"


def test_since_without_a_zone_is_local() -> None:
    """As the clock on the wall."""
    assert since("2026-01-31T12:00", NOW) == dt.datetime(2026, 1, 31, 12).astimezone()


@pytest.mark.parametrize("text", ["", "soon", "10", "m", "-5m", "1.h.", "99999999999d", "2026-13-01"])
def test_an_invalid_time_is_an_error(text: str) -> None:
    """The hint has an example of a valid time."""
    with pytest.raises(UsageError, match="is not a time") as raised:
        since(text, NOW)
    assert "--since 10m" in (raised.value.hint or "")


def test_next_read_begins_after_the_last_line() -> None:
    """A nanosecond later, in the engine's own form; and a moment is written as lines write it."""
    assert _after("1970-01-01T00:01:00.000000009Z") == "60.000000010"
    assert _after("1970-01-01T00:01:00.999999999Z") == "61.000000000"
    assert _text(NOW) == "2026-11-29T12:00:00.000000000Z"


class Heard(Listener):
    """Remembers all."""

    def __init__(self) -> None:
        self.services: list[Collection[str]] = []
        self.lines: list[Line] = []
        self.told: list[str] = []
        super().__init__(self.services.append, self.lines.extend, self.told.append)


@pytest.mark.anyio
async def test_without_an_engine_logs_of_the_last_run_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merged and filtered as ever; following is an error, and so is a run without kept logs."""
    endpoint = f"unix://{tmp_path}/nowhere.sock"
    for name, value in (("DOCKER_HOST", endpoint), ("XDG_STATE_HOME", str(tmp_path / "state"))):
        monkeypatch.setenv(name, value)
    (tmp_path / "compose.yml").write_text("services: {web: {}, db: {}}\n")

    async def heard(*services: str, **more: Any) -> Heard:
        output = Heard()
        await logs(LogQuery(Selection(str(tmp_path), project_name="p"), services, **more), output)
        return output

    with pytest.raises(EngineError, match="cannot reach"):
        await heard()
    folder = Path(Run.open("an engine", Endpoint(endpoint), "p").path, "logs/1")
    folder.mkdir(parents=True)
    (folder / "web@1").write_text("stdout 2026-11-29T09:00:01Z one\nstderr 2026-11-29T09:00:03Z three\n")
    (folder / "old@2").write_text("stdout 2026-11-29T09:00:02Z two\n")
    with pytest.raises(EngineError, match="cannot reach"):
        await heard(follow=True)
    found = await heard()
    assert [(one.service, one.text) for one in found.lines] == [("web", "one"), ("old", "two"), ("web", "three")]
    assert found.services == [{"web", "old"}]
    assert "cannot reach" in found.told[0]
    assert found.told[1].startswith("the last run, which ended ")
    assert [one.text for one in (await heard(since="2026-11-29T09:00:02Z")).lines] == ["two", "three"]
    assert [one.text for one in (await heard("web", tail=1)).lines] == ["three"]
    others = await heard(tail=1, wanted=lambda line: line.text != "three")
    assert [one.text for one in others.lines] == ["one", "two"]
    (folder / "old@2").write_text("stdout 2026-11-29T09:00:02Z Traceback (most recent call last):\n" * 2)
    assert [one.level for one in (await heard()).lines] == ["", "", "", ""]
    assert [one.level for one in (await heard(levels=True)).lines] == ["", "error", "error", ""]
    with pytest.raises(UsageError, match="there is no service `webb`"):
        await heard("webb")


class Mute:
    """An engine with one container whose log cannot be read."""

    def __init__(self) -> None:
        self.containers = SimpleNamespace(list=self.list, log_batches=self.log_batches)

    async def list(self, _: str) -> list[Container]:
        """It runs on."""
        return [Container("1", "shop-web-1", "web", "running", ours=True)]

    async def events(self, _: str) -> AsyncGenerator[dict[str, str], None]:
        """Nothing happens."""
        yield {}
        await anyio.sleep_forever()

    async def log_batches(self, *_: object, **__: object) -> AsyncGenerator[tuple[str, Sequence[str]], None]:
        """It ends at once."""
        nothing: Sequence[tuple[str, Sequence[str]]] = ()
        for entry in nothing:
            yield entry


@pytest.mark.anyio
async def test_unreadable_log_is_read_at_growing_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logging driver that keeps nothing costs next to nothing."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            limit.cancel()
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "sleep", sleep)
    monkeypatch.setattr(anyio, "current_time", lambda: 0.0)
    query = LogQuery(Selection("/shop"), follow=True)
    with anyio.CancelScope() as limit:
        await _follow(cast("Engine", Mute()), "shop", LogReader(query, NOW), Heard())
    assert pauses == [0.5, 1, 2, 4, 8, 8]
