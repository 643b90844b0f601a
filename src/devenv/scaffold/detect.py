"""What a folder with code is: read from the files that say so. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

READ = frozenset({"package.json", "pyproject.toml", "requirements.txt", "go.mod", "Dockerfile"})
COMPOSE_FILES = frozenset({"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"})


@dataclass(frozen=True, slots=True)
class Stack:
    """The template among `stacks` that suits the folder, and the answers that its files give."""

    template: str
    answers: Mapping[str, str] = field(default_factory=dict)


def stack(files: Mapping[str, str]) -> Stack | str:
    """The stack of a folder, of name -> text of its files; or why none is proposed."""
    if there := sorted(COMPOSE_FILES & files.keys()):
        return f"there is a {there[0]} already"
    return "which template?"
