"""`devenv ps`: the state of the project's services."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from devenv.compose.outline import Outline, require_known, sketched
from devenv.docker import context
from devenv.model.status import Stands, stands
from devenv.state.created import recognizer

if TYPE_CHECKING:
    from devenv.compose.outline import Selection
    from devenv.model.containers import Container


def ps(selection: Selection, wanted: Collection[str], show: Callable[[Stands], object]) -> bool:
    """Show the services if a local engine answers, and return whether it did. Raises ConfigError, UsageError."""
    project = sketched(selection)
    found = None if project.name is None else context.local_containers(project.name)
    if project.name is None or found is None:
        return False
    is_ours, (containers, now) = recognizer(project.name), found
    show(picture(project.name, project, wanted, [replace(c, ours=is_ours(c)) for c in containers], now))
    return True


def picture(
    name: str, project: Outline, wanted: Collection[str], containers: Collection[Container], now: dt.datetime
) -> Stands:
    """The state of the wanted services, or of all. Raises UsageError for an unknown service."""
    require_known(wanted, (*project.services, *project.dormant, *(c.service for c in containers)))
    names = [*project.services, *(service for service in project.dormant if service in wanted)]
    found = stands(name, names, containers, lambda at: age(at, now))
    return replace(found, services=tuple(s for s in found.services if not wanted or s.service in wanted))


def age(at: str, now: dt.datetime) -> float | None:
    """Seconds from an engine's timestamp to its `now`; None for a time that is not set."""
    found = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", at)
    if found is None or at.startswith("0001"):
        return None
    return max(0.0, (now - dt.datetime.fromisoformat(f"{found[0]}+00:00")).total_seconds())
