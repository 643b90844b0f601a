"""`devenv layers`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles


def layers(
    image: Annotated[str, typer.Argument(metavar="SERVICE|IMAGE", help="A service of the project, or any image.")],
    other: Annotated[str | None, typer.Argument(metavar="OTHER", help="Another one, side by side.")] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    files: Annotated[
        bool | None,
        typer.Option("--files/--no-files", help="Read the files of the layers, too; without it up to 2 GB."),
    ] = None,
) -> None:
    """Show the layers of an image, who shares them, and what would make it smaller."""
    import shutil  # noqa: PLC0415 - `--help` must not pay for it
    import time  # noqa: PLC0415 - as above

    import anyio  # noqa: PLC0415 - as above

    from devenv.inspect.layers import layers_of  # noqa: PLC0415 - as above
    from devenv.ui.layers import lines  # noqa: PLC0415 - as above

    window = options.console(output)
    names = (image, other) if other else (image,)
    chosen = options.selection(file, project_name, profile)
    quiet = output is Output.JSON
    report = anyio.run(lambda: layers_of(chosen, names, (lambda _: None) if quiet else window.emit, files=files))
    window.close()
    window.answer(asdict(report), lines(report, shutil.get_terminal_size().columns, time.time()))
