"""What the command line of `up` says."""

from __future__ import annotations

from dataclasses import dataclass

from devenv.config.load import Selection
from devenv.config.runmodel import PortChange


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `up`; `timeout` (seconds) bounds the wait for healthy."""

    selection: Selection
    detach: bool = False
    watch: bool = True
    watcher: str = "auto"
    logs: bool = True
    build: bool = True
    keep: bool = False
    keep_volumes: bool = False
    fresh: bool = False
    ports: tuple[PortChange, ...] = ()
    auto_ports: bool = False
    lan: bool = False
    timeout: float = 300.0
    open: bool = False
    stand_ins: bool = False
    host_settings: bool = False
    timings: bool = False
    trust: bool = False
