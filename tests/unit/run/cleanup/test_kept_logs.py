"""Which logs of the last run are kept, and their sizes."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker.endpoint import Endpoint
from devenv.model.containers import Container
from devenv.run.cleanup import kept_logs
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.state.run_dir import Run
from support.engine import Fault, MemoryEngine, MemoryHost
from support.memory.played import placed

pytestmark = pytest.mark.anyio


PRINTED = int(dt.datetime(2026, 11, 29, 9, 40, tzinfo=dt.UTC).timestamp())


class Printed(MemoryEngine):
    """Returns the same log for every container, and records the calls."""

    def __init__(self, lines: Iterable[str] = ("one",)) -> None:
        super().__init__(MemoryHost())
        self.lines = lines
        self.options: dict[str, Any] = {}
        self.logs, self.containers.logs = self.containers.logs, self._logs  # type: ignore[method-assign]

    async def _logs(self, container: Container, **options: Any) -> AsyncIterator[tuple[str, str]]:
        """The lines, as the engine sends them."""
        self.options = options
        log = [(2 - n % 2, (PRINTED + n % 60) * 10**9, text) for n, text in enumerate(self.lines)]
        placed(self.host, container.service, container.state, id=container.id).log = log
        async for line in self.logs(container, **options):
            yield line


def container(name: str, service: str | None = None, state: str = "exited") -> Container:
    """A container, by default of the service that it is named after."""
    return Container(f"id-{name}", name, name if service is None else service, state, ours=True)


async def kept(folder: Path, *names: str, lines: Iterable[str] = ("one",), began: float = 5.0) -> KeptLogs:
    """Keep the logs of those containers."""
    logs = KeptLogs(str(folder))
    for name in names:
        await logs.keep(Printed(lines), container(name), began)
    return logs


def texts(logs: KeptLogs, began: float | None = None) -> dict[str, list[str]]:
    """The kept texts by service."""
    return {piece.service: [line.text for line in piece.lines()] for piece in logs.pieces(began)[0]}


async def test_kept_logs_are_read_back(tmp_path: Path) -> None:
    """Every line with time and stream, for any text and any name of a service; readable by the user alone."""
    lines = ["", " a  b ", "\x1b[31mre\rd", "ü\\xff", "last"]
    logs = await kept(tmp_path, "..", "we.b_-1", lines=lines)
    assert texts(logs) == {"..": lines, "we.b_-1": lines}
    (first, _), when = logs.pieces(5.0)
    assert [(line.stream, line.at, line.service) for line in first.lines()][:2] == [
        ("stderr", "2026-11-29T09:40:00.000000000Z", ".."),
        ("stdout", "2026-11-29T09:40:01.000000000Z", ".."),
    ]
    assert first.container_id == "id-.."
    assert abs(when - time.time()) < 60
    assert stat.S_IMODE(os.stat(first.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(first.path)).st_mode) == 0o700


async def test_a_run_replaces_what_an_earlier_one_left(tmp_path: Path) -> None:
    """Old logs are removed with the first new log, not before; a run is identified by its begin."""
    logs = await kept(tmp_path, "old", "web", began=5.0)
    assert texts(logs, 6.0) == {}
    assert set(texts(logs, 5.0)) == set(texts(logs)) == {"old", "web"}
    await kept(tmp_path, "web", began=10.0)
    assert texts(logs) == texts(logs, 10.0) == {"web": ["one"]}
    assert texts(logs, 5.0) == {}


async def test_containers_without_logs_keep_nothing(tmp_path: Path) -> None:
    """A container that never started, has no service, or printed nothing; and a disk that refuses."""
    logs = KeptLogs(str(tmp_path))
    engine = Printed()
    await logs.keep(engine, container("a", state="created"), 1.0)
    await logs.keep(engine, container("b", service=""), 1.0)
    await logs.keep(engine, container("c" * 300), 1.0)
    await logs.keep(Printed(()), container("d"), 1.0)
    assert texts(logs) == {}
    assert KeptLogs(str(tmp_path / "none")).pieces(None) == ([], 0.0)


async def test_lines_before_an_engine_loss_are_kept(tmp_path: Path) -> None:
    """The teardown continues without the other lines."""
    logs = KeptLogs(str(tmp_path))
    engine = Printed(["one", "two"])
    engine.faults.on("/logs", Fault.LOST)
    await logs.keep(engine, container("a"), 1.0)
    assert texts(logs) == {"a": ["one"]}


async def test_endless_log_does_not_delay_the_teardown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teardown continues after a while."""

    class Slow(Printed):
        async def _logs(self, container: Container, **options: Any) -> AsyncIterator[tuple[str, str]]:
            async for line in super()._logs(container, **options):
                yield line
            await anyio.sleep(60)

    monkeypatch.setattr(kept_logs, "PATIENCE", 0.05)
    logs = KeptLogs(str(tmp_path))
    with anyio.fail_after(20):
        await logs.keep(Slow(["first"]), container("a"), 1.0)
    assert texts(logs) == {"a": ["first"]}


async def test_size_of_a_kept_log_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and lengths of lines are limited; the engine is asked for no more lines than are kept."""
    monkeypatch.setattr(kept_logs, "PER_SERVICE", 200)
    monkeypatch.setattr(kept_logs, "LONGEST", 70)
    logs = await kept(tmp_path, "web", lines=[f"{number}{'x' * 1000}" for number in range(9)])
    assert [text[0] for text in texts(logs)["web"]] == ["7", "8"]
    assert max(map(len, texts(logs)["web"])) < 70
    engine = Printed()
    await logs.keep(engine, container("web"), 5.0)
    assert engine.options == {"tail": str(kept_logs.LINES), "follow": False, "timed": True}


@pytest.mark.parametrize(("limit", "left"), [("PER_SERVICE", ["id-2", "id-3", "id-x"]), ("IN_ALL", ["id-3", "id-x"])])
async def test_oldest_logs_are_removed_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, left: list[str]
) -> None:
    """The limit is per service and in total."""
    monkeypatch.setattr(kept_logs, limit, 60)
    logs = KeptLogs(str(tmp_path))
    for number, name in enumerate(["1", "2", "3", "x"]):
        service = "x" if name == "x" else "web"
        await logs.keep(Printed(["a"]), container(name, service), 1.0)
        for piece in logs.pieces(1.0)[0]:
            if piece.container_id == f"id-{name}":
                os.utime(piece.path, (number, number))
    assert sorted(piece.container_id for piece in logs.pieces(1.0)[0]) == left


async def test_gc_removes_old_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weeks after the end, and nothing else of the run."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept_logs.forget_old()
    old, new = (Run.open("an engine", Endpoint("unix:///x"), name) for name in ("old", "new"))
    for run in (old, new):
        await kept(Path(run.path), "web")
        (Path(run.path) / "last.json").write_text("{}")
    (folder,) = (Path(old.path) / "logs").iterdir()
    long_ago = time.time() - kept_logs.OLD - 60
    os.utime(folder, (long_ago, long_ago))
    kept_logs.forget_old()
    assert [bool(texts(KeptLogs(run.path))) for run in (old, new)] == [False, True]
    assert (Path(old.path) / "last.json").exists()


async def test_links_in_the_place_of_kept_logs_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing behind a link is read, overwritten or removed: a file, the folder of a run, the folder of all runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    victim = tmp_path / "victim"
    (victim / "4").mkdir(parents=True)
    (victim / "4/web@id-web").write_text("stdout 2026 precious\n")
    os.utime(victim / "4", (1.0, 1.0))
    run = Run.open("an engine", Endpoint("unix:///x"), "shop")
    logs = await kept(Path(run.path), "web")
    (folder,) = (Path(run.path) / "logs").iterdir()
    (folder / "web@id-web").unlink()
    (folder / "web@id-web").symlink_to(victim / "4/web@id-web")
    assert texts(logs) == {"web": []}
    await kept(Path(run.path), "web", lines=["mine"])
    assert texts(logs) == {"web": ["mine"]}
    shutil.rmtree(Path(run.path) / "logs")
    (Path(run.path) / "logs").symlink_to(victim)
    await kept(Path(run.path), "web", lines=["mine"])
    assert texts(logs) == {}
    kept_logs.forget_old()
    assert (victim / "4/web@id-web").read_text() == "stdout 2026 precious\n"
    assert os.listdir(victim / "4") == ["web@id-web"]


async def test_the_run_before_this_one(tmp_path: Path) -> None:
    """Its logs are found as long as this run has kept none."""
    logs = await kept(tmp_path, "web", began=5.0)
    assert [piece.service for piece in logs.before(6.0)] == ["web"]
    assert logs.before(5.0) == []
    await kept(tmp_path, "db", began=6.0)
    assert logs.before(6.0) == []
