"""What is about to be written: shown as a diff, checked with Compose, and written as a whole or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from devenv.compose.files import find
from devenv.compose.outline import Selection
from devenv.compose.resolve import load
from devenv.errors import ConfigError, DevenvError, StateError
from devenv.sync.rules.lint import faults

PRIVATE = 0o600
_SECRET = re.compile(r"^([ +-]\s*(?:export\s+)?\w+\s*=).+$")


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A file's absolute path, what it holds now (None where it is not there), and what it is to hold.

    The values of a `private` one are shown to nobody.
    """

    path: str
    before: bytes | None
    after: bytes
    private: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """The edits of one command and what is to be said of them; `folder` is the project's.

    `record` is written with the edits and shown to nobody: what the next command has to know of them.
    """

    folder: str
    edits: tuple[FileEdit, ...]
    notes: tuple[str, ...] = ()
    record: FileEdit | None = None

    def diff(self) -> list[str]:
        """The edits as lines of a unified diff; a new file of code is one line, and values of .env are stars."""
        return [line for edit in self.edits for line in _shown(edit, os.path.relpath(edit.path, self.folder))]


def _shown(edit: FileEdit, name: str) -> Iterator[str]:
    before, after = ((data or b"").decode(errors="replace").splitlines() for data in (edit.before, edit.after))
    if edit.before is None and not edit.private and len(after) != 1:
        yield f"new file {name} ({len(after)} lines)"
        return
    context = 0 if edit.private else 3
    for line in difflib.unified_diff(
        before, after, "/dev/null" if edit.before is None else name, name, n=context, lineterm=""
    ):
        yield _SECRET.sub(r"\1***", line) if edit.private else line


async def check(selection: Selection, edit: FileEdit, variables: Collection[str]) -> None:
    """Returns where the project loads with the edited Compose file; raises what is wrong in it by ConfigError.

    `variables` have a value for as long as that takes: they are yet to be written into .env.
    """
    files = find(selection.directory, selection.files)
    folder, name = os.path.split(files[0])  # not where a link leads: relative paths begin here
    copy = os.path.join(folder, f".devenv-{secrets.token_hex(4)}-{name}~")
    names = (copy, *files[1:])
    with _environment({one: "x" for one in variables if one not in os.environ}):
        try:
            _write(copy, edit.after, PRIVATE)
            await load(replace(selection, files=names), faults=faults)
        except DevenvError as error:
            await load(selection, faults=faults)  # it raises what was wrong before
            message = f"Compose refuses the result, nothing was written: {error.message}"
            raise ConfigError(message, hint=error.hint, file=os.path.relpath(edit.path)) from None
        except OSError as error:
            raise StateError(f"{folder} cannot be written to: {error.strerror}") from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(copy)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]


def write(proposal: Proposal) -> None:
    """All files written, or none: StateError where one cannot be, or has changed meanwhile."""
    ready: list[tuple[str, FileEdit]] = []
    done: list[FileEdit] = []
    made: list[str] = []
    try:
        for edit in (*proposal.edits, *([proposal.record] if proposal.record else ())):
            _unchanged(edit)
            made += _folders(os.path.dirname(edit.path))
            ready.append((os.path.join(os.path.dirname(edit.path), f".devenv-{secrets.token_hex(4)}~"), edit))
            _write(ready[-1][0], edit.after, _mode(edit))
        for copy, edit in ready:
            os.replace(copy, edit.path)
            done.append(edit)
    except BaseException as error:
        for edit in done:
            _undo(edit)
        for copy, _ in ready:
            with contextlib.suppress(OSError):
                os.unlink(copy)
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if isinstance(error, OSError):
            raise StateError(f"nothing was written: {error.filename}: {error.strerror}") from None
        raise


def _unchanged(edit: FileEdit) -> None:
    if read(edit.path) != edit.before:
        raise StateError(f"{edit.path} has changed meanwhile; nothing was written", hint="Try again.")


def read(path: str) -> bytes | None:
    """The content of the file; None if it does not exist. Raises StateError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from None


def _write(path: str, data: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)


def _mode(edit: FileEdit) -> int:
    if edit.before is not None:
        return os.stat(edit.path).st_mode & 0o777
    return PRIVATE if edit.private else 0o644


def _folders(path: str) -> list[str]:
    """The folder and those above it made where they are missing, the upper ones first."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        os.mkdir(folder)
    return missing[::-1]


def _undo(edit: FileEdit) -> None:
    with contextlib.suppress(OSError):
        if edit.before is None:
            os.unlink(edit.path)
        else:
            with open(edit.path, "wb") as file:
                file.write(edit.before)
