"""Questions on the terminal (stderr); questions and defaults are cleaned, since they may come from a template."""

from __future__ import annotations

import typer

from devenv.cli.lazy import LazyImports

with LazyImports():
    from devenv.ui import text


def confirm(words: str, *, default: bool = False) -> bool:
    """Ask a yes-or-no question. Raises typer.Abort at the end of the input and on Ctrl-C."""
    return typer.confirm(_cleaned(words), default=default, err=True)


def prompt(words: str, default: str | None = None) -> str:
    """Ask for a text; an empty line means the default. Raises typer.Abort as `confirm`."""
    shown = f" [{_cleaned(default)}]" if default else ""
    answer: str = typer.prompt(f"{_cleaned(words)}{shown}", default=default, show_default=False, err=True)
    return answer


def _cleaned(words: str) -> str:
    return text.clean(words)
