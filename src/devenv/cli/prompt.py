"""Questions on the terminal, on stderr: words and defaults are cleaned, since a template may have written them."""

from __future__ import annotations

import typer

from devenv.cli.lazy import LazyImports

with LazyImports():
    from devenv.ui import text


def confirm(words: str, *, default: bool = False) -> bool:
    """Whether somebody agrees. Raises typer.Abort at the end of the input and on Ctrl-C."""
    return typer.confirm(_cleaned(words), default=default, err=True)


def prompt(words: str, default: str | None = None) -> str:
    """What somebody types; the default for an empty line. Raises typer.Abort as `confirm`."""
    shown = f" [{_cleaned(default)}]" if default else ""
    answer: str = typer.prompt(f"{_cleaned(words)}{shown}", default=default, show_default=False, err=True)
    return answer


def _cleaned(words: str) -> str:
    return text.clean(words)
