"""Answers of commands -> lines of text: the status, findings of the doctor, states of services. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from devenv.model.finding import PAGE, Finding
from devenv.model.snapshot import ago
from devenv.model.status import Here, Stand, Stands
from devenv.ui.text import clean, clean_lines, columns

SEVERITIES = {"error": "✗", "warning": "!", "info": "·"}
MARKS = {"absent": "○", "created": "○", "paused": "◌", "restarting": "◐", "removing": "◌", "dead": "✗"}
WHOSE = {True: "devenv", False: "not devenv", None: ""}


def status(here: Here) -> Iterator[str]:
    """The status of a project, its URLs, and commands to type next in two columns."""
    yield clean(here.said)
    yield from (f"  {url}" for url in here.urls)
    yield from map(clean, here.guardians)
    width = max(len(suggestion.command) for suggestion in here.commands)
    yield from (f"  {suggestion.command:<{width}}  {clean(suggestion.does)}" for suggestion in here.commands)


def findings(shown: Sequence[Finding], areas: Collection[str], seconds: float) -> Iterator[str]:
    """A line for each finding, one for all areas without findings, and a summary."""
    for finding in shown:
        yield f"{SEVERITIES[finding.severity]} {finding.code}: {clean_lines(finding.message)}"
        if finding.hint:
            yield f"  hint: {clean_lines(finding.hint)}"
    bad = {finding.area for finding in shown if finding.severity != "info"}
    if well := [area for area in areas if area not in bad]:
        yield f"✓ {', '.join(well)}"
    explained = f"; {PAGE} explains each" if shown else ""
    yield f"{_count(shown, 'error')}, {_count(shown, 'warning')} ({seconds:.1f} s){explained}"


def _count(findings: Sequence[Finding], severity: str) -> str:
    number = sum(finding.severity == severity for finding in findings)
    return f"{number or 'no'} {severity}{'' if number == 1 else 's'}"


def services(states: Stands) -> Iterator[str]:
    """A head and a line for each container."""
    counts = [stand.service for stand in states.services]
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
            for stand in states.services
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
    age = "just now" if stand.age < 60 else ago(stand.age)  # noqa: PLR2004 - a minute
    return age.removesuffix(" ago") if stand.state != "exited" else age
