"""Watch rules and their outcomes -> lines of text. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from devenv.model.finding import Explained, Mistake, Shown, ShownRule, ShownService, Verdict
from devenv.ui.cells import width
from devenv.ui.text import clean, counted

KINDS = {"dir": " (a folder: what is saved in it)", "link": " (a link)", "absent": " (not there)"}
GIT = "**/.git"


def explained(paths: Sequence[Explained]) -> list[str]:
    """A block for each path: what each rule does with it or why it does nothing, and the place of the rule."""
    rows = [verdict for path in paths for verdict in path.verdicts]
    services = max((len(verdict.service) for verdict in rows), default=0)
    outcomes = max((len(_outcome(verdict)) for verdict in rows), default=0)
    lines = []
    for path in paths:
        lines.append(f"{path.path}{KINDS.get(path.kind, '')}")
        lines += [f"  {v.service:<{services}}  {_outcome(v):<{outcomes}}  {v.place}" for v in path.verdicts]
        if not path.verdicts:
            lines.append("  no rule covers it")
    return [clean(line) for line in lines]


def shown(project: Shown) -> list[str]:
    """The project, then each service with its rules."""
    lines = [f"{project.project} in {project.directory}", f"  files: {', '.join(project.files)}"]
    lines += [f"  x-devenv: {key}: {_value(value)}" for key, value in project.settings.items()]
    rows = [rule for service in project.services for rule in service.rules]
    actions = max((len(rule.action) for rule in rows), default=0)
    ways = max((len(_way(rule)) for rule in rows), default=0)
    for service in project.services:
        lines += _service(service, actions, ways)
    if none := [service.service for service in project.services if not service.rules]:
        lines.append(f"no rules: {', '.join(none)}")
    return [clean(line) for line in (*lines, *(f"warning: {warning}" for warning in project.warnings))]


def mistakes(shown: Sequence[Mistake]) -> list[str]:
    """Each mistake with its place, its line and a caret below it; then their number."""
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
        yield f"  {' ' * len(number)} | {' ' * width(clean(before))}{'^' * max(width(clean(marked)), 1)}"
    if mistake.hint:
        yield f"  hint: {clean(mistake.hint)}"


def _service(service: ShownService, actions: int, ways: int) -> Iterator[str]:
    if not service.rules:
        return
    yield f"{service.service}{f', with {service.dockerignore}' if service.dockerignore else ''}"
    for rule in service.rules:
        yield f"  {rule.action:<{actions}}  {_way(rule):<{ways}}  {rule.place}"
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


def _way(rule: ShownRule) -> str:
    return f"{rule.path} -> {rule.target}" if rule.target else rule.path


def _outcome(verdict: Verdict) -> str:
    if not verdict.matches:
        return f"nothing: {_against(verdict)}"
    if not verdict.effects:
        return f"nothing: {verdict.reason}"
    words = {"sync": f"sync to {verdict.target}", "exec": "run its command"}
    does = ", then ".join(words.get(effect, effect) for effect in verdict.effects)
    return f"{does} ({_list(verdict)})" if verdict.pattern else does


def _against(verdict: Verdict) -> str:
    if verdict.decided_by == "built-in":
        what = "git's own" if verdict.pattern == GIT else "a temporary file"
        return f"{what} (`{verdict.pattern}`, built in)"
    if verdict.decided_by == "own file":
        return "a compose file or Dockerfile is not copied"
    return f"ignored ({_list(verdict)})" if verdict.pattern else "`include` does not name it"


def _list(verdict: Verdict) -> str:
    source = verdict.file if verdict.decided_by == ".dockerignore" else f"`{verdict.decided_by}`"
    return f"`{verdict.pattern}` in {source}"
