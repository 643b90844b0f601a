"""The folder with devenv's state, and its owner as named in labels."""

from __future__ import annotations

import fcntl
import os
import re

from devenv import private_files, state_path
from devenv.errors import StateError
from devenv.lazy_imports import LazyImports

with LazyImports():  # needed once, by the first run of a user
    import getpass
    import secrets
    import socket


def state_folder() -> str:
    """`$XDG_STATE_HOME/devenv-compose`, created private to the user if it is missing.

    Raises StateError if it cannot be created, belongs to another user or can be written by others.
    """
    path = state_path()
    try:
        return private_files.private_folder(path)
    except OSError as error:
        hint = "export XDG_STATE_HOME=/a/writable/folder"
        raise StateError(f"cannot use {path}: {error.strerror}", hint=hint) from error


def owner() -> str:
    """The owner of this state folder, as used in labels: a text that is created once and never changes.

    Compose compares labels, so a computed text that changes (with the host name) would recreate containers. Raises
    StateError.
    """
    path = os.path.join(state_folder(), "owner")
    with private_files.written(path):
        return _read(path) or _created(path)


def _created(path: str) -> str:
    """The owner on disk, created unless another process has just created it."""
    lock = private_files.open_lock(f"{path}.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _read(path):
            private_files.replace(path, f"{_user()}@{socket.gethostname()}-{secrets.token_hex(6)}")
        return _read(path)
    finally:
        os.close(lock)


def _read(path: str) -> str:
    return (private_files.read(path) or "").strip()


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = ""
    return re.sub(r"[^A-Za-z0-9._-]", "", name) or str(os.getuid())
