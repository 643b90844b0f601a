"""Containers that are replaced, restarted or paused, recorded before: what a killed process left half done."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from devenv import private_files
from devenv.docker import process
from devenv.errors import StateError
from devenv.model.containers import Container
from devenv.state.run_dir import PAUSED, REPLACING, RESTARTING, Run


@contextlib.contextmanager
def replacing(run: Run, containers: Iterable[Container] = ()) -> Iterator[None]:
    """Record that these containers end, and are started or created again. If that is cut off, the record stays.

    After an error, the record stays, too, but does not name the containers: what happened to them was reported.
    """
    _write(run, REPLACING, dict.fromkeys((c.id for c in containers), ""))
    with _unless_cut_off(lambda: _remove(run, REPLACING), lambda: _write(run, REPLACING, {})):
        yield


@contextlib.contextmanager
def restarting(run: Run, containers: Iterable[Container], *, again: bool) -> Iterator[None]:
    """Record that these containers are restarted; only if that is cut off, the record stays.

    `again`: the next keeper restarts them even if they still run as before. Otherwise it only starts those that have
    ended: a restart that follows a save follows it again.
    """
    before = {c.id: c.started_at if again else "" for c in containers}
    _write(run, RESTARTING, _read(run, RESTARTING) | before)
    end = functools.partial(_end_restarts, run, before)
    with _unless_cut_off(end, end):
        yield


@contextlib.contextmanager
def _unless_cut_off(done: Callable[[], None], failed: Callable[[], None]) -> Iterator[None]:
    """Call `done` after the block, or `failed` after an error; neither if the block is cancelled."""
    try:
        yield
    except Exception:
        failed()
        raise
    done()


def is_cut_off(run: Run) -> bool:
    """Whether the process that had the run ended, or was killed, while it replaced containers."""
    return os.path.exists(os.path.join(run.path, REPLACING))


def among(
    run: Run, containers: Sequence[Container], services: Collection[str]
) -> tuple[list[Container], list[Container]]:
    """The recorded containers to restart, and those to remove, whose services are none of these.

    To restart are those that have ended, unless another container takes their place, and those whose restart is to be
    done again.
    """
    recorded = _read(run, REPLACING) | _read(run, RESTARTING)
    known = [c for c in containers if c.id in recorded and c.ours]
    replaced = {c.service for c in containers if c.state == "created"}
    ended = {c.id for c in known if c.state in ("exited", "dead") and c.service not in replaced}
    begun = [c for c in known if c.service in services and (c.id in ended or "" != recorded[c.id] == c.started_at)]
    return begun, [c for c in known if c.service not in services]


def forget(run: Run) -> None:
    """Remove these records: all containers are as the files ask for, and run."""
    _remove(run, REPLACING)
    _remove(run, RESTARTING)


def note_paused(run: Run, containers: Iterable[Container]) -> None:
    """Record that this process pauses these containers."""
    if ids := [c.id for c in containers]:
        _write(run, PAUSED, dict.fromkeys(ids, _process(os.getpid())))


def left_paused(run: Run, containers: Iterable[Container]) -> list[Container]:
    """Those of the containers that a process has paused which does not run any more."""
    paused = _read(run, PAUSED)
    known = [c for c in containers if c.state == "paused" and c.id in paused]
    return [c for c in known if paused[c.id] != _process(int(paused[c.id].partition(" ")[0]))]


def forget_paused(run: Run) -> None:
    """Remove the record of paused containers."""
    _remove(run, PAUSED)


def _process(pid: int) -> str:
    """The process that has this pid now: pids are reused."""
    return f"{pid} {process.start_time(pid)}"


def _end_restarts(run: Run, ended: Collection[str]) -> None:
    left = {id_: started for id_, started in _read(run, RESTARTING).items() if id_ not in ended}
    if left:
        _write(run, RESTARTING, left)
    else:
        _remove(run, RESTARTING)


def _write(run: Run, name: str, containers: Mapping[str, str]) -> None:
    with contextlib.suppress(OSError, StateError):
        private_files.replace(os.path.join(run.path, name), json.dumps(containers), durable=False)


def _read(run: Run, name: str) -> dict[str, str]:
    """Ids of containers -> when each was started, or ""; empty if the record cannot be read."""
    try:
        noted = json.loads(private_files.read(os.path.join(run.path, name)) or "")
    except (OSError, ValueError, StateError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _remove(run: Run, name: str) -> None:
    with contextlib.suppress(OSError, StateError):
        private_files.remove(os.path.join(run.path, name))
