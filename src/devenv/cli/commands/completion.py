"""`devenv completion`: the scripts by which shells run `devenv __complete` at every TAB."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument

from devenv import templates_folder
from devenv.cli import options


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Argument(help="The shell.")]) -> None:
    """Print the completion script for a shell."""
    options.console().line(script(shell))


def script(shell: str) -> str:
    """The completion script."""
    return Path(templates_folder(), "completion", f"devenv.{shell}").read_text(encoding="utf-8").rstrip()
