"""What a project may do on this machine: dangers shown or refused, host and privileged commands only if trusted."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from devenv import private_files
from devenv.compose.resolve import Loaded
from devenv.compose.user_config import user_file, user_settings
from devenv.errors import RefusedError, StateError
from devenv.events import Emit, Notice
from devenv.model.project import Hook, Project
from devenv.state.home import state_folder

Wishes = frozenset[tuple[str, str]]


def wishes(loaded: Loaded, names: Collection[str]) -> Wishes:
    """The dangers of these services, known by what they are, whichever line they are written on."""
    return frozenset((one.service, one.message) for one in loaded.dangers if not one.service or one.service in names)


def weigh(loaded: Loaded, names: Collection[str], emit: Emit, shown: Wishes = frozenset()) -> Wishes:
    """All that were shown by now: a notice for each danger of these services that was not.

    Raises RefusedError where the user's settings refuse them.
    """
    all_ = wishes(loaded, names)
    new = [f"{one.where}: {one.message}" for one in loaded.dangers if (one.service, one.message) in all_ - shown]
    if new and user_settings().dangerous == "refuse":
        hint = f'Take it out of the file; or allow it by taking `dangerous = "refuse"` out of {user_file()}.'
        raise RefusedError("\n  ".join(["refused as dangerous:", *new]), hint=hint)
    for said in new:
        emit(Notice(said))
    return shown | all_


def require_trust(project: Project, *, trust: bool = False) -> None:
    """Return if the project has no host commands and no privileged ones, or they are trusted in its folder.

    `trust` makes them trusted. Raises RefusedError with every command that would run without having been allowed,
    StateError if the record cannot be used.
    """
    _require((*_on_host(project), *_privileged(project)), project.directory, trust=trust)


def weigh_again(loaded: Loaded, names: Collection[str], emit: Emit, shown: Wishes) -> Wishes:
    """As `weigh`, for files that changed during a run. An untrusted privileged command raises RefusedError too."""
    _require(tuple(_privileged(loaded.project)), loaded.project.directory)
    return weigh(loaded, names, emit, shown)


def weigh_builds(loaded: Loaded, names: Collection[str], emit: Emit) -> None:
    """As `weigh`, for services that are only built."""
    weigh(replace(loaded, dangers=tuple(one for one in loaded.dangers if one.of_build)), names, emit)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Commands that are trusted together: why they are asked about, as they are shown, and what they are known by."""

    why: str
    shown: str
    key: tuple[object, ...]


def _on_host(project: Project) -> Iterator[_Asked]:
    if hooks := [hook for hook in project.hooks if hook.service is None]:
        shown = "".join(_line(f"{hook.moment} ({hook.where})", hook.typed) for hook in hooks)
        commands = [[hook.moment, *hook.hook.command] for hook in hooks]
        yield _Asked(
            "the project wants to run commands on this machine that nobody has allowed yet:", shown, (commands,)
        )


def _privileged(project: Project) -> Iterator[_Asked]:
    why = "the project wants to run privileged commands in containers that nobody has allowed yet:"
    for hook in project.hooks:
        if hook.service is not None and hook.hook.privileged:
            shown = _line(f"{hook.moment} ({hook.where}) in {hook.service}", shlex.join(hook.hook.command))
            yield _Asked(why, shown, ("privileged", hook.moment, hook.service, *_parts(hook.hook)))
    for service in project.services:
        for rule in service.watch:
            if rule.exec is not None and rule.exec.privileged:
                shown = _line(f"{rule.action} of {rule.path} in {service.name}", shlex.join(rule.exec.command))
                yield _Asked(why, shown, ("privileged", rule.action, service.name, *_parts(rule.exec)))


def _parts(hook: Hook) -> tuple[object, ...]:
    return hook.user, hook.working_dir, hook.environment, hook.command


def _line(what: str, command: str) -> str:
    return f"\n  {what}: " + command.strip().replace("\n", "\n    ")


def _require(asked: Sequence[_Asked], directory: str, *, trust: bool = False) -> None:
    missing = [one for one in asked if private_files.read_bytes(_record(one, directory)) is None]
    if missing and not trust:
        whys = dict.fromkeys(one.why for one in missing)
        message = "\n".join(why + "".join(one.shown for one in missing if one.why == why) for why in whys)
        raise RefusedError(message, hint="Read them; if you trust them: devenv up --trust")
    for one in missing:
        _write(_record(one, directory), f"{directory}{one.shown}\n")


def _write(path: str, text: str) -> None:
    try:
        private_files.private_folder(os.path.dirname(path))
        private_files.replace(path, text)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error


def _record(asked: _Asked, directory: str) -> str:
    """The file whose presence says that these commands are trusted in this folder."""
    key = json.dumps([os.path.realpath(directory), *asked.key]).encode(errors="surrogateescape")
    return os.path.join(state_folder(), "trust", hashlib.sha256(key).hexdigest()[:32])
