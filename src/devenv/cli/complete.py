"""`devenv __complete SHELL WORDS...`, which shells ask at every TAB: no docker, no typer, a few milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from devenv.cli.candidates import Next, following, lines
from devenv.errors import DevenvError

if TYPE_CHECKING:
    from devenv.compose.outline import Outline

FILES = ":file"  # the shell's own completion of files


def candidates(arguments: list[str]) -> list[str]:
    """A candidate a line, its help behind a tab. `arguments`: the shell's name, and the words up to the cursor."""
    shell, *words = arguments or [""]
    found = following(words or [""], splits=shell == "bash")
    if found.kind == "file":
        return [FILES]
    known = KINDS[found.kind](found) if found.kind in KINDS else ()
    printable = filter(str.isprintable, known)  # nothing else is typed into a shell by a TAB
    return list(lines(found, found.words or dict.fromkeys(printable, "")))


def _services(found: Next) -> Iterable[str]:
    outline = _outline(found)
    return () if outline is None else (*outline.services, *outline.dormant)


def _profiles(found: Next) -> Iterable[str]:
    outline = _outline(found)
    return () if outline is None else outline.profiles


def _outline(found: Next) -> Outline | None:
    from devenv.compose.outline import sketch  # noqa: PLC0415 - only where names of the project are asked for

    try:
        files = tuple(os.path.expanduser(path) for path in found.typed.values.get("file", ()))
        return sketch(os.getcwd(), files, "any", found.typed.values.get("profile", ()))
    except (DevenvError, OSError):
        return None


def _shipped(kind: str) -> Iterable[str]:
    from devenv.paths import templates_folder  # noqa: PLC0415 - only where it is asked for

    return sorted({name.removesuffix(".toml") for name in os.listdir(os.path.join(templates_folder(), kind))})


def _snapshots(_found: Next) -> Iterable[str]:
    from devenv.volumes.store import Store  # noqa: PLC0415 - only where it is asked for

    try:
        saved = sorted(Store.at_home().all(), key=lambda one: -one.created)
    except DevenvError:
        return ()
    return dict.fromkeys(name for one in saved for name in (one.title, one.id) if name)


KINDS: dict[str, Callable[[Next], Iterable[str]]] = {
    "service": _services,
    "profile": _profiles,
    "template": lambda _: _shipped("projects"),
    "addition": lambda _: (*_shipped("services"), "rules"),
    "snapshot": _snapshots,
}
