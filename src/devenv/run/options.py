"""The options of `devenv up`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import PortChange
from devenv.images.options import ImageOptions


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line says; `ahead` returns the project if it is being loaded already."""

    selection: Selection
    detach: bool = False
    watch: bool = True
    watcher: str = "auto"
    logs: bool = True
    build: bool = True
    keep: bool = False
    keep_volumes: bool = False
    fresh: bool = False
    source: str = ""  # the id or name of the snapshots to restore
    ports: tuple[PortChange, ...] = ()
    auto_ports: bool = False
    lan: bool = False
    timeout: float = 300.0  # seconds until all services are healthy
    open: bool = False
    images: ImageOptions = field(default_factory=ImageOptions)
    timings: bool = False
    trust: bool = False
    ahead: Callable[[], Awaitable[Loaded]] | None = None
