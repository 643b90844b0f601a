"""What a project may do on this machine: dangerous wishes shown or refused, host commands only where trusted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection

from devenv import statefiles
from devenv.config.load import Loaded
from devenv.config.user import user_file, user_settings
from devenv.errors import RefusedError, StateError
from devenv.lifecycle.home import state_folder
from devenv.model.events import Emit, Notice
from devenv.model.project import Project

Wishes = frozenset[tuple[str, str]]


def wishes(loaded: Loaded, names: Collection[str]) -> Wishes:
    """The dangers of these services, known by what they are, whichever line they are written on."""
    return frozenset((one.service, one.message) for one in loaded.dangers if one.service in names)


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
    """Returns where the project has no host commands, or just these are trusted in its folder; `trust` makes it so.

    Raises RefusedError with every command that would run, StateError if the record cannot be used.
    """
    hooks = [hook for hook in project.hooks if hook.service is None]
    path = _record(project)
    if not hooks or statefiles.read_bytes(path) is not None:
        return
    commands = "".join(f"\n  {h.moment} ({h.where}): " + h.typed.strip().replace("\n", "\n    ") for h in hooks)
    if not trust:
        message = f"the project wants to run commands on this machine that nobody has allowed yet:{commands}"
        raise RefusedError(message, hint="Read them; if you trust them: devenv up --trust")
    try:
        statefiles.private_folder(os.path.dirname(path))
        statefiles.replace(path, f"{project.directory}{commands}\n")
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error


def _record(project: Project) -> str:
    """The file whose presence says that these host commands are trusted in this folder."""
    commands = [[hook.moment, *hook.hook.command] for hook in project.hooks if hook.service is None]
    key = json.dumps([os.path.realpath(project.directory), commands]).encode(errors="surrogateescape")
    return os.path.join(state_folder(), "trust", hashlib.sha256(key).hexdigest()[:32])
