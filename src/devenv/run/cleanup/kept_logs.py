"""The logs of the last run: one file for each container, written before the container is removed."""

from __future__ import annotations

import contextlib
import os
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from urllib.parse import quote, unquote

import anyio

from devenv import private_files
from devenv.docker.client import Engine
from devenv.errors import EngineError, StateError
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, Line, line
from devenv.state.home import state_folder

LINES = 5000  # lines of one container
LONGEST = 16 * 1024  # characters of one line
PER_SERVICE = 1 << 20  # bytes of all containers of a service
IN_ALL = 16 << 20  # bytes
PATIENCE = 3.0  # seconds that a teardown waits for a log
OLD = 14 * 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class Piece:
    """The kept part of one container's log."""

    service: str
    container_id: str
    path: str

    def lines(self) -> Iterator[Line]:
        """All lines in order; none if the file has just been removed."""
        with contextlib.suppress(OSError, StateError), private_files.open_read(self.path) as file:
            for raw in file:
                stream, _, timed = raw.decode(errors="replace").rstrip("\n").partition(" ")
                yield line(self.service, stream, timed)


class KeptLogs:
    """The logs in a run's folder. A run is identified by its begin, and its logs replace those of an earlier run."""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.join(folder, "logs")

    async def keep(self, engine: Engine, container: Container, began: float) -> None:
        """Write the end of the container's log to disk, if engine and disk can do it within `PATIENCE` seconds."""
        if container.state == "created" or not container.service:
            return
        lines, size = deque[bytes](), 0
        with contextlib.suppress(EngineError), anyio.move_on_after(PATIENCE):
            async for stream, text in engine.containers.logs(container, tail=str(LINES), follow=False, timed=True):
                lines.append(f"{stream} {text[:LONGEST]}\n".encode())
                size += len(lines[-1])
                while size > PER_SERVICE:
                    size -= len(lines.popleft())
        if lines:
            with contextlib.suppress(OSError, StateError):
                self._write(container, _named(began), lines)

    def _write(self, container: Container, run: str, lines: deque[bytes]) -> None:
        for other in private_files.entries(self._folder):
            if other != run:
                private_files.remove_tree(os.path.join(self._folder, other))
        folder = private_files.private_folder(self._folder, run)
        path = os.path.join(folder, f"{quote(container.service, safe='')}@{container.id}")
        private_files.replace(path, b"".join(lines), durable=False)
        self._trim(folder)

    def _trim(self, folder: str) -> None:
        total, of_service = 0, defaultdict[str, int](int)
        for piece, size in sorted(_sizes(folder), key=lambda entry: -os.lstat(entry[0].path).st_mtime_ns):
            total += size
            of_service[piece.service] += size
            if total > IN_ALL or of_service[piece.service] > PER_SERVICE:
                private_files.remove(piece.path)

    def pieces(self, began: float | None) -> tuple[list[Piece], float]:
        """The logs of the run that began then, or of the last run with logs (None); and when they were written."""
        with contextlib.suppress(OSError, StateError):
            run = max(private_files.entries(self._folder), default="") if began is None else _named(began)
            folder = os.path.join(self._folder, run)
            return [piece for piece, _ in _sizes(folder)], os.stat(folder).st_mtime
        return [], 0.0

    def before(self, began: float) -> list[Piece]:
        """The logs of the last run with logs that began before."""
        with contextlib.suppress(OSError, StateError):
            runs = [run for run in private_files.entries(self._folder) if run < _named(began)]
            return [piece for piece, _ in _sizes(os.path.join(self._folder, max(runs)))] if runs else []
        return []


def forget_old() -> None:
    """Remove the logs of runs that ended more than `OLD` seconds ago."""
    runs = os.path.join(state_folder(), "runs")
    for project in private_files.entries(runs):
        logs = os.path.join(runs, project, "logs")
        with contextlib.suppress(OSError, StateError):
            for run in private_files.entries(logs):
                folder = os.path.join(logs, run)
                if time.time() - os.lstat(folder).st_mtime > OLD:
                    private_files.remove_tree(folder)


def _named(began: float) -> str:
    return f"{began:017.6f}"


def _sizes(folder: str) -> Iterator[tuple[Piece, int]]:
    for name in private_files.entries(folder):
        path = os.path.join(folder, name)
        service, _, container_id = name.rpartition("@")
        yield Piece(unquote(service), container_id, path), os.lstat(path).st_size
