"""What a project that runs has in force: its desired state, and how far Compose has created it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio

from devenv.model.project import Settings
from devenv.run.desired import DesiredState
from devenv.sync.rules.rules import BoundRule

Rules = tuple[Settings, tuple[BoundRule, ...]]


@dataclass
class CurrentState:
    """The state that all parts of an active project share.

    `created` maps each service to its model as Compose created it last; a service whose create has failed is
    missing. Whatever replaces containers of a service holds its lock in `turns`.
    """

    desired: DesiredState
    created: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rules: Rules | None = None
    is_starting: bool = False  # Compose is on its first start
    turns: defaultdict[str, anyio.Lock] = field(default_factory=lambda: defaultdict(anyio.Lock))
