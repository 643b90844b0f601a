"""`devenv open`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.options import Files, Format, Name, Output, Profiles


def open_(
    service: Annotated[str | None, typer.Argument(help="The service whose site it is.")] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    only_print: Annotated[bool, typer.Option("--print", help="Print the addresses and open nothing.")] = False,
) -> None:
    """Open the project's site in the browser, and print its addresses."""
    import anyio  # noqa: PLC0415 - `--help` must not pay for it

    from devenv.inspect.open import site  # noqa: PLC0415 - as above

    project, urls = anyio.run(site, options.selection(file, project_name, profile), service)
    opened = not only_print and output is Output.TEXT and sys.stdout.isatty() and _opened(urls[0])
    options.console(output).answer({"project": project, "urls": urls, "opened": opened}, urls)


def _opened(url: str) -> bool:
    import webbrowser  # noqa: PLC0415 - as above

    return webbrowser.open(url)
