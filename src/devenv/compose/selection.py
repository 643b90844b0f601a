"""Which project a command line means: all that a command has to know before it reads anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devenv.compose.run_model import Scale


@dataclass(frozen=True, slots=True)
class Selection:
    """Which project is meant: the folder where the search begins, and what the command line says.

    `services` are those that it names, which turns their profiles on; `scale` changes how many containers some have.
    """

    directory: str
    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    scale: tuple[Scale, ...] = ()
