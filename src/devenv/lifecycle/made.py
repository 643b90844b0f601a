"""The record of the containers and networks that a project's runs created, by id: lines that are only ever appended.

Several processes append at once: a run, and `devenv run` or `devenv scale` beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from devenv import statefiles
from devenv.errors import StateError
from devenv.lifecycle.home import owner, state_folder
from devenv.lifecycle.identity import Old, Window
from devenv.model.observed import Container, Network


def recognizer(project: str) -> Callable[[Container | Network], bool]:
    """Whether a container or network of the project is ours, by the records of its runs on every engine.

    Ids do not repeat between engines, so that nobody has to be asked which engine it is.
    """
    runs = os.path.join(state_folder(), "runs")
    names = os.listdir(runs) if os.path.isdir(runs) else ()
    paths = [os.path.join(runs, name) for name in names if name.rpartition("-")[0] == project]
    records = [Made(os.path.join(path, "made"), owner()) for path in paths]
    for record in records:
        record.find_old()
    return lambda thing: any(record.holds(thing) for record in records)


class Made:
    """What the file at `path` says is ours; read again if it has grown."""

    def __init__(self, path: str, owner: str) -> None:
        self.path = path
        self.owner = owner
        self.old: Old | None = None
        self._read = 0
        self._reset()

    def _reset(self) -> None:
        self._ids: set[str] = set()
        self._names: set[str] = set()
        self._windows: dict[str, Window] = {}

    def holds(self, thing: Container | Network) -> bool:
        """Whether the container or network is ours: recorded, or created by a call whose outcome was not recorded."""
        self._refresh()
        if thing.id in self._ids or (isinstance(thing, Container) and thing.holds and thing.name in self._names):
            return True
        if self.old is not None and self.old.may_have_created(thing):
            return True
        return any(window.may_have_created(thing) for window in self._windows.values())

    def find_old(self) -> None:
        """Recognize what a ledger of devenv 0.1 beside the record counts as its own."""
        try:
            ledger = json.loads(statefiles.read(os.path.join(os.path.dirname(self.path), "ledger.json")) or "{}")
            if ledger.get("v") == 1:
                self.old = Old(frozenset([*ledger["before_containers"], *ledger["before_networks"]]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, StateError):
            return  # who needs the ledger says what is wrong with it

    def open(self, window: Window) -> str:
        """Record what a call may create, before it begins; the token that closes it. Raises StateError, OSError."""
        self._refresh()
        token = f"{os.getpid()}.{self._read}"
        fields = {
            "before": sorted(window.before),
            "services": dict(window.services or {}),
            "networks": sorted(window.networks),
        }
        self._append({"open": token, "project": window.project, **fields})
        return token

    def close(self, token: str, ids: Iterable[str]) -> None:
        """Record what came of the call. Raises StateError, OSError."""
        self._append({"close": token, "ids": list(ids)})

    def add(self, *ids: str) -> None:
        """Record what is ours. Raises StateError, OSError."""
        self._append({"ids": list(ids)})

    def intend(self, name: str) -> None:
        """Record the name, which nobody can guess, of a container that is about to be created."""
        self._append({"name": name})

    def forget(self, thing_id: str) -> None:
        """Record that the thing is somebody else's from now on."""
        self._append({"not": thing_id})

    def keep_old(self) -> None:
        """Record what a run of devenv 0.1 counts as its own, since its ledger is about to be replaced."""
        if self.old is not None:
            self._append({"old": sorted(self.old.before)})

    def clear(self) -> None:
        """Nothing is ours any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._read, self.old = 0, None
        self._reset()

    def _append(self, line: dict[str, Any]) -> None:
        statefiles.append(self.path, f"{json.dumps(line)}\n", durable=True)
        self._refresh()

    def _refresh(self) -> None:
        try:
            size = os.lstat(self.path).st_size
        except OSError:
            size = 0
        if size < self._read:
            self._read = 0
            self._reset()
        if size > self._read:
            content = statefiles.read_bytes(self.path) or b""
            whole = content[self._read : content.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        self._ids.update(line.get("ids", ()))
        self._ids.discard(line.get("not", ""))
        if "name" in line:
            self._names.add(line["name"])
        if "old" in line:
            self.old = Old(frozenset(line["old"]))
        if "open" in line:
            before, networks = frozenset(line["before"]), frozenset(line["networks"])
            self._windows[line["open"]] = Window(line["project"], self.owner, before, line["services"], networks)
        self._windows.pop(line.get("close", ""), None)
