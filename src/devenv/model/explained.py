"""What the watch rules of a project say: of one path, and as a whole; and what is wrong in its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of a path; `index` counts from 0, `place` and `file` are `file:line`.

    `decided_by` is include, ignore, .dockerignore, built-in or own file, and `pattern` what it says as it is written;
    both are empty where nothing speaks against the path. `effects` are sync, exec, restart, rebuild, in their order;
    `reason` says why a rule that matches does nothing.
    """

    service: str
    index: int
    action: str
    place: str
    matches: bool
    decided_by: str = ""
    pattern: str = ""
    file: str = ""
    target: str | None = None
    effects: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """One path as it was asked for; `kind` is file, dir, link, other or absent. No verdict: no rule is for it."""

    path: str
    kind: str
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownRule:
    """One rule of a service; `path` is relative to the project where it lies in it."""

    action: str
    path: str
    target: str | None
    ignore: tuple[str, ...]
    include: tuple[str, ...]
    initial_sync: bool
    exec: tuple[str, ...]
    place: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ShownService:
    """One service with its rules, and the file that its build takes as .dockerignore."""

    service: str
    dockerignore: str | None
    rules: tuple[ShownRule, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A project as devenv understands it; `settings` is its `x-devenv` block."""

    project: str
    directory: str
    files: tuple[str, ...]
    services: tuple[ShownService, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, or odd, in a file of the project, and where it is written."""

    message: str
    hint: Annotated[str | None, "the nearest known word, or what to do"]
    level: Annotated[str, ("error", "warning")]
    file: str | None
    line: Annotated[int | None, "counted from 1"]
    column: Annotated[int | None, "counted from 1, in characters"]
    text: Annotated[str, "the line; stars stand for what may be secret"] = ""
    width: Annotated[int, "how many characters of it are meant"] = 0
