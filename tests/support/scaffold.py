"""`devenv add` and `devenv remove` in the test's own process, without Compose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio

from devenv.compose import yaml12
from devenv.compose.outline import Selection
from devenv.scaffold.add import remove as removal
from devenv.scaffold.add import services
from devenv.scaffold.add.proposal import Proposal

STYLES = {
    "plain": "services:\n  web:\n    image: web\n",
    "wide": "# mine\nservices:\n\n    web:\n        image: web # x\n        depends_on:\n            - cache\n"
    "        environment:\n            - A=b\n\n    cache:\n        image: c\n\nvolumes:\n    old:",
    "json": '{"services": {"web": {"image": "web", "environment": {"A": "b"}, "depends_on": ["cache"]},\n'
    '  "cache": {"image": "c"}}}',
}


def records() -> str:
    """The folder of the records of `add`, as the command line has it."""
    return os.path.join(os.environ["XDG_STATE_HOME"], "added")


def project(folder: Path, text: str) -> Selection:
    """Write the Compose file of a project."""
    (folder / "compose.yml").write_bytes(text.encode())
    return Selection(str(folder))


def add(selection: Selection, asked: str, **options: Any) -> Proposal:
    """The proposal to add a service, checked and not written."""
    return anyio.run(lambda: services.add(selection, asked, records(), **options))


def remove(selection: Selection, name: str) -> Proposal:
    """The proposal to remove a service, checked and not written."""
    return anyio.run(removal.remove, selection, name, records())


def edited(proposal: Proposal, name: str = "compose.yml") -> str:
    """The text of a file after the edits."""
    return next(edit.after.decode() for edit in proposal.edits if os.path.basename(edit.path) == name)


def model(text: str) -> Any:
    """The content of a Compose file."""
    return yaml12.construct(text, file="c")
