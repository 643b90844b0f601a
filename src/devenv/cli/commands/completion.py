"""`devenv completion`: scripts with which shells run `devenv __complete SHELL WORDS...` at each TAB.

Candidates need neither docker nor typer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

from devenv import templates_folder
from devenv.cli.candidates import Next, following, lines
from devenv.errors import DevenvError
from devenv.lazy_imports import LazyImports

with LazyImports():
    import typer

    from devenv.cli import options
    from devenv.compose import outline as outlines
    from devenv.state import all_runs
    from devenv.volumes import store

FILES = ":file"  # tells the shell to complete files itself


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell.")]) -> None:
    """Print the completion script for a shell."""
    options.console().line(script(shell))


def script(shell: str) -> str:
    """The completion script."""
    with open(os.path.join(templates_folder(), "completion", f"devenv.{shell}"), encoding="utf-8") as file:
        return file.read().rstrip()


def candidates(arguments: list[str]) -> list[str]:
    """The candidates, one a line, with help after a tab. `arguments`: the shell and the words up to the cursor."""
    shell, *words = arguments or [""]
    wanted = following(words or [""], splits=shell == "bash")
    if wanted.kind == "file":
        return [FILES]
    names = KINDS[wanted.kind](wanted) if wanted.kind in KINDS else ()
    return list(lines(wanted, wanted.words or dict.fromkeys(names, "")))


def _outline(wanted: Next) -> outlines.Outline:
    """The outline of the project; without names if the project cannot be read."""
    try:
        files = tuple(os.path.expanduser(path) for path in wanted.typed.values.get("file", ()))
        return outlines.sketch(os.getcwd(), files, "any", wanted.typed.values.get("profile", ()))
    except (DevenvError, OSError):
        return outlines.Outline(None)


def _shipped(kind: str) -> Iterable[str]:
    return sorted({name.removesuffix(".toml") for name in os.listdir(os.path.join(templates_folder(), kind))})


def _snapshots(_wanted: Next) -> Iterable[str]:
    try:
        saved = sorted(store.Store.at_home().all(), key=lambda snapshot: -snapshot.created)
    except DevenvError:
        return ()
    return dict.fromkeys(name for snapshot in saved for name in (snapshot.title, snapshot.id) if name)


def _projects(_wanted: Next) -> Iterable[str]:
    return sorted({ledger.project for _, ledger in all_runs.every_runs()})


KINDS: dict[str, Callable[[Next], Iterable[str]]] = {
    "service": lambda wanted: (*(outline := _outline(wanted)).services, *outline.dormant),
    "profile": lambda wanted: _outline(wanted).profiles,
    "template": lambda _: _shipped("projects"),
    "addition": lambda _: (*_shipped("services"), "rules"),
    "snapshot": _snapshots,
    "project": _projects,
}
