"""The project that a command line selects: all that a command knows before it reads any file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devenv.compose.run_model import Scale


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected project: the folder where the search for its files starts, and options of the command line.

    `services` are named there, which activates their profiles; `scale` changes their numbers of containers.
    """

    directory: str
    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    scale: tuple[Scale, ...] = ()
