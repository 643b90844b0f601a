"""Turn answers of commands into lines of text: status, columns of `devenv ps`, findings, watch rules. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from devenv.model.snapshot import ago
from devenv.model.snapshot import shown as size
from devenv.phrases import counted
from devenv.ui import cells
from devenv.ui.cells import MARKS as STATES
from devenv.ui.cells import clean, clean_lines, columns, forwarded

if TYPE_CHECKING:
    from devenv.model.answers import (
        Explained,
        Finding,
        Here,
        MachineRun,
        Mistake,
        RuleVerdict,
        Shown,
        ShownRule,
        ShownService,
        Suggestion,
    )
    from devenv.model.ps import Stand, Stands

SEVERITIES = {"error": "✗", "warning": "!", "info": "·"}
MARKS = {"absent": "○", "created": "○", "paused": "◌", "removing": "◌", "dead": "✗"}
KINDS = {"dir": " (a folder: what is saved in it)", "link": " (a link)", "absent": " (does not exist)"}
GIT = "**/.git"
MADE_BY = {True: "devenv", False: "not devenv", None: ""}


def status(here: Here, suggestions: Sequence[Suggestion]) -> Iterator[str]:
    """The status of a project, its URLs, and the commands to type next, in two columns."""
    yield clean(here.said)
    yield from (f"  {url}{forwarded(here.forwarded_from)}" for url in here.urls)
    yield from filter(None, [clean(here.background)])
    yield from map(clean, here.guardians)
    width = max(len(suggestion.command) for suggestion in suggestions)
    yield from (f"  {suggestion.command:<{width}}  {clean(suggestion.does)}" for suggestion in suggestions)


def findings(shown: Sequence[Finding], areas: Collection[str], seconds: float) -> Iterator[str]:
    """The lines for each finding, a line with the areas that have none, and a summary."""
    for finding in shown:
        yield f"{SEVERITIES[finding.severity]} {finding.code}: {clean_lines(finding.message)}"
        if finding.hint:
            yield f"  hint: {clean_lines(finding.hint)}"
    bad = {finding.area for finding in shown if finding.severity != "info"}
    if passed := [area for area in areas if area not in bad]:
        yield f"✓ {', '.join(passed)}"
    explained = f"; devenv help {shown[0].anchor.partition('#')[0]} explains each" if shown else ""
    yield f"{_count(shown, 'error')}, {_count(shown, 'warning')} ({seconds:.1f} s){explained}"


def _count(findings: Sequence[Finding], severity: str) -> str:
    number = sum(finding.severity == severity for finding in findings)
    return counted(number, severity) if number else f"no {severity}s"


def services(states: Stands) -> Iterator[str]:
    """A heading, a line for each container, and a line for each error in the log of a service."""
    counts = [stand.service for stand in states.services]
    yield from columns(
        [
            {
                "service": stand.service if counts.count(stand.service) == 1 else clean(stand.container or ""),
                "state": _state(stand),
                "health": stand.health or "",
                "ports": ", ".join(
                    f"{port.address}->{port.target}{'' if port.protocol == 'tcp' else '/udp'}" for port in stand.ports
                ),
                "age": _age(stand),
                "restarts": str(stand.restarts or ""),
                "made by": MADE_BY[stand.ours],
            }
            for stand in states.services
        ]
    )
    if states.forwarded_from and any(stand.ports for stand in states.services):
        yield f"ports are forwarded from {clean(states.forwarded_from)}"
    yield from filter(None, [clean(states.background)])
    yield from dict.fromkeys(f"✗ {stand.service}: {clean(stand.error)}" for stand in states.services if stand.error)


def machine_runs(runs: Sequence[MachineRun], home: str, now: float, width: int | None) -> list[str]:
    """A heading and a line for each run; cut to the width of a terminal, if there is one."""
    rows = [
        {
            "project": clean(run.project),
            "folder": _folder(run, home),
            "branch": clean(run.branch or ""),
            "state": f"{run.state} {run.running}/{run.containers}" if run.containers else run.state,
            "address": "".join(f"{url}{forwarded(run.forwarded_from)}" for url in run.urls[:1]),
            "since": "" if run.began is None else ago(now - run.began).removesuffix(" ago"),
            "memory": "" if run.memory is None else size(run.memory),
        }
        for run in runs
    ]
    return [line if width is None else cells.cut(line, width - 1) for line in columns(rows)]


def _folder(run: MachineRun, home: str) -> str:
    is_below = run.directory.startswith(f"{home}/")
    folder = f"~{run.directory[len(home) :]}" if is_below else run.directory
    return clean(f"{folder} (folder removed)" if run.is_removed else folder)


def screen(lines: Iterable[str], width: int, height: int) -> list[str]:
    """The lines that fill a terminal, cut to its size."""
    shown = [line[: width - 1] for line in lines]
    return shown if len(shown) < height else [*shown[: height - 2], f"... {len(shown) - height + 2} more"]


def _state(stand: Stand) -> str:
    if stand.state == "running":
        state = stand.phase if stand.phase == "restarting" else stand.state
        return f"{'✗' if stand.error else STATES[stand.phase]} {state}"
    if stand.state not in ("exited", "restarting", "absent") or stand.phase == "absent":
        return f"{MARKS.get(stand.state, '○')} {stand.state}"
    exited = f"exited ({stand.exit_code})" if stand.state == "exited" else stand.detail
    return f"{STATES[stand.phase]} {exited if stand.phase == 'exited' else stand.phase}"


def _age(stand: Stand) -> str:
    """The age in steps that change rarely, so that the table is not redrawn every second."""
    if stand.age is None:
        return ""
    age = "just now" if stand.age < 60 else ago(stand.age)  # noqa: PLR2004 - a minute
    return age.removesuffix(" ago") if stand.state != "exited" else age


def explained(paths: Sequence[Explained]) -> list[str]:
    """A block for each path: what each rule does with the path, or why it does nothing, and the rule's place."""
    rows = [verdict for path in paths for verdict in path.verdicts]
    services = max((len(verdict.service) for verdict in rows), default=0)
    outcomes = max((len(_outcome(verdict)) for verdict in rows), default=0)
    lines = []
    for path in paths:
        lines.append(f"{path.path}{KINDS.get(path.kind, '')}")
        lines += [f"  {v.service:<{services}}  {_outcome(v):<{outcomes}}  {v.place}" for v in path.verdicts]
        lines += [*_mounts(path), *(f"  {copy}" for copy in path.copied)]
        below = [
            {"service": service.service, "action": rule.action, "path": _paths(rule), "place": rule.place}
            for service in path.below
            for rule in service.rules
        ]
        lines += [f"  {line}" for line in columns(below)]
        if path.is_input:
            lines.append("  a file of the project: valid changes are applied while the project is up")
        elif not (path.verdicts or path.mounts or path.below or path.copied):
            lines.append("  no rule covers it")
    return [clean(line) for line in lines]


def _mounts(path: Explained) -> Iterator[str]:
    """The bind mounts that contain the path: the container sees a save, and only watch rules do more."""
    for mount in path.mounts:
        effects = {effect for v in path.verdicts if v.service == mount.service for effect in v.effects}
        nothing = "" if effects - {"sync"} else "; nothing is restarted"
        seen = f": the container sees the save{nothing}" if mount.target else ""
        yield f"  {mount.service}: bind mount {mount.mount} ({mount.place}){seen}"


def rules(project: Shown) -> list[str]:
    """The project, then each service with its rules."""
    lines = [f"{project.project} in {project.directory}", f"  files: {', '.join(project.files)}"]
    lines += [f"  x-devenv: {key}: {_value(value)}" for key, value in project.settings.items()]
    rows = [rule for service in project.services for rule in service.rules]
    actions = max((len(rule.action) for rule in rows), default=0)
    paths = max((len(_paths(rule)) for rule in rows), default=0)
    for service in project.services:
        lines += _service(service, actions, paths)
    if others := [service.service for service in project.services if not service.rules]:
        lines.append(f"no rules: {', '.join(others)}")
    lines += [f"replaced: {line}" for line in project.replaced]
    return [clean(line) for line in (*lines, *(f"warning: {warning}" for warning in project.warnings))]


def mistakes(shown: Sequence[Mistake]) -> list[str]:
    """Each mistake with its place, its line and a caret below it; then the number of mistakes."""
    lines = [line for mistake in shown for line in _mistake(mistake)]
    counts = {level: sum(mistake.level == level for mistake in shown) for level in ("error", "warning")}
    return [*lines, ", ".join(counted(count, level) for level, count in counts.items() if count) or "no mistakes"]


def _mistake(mistake: Mistake) -> Iterator[str]:
    place = (str(part) for part in (mistake.file, mistake.line, mistake.column) if part is not None)
    yield clean(": ".join((":".join(place), mistake.level, mistake.message)).removeprefix(": "))
    if mistake.column and mistake.text:
        before, marked = mistake.text[: mistake.column - 1], mistake.text[mistake.column - 1 :][: mistake.width]
        number = str(mistake.line)
        yield f"  {number} | {clean(mistake.text)}"
        yield f"  {' ' * len(number)} | {' ' * cells.width(clean(before))}{'^' * max(cells.width(clean(marked)), 1)}"
    if mistake.hint:
        yield f"  hint: {clean(mistake.hint)}"


def _service(service: ShownService, actions: int, paths: int) -> Iterator[str]:
    if not service.rules:
        return
    yield f"{service.service}{f', with {service.dockerignore}' if service.dockerignore else ''}"
    for rule in service.rules:
        yield f"  {rule.action:<{actions}}  {_paths(rule):<{paths}}  {rule.place}"
        details = {"ignore": rule.ignore, "include": rule.include, "exec": rule.exec and (" ".join(rule.exec),)}
        for key, values in details.items():
            if values:
                yield f"  {'':<{actions}}  {key}: {', '.join(values)}"
        if rule.initial_sync:
            yield f"  {'':<{actions}}  initial_sync: true"
        if rule.note:
            yield f"  {'':<{actions}}  {rule.note}"


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _paths(rule: ShownRule) -> str:
    return f"{rule.path} -> {rule.target}" if rule.target else rule.path


def _outcome(verdict: RuleVerdict) -> str:
    if not verdict.matches:
        return f"nothing: {_ignored(verdict)}"
    if not verdict.effects:
        return f"nothing: {verdict.reason}"
    words = {"sync": f"sync to {verdict.target}", "exec": "run its command"}
    effects = ", then ".join(words.get(effect, effect) for effect in verdict.effects)
    return f"{effects} ({_pattern(verdict)})" if verdict.pattern else effects


def _ignored(verdict: RuleVerdict) -> str:
    """Why the rule does not match the path."""
    if verdict.decided_by == "built-in":
        reason = "git's own" if verdict.pattern == GIT else "a temporary file"
        return f"{reason} (`{verdict.pattern}`, built in)"
    if verdict.decided_by == "own file":
        return "a compose file or Dockerfile is not copied"
    return f"ignored ({_pattern(verdict)})" if verdict.pattern else "`include` does not name it"


def _pattern(verdict: RuleVerdict) -> str:
    source = verdict.file if verdict.decided_by == ".dockerignore" else f"`{verdict.decided_by}`"
    return f"`{verdict.pattern}` in {source}"
