"""`devenv layers`."""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from typing import Annotated

from typer import Argument, Option

from devenv.cli import options
from devenv.cli.lazy import LazyImports

with LazyImports():
    import anyio

    from devenv.inspect import layers as workflow
    from devenv.ui import drawing


def layers(
    image: Annotated[str, Argument(metavar="SERVICE|IMAGE", help="A service of the project, or an image.")],
    other: Annotated[
        str | None, Argument(metavar="OTHER", help="Another service or image, shown side by side.")
    ] = None,
    files: Annotated[
        bool | None,
        Option("--files/--no-files", help="Read the files in the layers; by default for images up to 2 GB."),
    ] = None,
) -> None:
    """Show the layers of an image, and what would make it smaller."""
    window = options.console()
    names = (image, other) if other else (image,)
    chosen = options.selection()
    emit = (lambda _: None) if window.is_json else window.emit
    report = anyio.run(lambda: workflow.layers_of(chosen, names, emit, files=files))
    window.close()
    window.answer(asdict(report), drawing.layers(report, shutil.get_terminal_size().columns, time.time()))
