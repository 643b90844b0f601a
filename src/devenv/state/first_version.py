"""What runs of devenv 0.1 left: a folder named after the engine's address, with a ledger of names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

from devenv import private_files
from devenv.docker.endpoint import Endpoint
from devenv.errors import StateError
from devenv.state.identity import Content, Place, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, address, run_folder


def folder(endpoint: Endpoint, project: str) -> str:
    """The folder of the run, named after the text of the address, of which one socket has several."""
    for run in Run.folders(project):
        with contextlib.suppress(StateError):
            ledger = run.read()
            if ledger is not None and not ledger.engine and address(Endpoint(ledger.endpoint)) == address(endpoint):
                return run.path
    return run_folder(endpoint.host, project)


def move(old: str, path: str) -> None:
    """Move the files to the other folder; files that exist there are kept."""
    if not os.path.exists(path):
        os.rename(old, path)
        return
    for name in os.listdir(old):
        if not os.path.lexists(os.path.join(path, name)):
            os.rename(os.path.join(old, name), os.path.join(path, name))
    private_files.remove_tree(old)


def decode(data: Mapping[str, Any]) -> Ledger:
    """The ledger, which had names and ids, no times, and of the engine only its address.

    The ids are read by `CreationRecord`. Raises KeyError.
    """
    before = {*data["before_volumes"]}

    def content(name: str) -> Content:
        if name in data["restoring"]:
            return Content.RESTORING
        return Content.UNSETTLED if name in data["unsettled"] else Content.SETTLED

    return Ledger(
        project=data["project"],
        place=Place(os.path.realpath(data["directory"])),
        engine="",
        endpoint=data["endpoint"],
        context=data["context"],
        began=data["began"],
        pid=data["pid"],
        phase=data["phase"],
        before=tuple((name, "") for name in sorted(before)),
        volumes=tuple(
            VolumeRecord(name, content=content(name), is_kept=name in data["keeps"])
            for name in data["creates"]
            if name not in before
        ),
        anonymous=tuple(data["anonymous"]),
    )
