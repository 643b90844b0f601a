"""Parameters that several commands have, as typer reads them."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

Services = Annotated[list[str] | None, Argument(help="Only these services and their dependencies.")]
StandIns = Annotated[bool, Option("--stand-ins", help="If no registry answers, build stand-in images from packages.")]
HostSettings = Annotated[
    bool,
    Option(
        "--host-settings", help="Pass this machine's package registries, proxies and CA to builds and containers."
    ),
]
Ports = Annotated[
    list[str] | None,
    Option(
        "--port",
        metavar="SERVICE:HOST=CONTAINER|auto",
        help="Publish a port elsewhere, e.g. web:8080=80; auto: all on free ports.",
    ),
]
