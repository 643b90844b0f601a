"""The record of which containers and networks are ours: the ids that a project's runs created, in appended lines.

Several processes append concurrently: a run, and `devenv run` or `devenv scale` next to it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from devenv import private_files
from devenv.errors import StateError
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container, Network
from devenv.state.home import owner, state_folder
from devenv.state.identity import Old, Window

with LazyImports():  # only what creates needs it
    import secrets


def recognizer(project: str) -> Callable[[Container | Network], bool]:
    """A function that returns whether a container or network of the project is ours, by the records of its runs.

    Ids are unique across engines, so that no engine has to be asked which one it is.
    """
    runs = os.path.join(state_folder(), "runs")
    names = os.listdir(runs) if os.path.isdir(runs) else ()
    paths = [os.path.join(runs, name) for name in names if name.rpartition("-")[0] == project]
    records = [CreationRecord(os.path.join(path, "made"), owner()) for path in paths]
    for record in records:
        record.find_old()
    return lambda thing: any(record.holds(thing) for record in records)


class CreationRecord:
    """The containers and networks that are ours according to the file at `path`, which is read again if changed."""

    def __init__(self, path: str, owner: str) -> None:
        self.path = path
        self.owner = owner
        self._of_ledger: Old | None = None
        self._state: tuple[int, ...] = ()
        self._reset()

    def _reset(self) -> None:
        self._ids: set[str] = set()
        self._names: set[str] = set()
        self._windows: dict[str, Window] = {}
        self._old: Old | None = None

    def holds(self, thing: Container | Network) -> bool:
        """Whether the container or network is ours: recorded, or created by a call whose outcome was not recorded."""
        self._refresh()
        if thing.id in self._ids or (isinstance(thing, Container) and thing.holds and thing.name in self._names):
            return True
        calls = (self._of_ledger, self._old, *self._windows.values())
        return any(call.may_have_created(thing) for call in calls if call is not None)

    @property
    def is_open(self) -> bool:
        """Whether the result of a call was not recorded: it is under way, or its process has died."""
        self._refresh()
        return bool(self._windows)

    def find_old(self) -> None:
        """Recognize what a ledger of devenv 0.1 next to the record lists as created."""
        try:
            ledger = json.loads(private_files.read(os.path.join(os.path.dirname(self.path), "ledger.json")) or "{}")
            if ledger.get("v") == 1:
                self._of_ledger = Old(frozenset([*ledger["before_containers"], *ledger["before_networks"]]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, StateError):
            return  # commands that need the ledger report what is wrong with it

    def open(self, window: Window) -> str:
        """Record what a call may create, before the call. Return the token for `close`. Raises StateError."""
        token = secrets.token_hex(8)
        before, services, networks = sorted(window.before), dict(window.services or {}), sorted(window.networks)
        self._append({
            "open": token, "project": window.project, "before": before, "services": services, "networks": networks,
        })  # fmt: skip
        return token

    def close(self, token: str, ids: Iterable[str]) -> None:
        """Record the result of the call. Raises StateError, OSError."""
        self._append({"close": token, "ids": list(ids)})

    def add(self, *ids: str) -> None:
        """Record ids as ours. Raises StateError, OSError."""
        self._append({"ids": list(ids)})

    def intend(self, name: str) -> None:
        """Record the unguessable name of a container that is about to be created."""
        self._append({"name": name})

    def forget(self, thing_id: str) -> None:
        """Record that the object belongs to somebody else from now on."""
        self._append({"not": thing_id})

    def keep_old(self) -> None:
        """Record what a run of devenv 0.1 created, since its ledger is about to be replaced.

        Raises StateError, OSError.
        """
        self._refresh()
        if self._of_ledger is not None and self._old is None:
            self._append({"old": sorted(self._of_ledger.before)})

    def clear(self) -> None:
        """Remove the record: nothing is ours any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._of_ledger, self._state = None, ()
        self._reset()

    def _append(self, line: dict[str, Any]) -> None:
        """Append a line that begins with a newline, so that a line torn by a power cut ends before it."""
        private_files.append(self.path, f"\n{json.dumps(line)}\n", durable=True)
        self._refresh()

    def _refresh(self) -> None:
        """Read the whole file if it has changed: another process may have removed it and begun a new one."""
        state: tuple[int, ...] = ()
        with contextlib.suppress(FileNotFoundError):
            now = os.lstat(self.path)
            state = (now.st_ino, now.st_size, now.st_mtime_ns)
        if state == self._state:
            return
        content = private_files.read_bytes(self.path) or b""
        self._state = state
        self._reset()
        for line in content[: content.rfind(b"\n") + 1].split(b"\n"):
            self._take(_decoded(line))

    def _take(self, line: dict[str, Any]) -> None:
        self._ids.update(line.get("ids", ()))
        self._ids.discard(line.get("not", ""))
        if "name" in line:
            self._names.add(line["name"])
        if "old" in line:
            self._old = Old(frozenset(line["old"]))
        if "open" in line:
            before, networks = frozenset(line["before"]), frozenset(line["networks"])
            self._windows[line["open"]] = Window(line["project"], self.owner, before, line["services"], networks)
        self._windows.pop(line.get("close", ""), None)


def _decoded(line: bytes) -> dict[str, Any]:
    """The line; empty if it was torn: then nothing has been created, or the call is still open."""
    try:
        fields = json.loads(line.decode())
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
