"""`devenv __complete SHELL WORDS...`, which shells ask at every TAB: no docker, no typer, a few milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from devenv.cli.candidates import Next, following, lines
from devenv.cli.lazy import LazyImports
from devenv.errors import DevenvError

with LazyImports():
    from devenv import paths
    from devenv.compose import outline as outlines
    from devenv.volumes import store

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


def _outline(found: Next) -> outlines.Outline | None:
    try:
        files = tuple(os.path.expanduser(path) for path in found.typed.values.get("file", ()))
        return outlines.sketch(os.getcwd(), files, "any", found.typed.values.get("profile", ()))
    except (DevenvError, OSError):
        return None


def _shipped(kind: str) -> Iterable[str]:
    return sorted({name.removesuffix(".toml") for name in os.listdir(os.path.join(paths.templates_folder(), kind))})


def _snapshots(_found: Next) -> Iterable[str]:
    try:
        saved = sorted(store.Store.at_home().all(), key=lambda one: -one.created)
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
