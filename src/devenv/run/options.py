"""What the command line of `up` says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from devenv.compose.resolve import Loaded, Selection
from devenv.compose.run_model import PortChange
from devenv.images.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `up`; `timeout` (seconds) bounds the wait for healthy.

    `ahead` has the project where it is being read already.
    """

    selection: Selection
    detach: bool = False
    watch: bool = True
    watcher: str = "auto"
    logs: bool = True
    build: bool = True
    keep: bool = False
    keep_volumes: bool = False
    fresh: bool = False
    source: str = ""  # the snapshots that volumes are to begin with, by id or name
    ports: tuple[PortChange, ...] = ()
    auto_ports: bool = False
    lan: bool = False
    timeout: float = 300.0
    open: bool = False
    wishes: Wishes = field(default_factory=Wishes)
    timings: bool = False
    trust: bool = False
    ahead: Callable[[], Awaitable[Loaded]] | None = None
