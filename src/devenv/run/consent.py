"""What a project may do on this machine: dangers are reported or refused, host and privileged commands need trust."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from devenv import private_files
from devenv.compose.resolve import Loaded
from devenv.compose.user_config import user_file, user_settings
from devenv.errors import RefusedError, StateError
from devenv.events import Emit, Notice
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Hook, Project
from devenv.state.home import state_folder

Dangers = frozenset[tuple[str, str]]


def dangers_of(loaded: Loaded, names: Collection[str]) -> Dangers:
    """The dangers of these services as (service, message), so that a moved line is not a new danger."""
    dangers = (d for d in loaded.dangers if not d.service or d.service in names)
    return frozenset((danger.service, danger.message) for danger in dangers)


def report_dangers(loaded: Loaded, names: Collection[str], emit: Emit, shown: Dangers = frozenset()) -> Dangers:
    """Report the dangers that are not in `shown`; return all reported so far. Raises RefusedError."""
    dangers = dangers_of(loaded, names)
    new = [f"{d.where}: {d.message}" for d in loaded.dangers if (d.service, d.message) in dangers - shown]
    if new and user_settings().dangerous == "refuse":
        hint = f'Remove it from the file; or allow it: remove `dangerous = "refuse"` from {user_file()}.'
        raise RefusedError("\n  ".join(["refused as dangerous:", *new]), hint=hint)
    for message in new:
        emit(Notice(message))
    return shown | dangers


def require_trust(project: Project, *, trust: bool = False) -> None:
    """Require that the project's commands on the host and its privileged commands are trusted.

    `trust` records them as trusted. Raises RefusedError with every command that is not trusted, StateError if the
    record cannot be read or written.
    """
    _require((*_on_host(project), *_privileged(project)), project.directory, trust=trust)


def report_new_dangers(loaded: Loaded, names: Collection[str], emit: Emit, shown: Dangers) -> Dangers:
    """Like `report_dangers`, for files that changed during a run; untrusted privileged commands are refused, too."""
    _require(tuple(_privileged(loaded.project)), loaded.project.directory)
    return report_dangers(loaded, names, emit, shown)


def report_build_dangers(loaded: Loaded, names: Collection[str], emit: Emit) -> None:
    """Like `report_dangers`, for services that are only built."""
    of_build = tuple(danger for danger in loaded.dangers if danger.of_build)
    report_dangers(replace(loaded, dangers=of_build), names, emit)


@dataclass(frozen=True, slots=True)
class _Request:
    """Commands that are trusted together: why trust is needed, the text to show, and what identifies them."""

    why: str
    shown: str
    key: tuple[object, ...]


def _on_host(project: Project) -> Iterator[_Request]:
    why = "the project wants to run commands on this machine that nobody has allowed yet:"
    if hooks := [hook for hook in project.hooks if hook.service is None]:
        shown = "".join(_line(f"{hook.moment} ({hook.where})", hook.typed) for hook in hooks)
        yield _Request(why, shown, ([[hook.moment, *hook.hook.command] for hook in hooks],))


def _privileged(project: Project) -> Iterator[_Request]:
    why = "the project wants to run privileged commands in containers that nobody has allowed yet:"
    for hook in project.hooks:
        if hook.service is not None and hook.hook.privileged:
            shown = _line(f"{hook.moment} ({hook.where}) in {hook.service}", shlex.join(hook.hook.command))
            yield _Request(why, shown, ("privileged", hook.moment, hook.service, *_parts(hook.hook)))
    for service in project.services:
        for rule in service.watch:
            if rule.exec is not None and rule.exec.privileged:
                shown = _line(f"{rule.action} of {rule.path} in {service.name}", shlex.join(rule.exec.command))
                yield _Request(why, shown, ("privileged", rule.action, service.name, *_parts(rule.exec)))


def _parts(hook: Hook) -> tuple[object, ...]:
    return hook.user, hook.working_dir, hook.environment, hook.command


def _line(title: str, command: str) -> str:
    return f"\n  {title}: " + command.strip().replace("\n", "\n    ")


def _require(requests: Sequence[_Request], directory: str, *, trust: bool = False) -> None:
    missing = [request for request in requests if private_files.read_bytes(_record(request, directory)) is None]
    if missing and not trust:
        whys = dict.fromkeys(request.why for request in missing)
        message = "\n".join(why + "".join(request.shown for request in missing if request.why == why) for why in whys)
        raise RefusedError(message, hint="Read them; if you trust them: devenv up --trust")
    for request in missing:
        path = _record(request, directory)
        try:
            private_files.private_folder(os.path.dirname(path))
            private_files.replace(path, f"{directory}{request.shown}\n")
        except OSError as error:
            raise StateError(f"cannot write {path}: {error.strerror}") from error


def _record(request: _Request, directory: str) -> str:
    """The path of the file that exists if these commands are trusted in this folder."""
    key = json.dumps([os.path.realpath(directory), *request.key]).encode(errors="surrogateescape")
    return os.path.join(state_folder(), "trust", hashlib.sha256(key).hexdigest()[:32])
