"""`devenv open`."""

from __future__ import annotations

import sys
import webbrowser
from typing import Annotated

import typer

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.cli.options import Files, Format, Name, Output, Profiles

with LazyImports():
    import anyio

    from devenv.inspect import open as workflow


def open_(
    service: Annotated[str | None, typer.Argument(help="The service to open.")] = None,
    file: Files = None,
    project_name: Name = None,
    profile: Profiles = None,
    output: Format = Output.TEXT,
    only_print: Annotated[bool, typer.Option("--print", help="Print the URLs only.")] = False,
) -> None:
    """Open the project's website in the browser, and print its URLs."""
    project, urls = anyio.run(workflow.site, options.selection(file, project_name, profile), service)
    opened = not only_print and output is Output.TEXT and sys.stdout.isatty() and webbrowser.open(urls[0])
    options.console(output).answer({"project": project, "urls": urls, "opened": opened}, urls)
