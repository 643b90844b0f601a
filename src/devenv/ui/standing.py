"""States of services -> a table of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from devenv.model.snapshot import ago
from devenv.model.status import Stand, Stands
from devenv.ui.text import clean, columns

MARKS = {"absent": "○", "created": "○", "paused": "◌", "restarting": "◐", "removing": "◌", "dead": "✗"}
WHOSE = {True: "devenv", False: "not devenv", None: ""}


def table(found: Stands) -> Iterator[str]:
    """A head and a line for each container."""
    counts = [stand.service for stand in found.services]
    return columns(
        [
            {
                "service": stand.service if counts.count(stand.service) == 1 else clean(stand.container or ""),
                "state": _state(stand),
                "health": stand.health or "",
                "ports": ", ".join(
                    f"{port.address}→{port.target}{'' if port.protocol == 'tcp' else '/udp'}" for port in stand.ports
                ),
                "age": _age(stand),
                "restarts": str(stand.restarts or ""),
                "made by": WHOSE[stand.ours],
            }
            for stand in found.services
        ]
    )


def screen(lines: Iterable[str], width: int, height: int) -> list[str]:
    """The lines that fill a terminal, cut to its size."""
    shown = [line[: width - 1] for line in lines]
    return shown if len(shown) < height else [*shown[: height - 2], f"... {len(shown) - height + 2} more"]


def _state(stand: Stand) -> str:
    state, code = stand.state, stand.exit_code
    if state == "running":
        return f"{ {'unhealthy': '✗', 'starting': '◐'}.get(stand.health or '', '●') } running"
    if state == "exited":
        return f"✗ exited ({code})" if code else "✓ completed"
    return f"{MARKS.get(state, '○')} {state}"


def _age(stand: Stand) -> str:
    """The age in steps that change rarely, so that the table is not redrawn every second."""
    if stand.age is None:
        return ""
    said = "just now" if stand.age < 60 else ago(stand.age)  # noqa: PLR2004 - a minute
    return said.removesuffix(" ago") if stand.state != "exited" else said
