"""The changes of a command to a project: the main Compose file being edited, and edits written all or none."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import field, replace
from typing import Any

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, find, service_names
from devenv.compose.outline import Selection
from devenv.compose.positions import place
from devenv.compose.resolve import NoServicesError, load, selected_files
from devenv.errors import ConfigError, DevenvError, StateError, UsageError, unknown
from devenv.lazy_dataclass import dataclass
from devenv.scaffold.add.yaml_edit import ComposeDraft
from devenv.sync.rules.lint import faults

BOM = b"\xef\xbb\xbf"
PRIVATE = 0o600
_SECRET = re.compile(r"^([ +-]\s*(?:export\s+)?\w+\s*=).+$")


@dataclass(frozen=True, slots=True)
class FileEdit:
    """A file's absolute path, its content now (None if it does not exist), and its new content.

    The values in a `private` file are never shown.
    """

    path: str
    before: bytes | None
    after: bytes
    private: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """The edits of one command in the project's `folder`, and notes on them.

    `record` is written with the edits and never shown: it is for a later `remove`.
    """

    folder: str
    edits: tuple[FileEdit, ...]
    notes: tuple[str, ...] = ()
    record: FileEdit | None = None

    def diff(self) -> list[str]:
        """The edits as lines of a unified diff. A new file of code is one line; values of .env are hidden."""
        return [line for edit in self.edits for line in _diff(edit, os.path.relpath(edit.path, self.folder))]


def _diff(edit: FileEdit, name: str) -> Iterator[str]:
    before, after = ((data or b"").decode(errors="replace").splitlines() for data in (edit.before, edit.after))
    if edit.before is None and not edit.private and len(after) != 1:
        yield f"new file {name} ({len(after)} lines)"
        return
    old, context = "/dev/null" if edit.before is None else name, 0 if edit.private else 3
    for line in difflib.unified_diff(before, after, old, name, n=context, lineterm=""):
        yield _SECRET.sub(r"\1***", line) if edit.private else line


@dataclass(slots=True)
class MainFile:
    """The project's main Compose file while it is edited, and all its files."""

    source: ComposeFile
    sources: tuple[ComposeFile, ...]
    before: bytes
    draft: ComposeDraft
    notes: list[str] = field(default_factory=list)

    @property
    def services(self) -> dict[str, Any]:
        """The services that this file defines, by name."""
        services = self.draft.model.get("services")
        return services if isinstance(services, dict) else {}

    def service(self, name: str) -> dict[str, Any]:
        """The model of a service that this file defines. Raises UsageError if it does not define the service."""
        if name in self.services:
            return self.services[name] if isinstance(self.services[name], dict) else {}
        if name in service_names(self.sources):
            file, line = place(self.sources, ("services", name))
            hint = f"Only {self.source.shown} is edited."
            raise UsageError(f"service `{name}` is in another file, {file}:{line}", hint=hint)
        raise unknown("service", name, sorted(service_names(self.sources)))

    def own(self, name: str, key: str) -> Any:
        """The value of a service's own key. Raises ConfigError if a merge sets the key: an own key would hide it."""
        value = self.service(name).get(key)
        merged = yaml12.at(self.source.node, ("services", name, key))
        if value is None and merged is not None and merged.value:
            message = f"`{name}` gets its `{key}` by a merge (`<<`), which an own one would hide"
            hint = f"Give it a `{key}:` of its own that has the merged entries too, then try again."
            line = merged.start_mark.line + 1
            raise ConfigError(message, hint=hint, file=self.source.shown, line=line)
        return value

    def edit(self) -> FileEdit:
        """The verified edit."""
        bom = BOM if self.before.startswith(BOM) else b""
        return FileEdit(os.path.realpath(self.source.path), self.before, bom + self.draft.verified().encode())


def opened(selection: Selection) -> MainFile:
    """The project's main file, ready to be edited. Raises like `load` for an error in any file."""
    sources = selected_files(selection)
    main = sources[0]
    return MainFile(main, sources, read(main.path) or b"", ComposeDraft(main.text, main.shown))


def pairs(environment: Any) -> Iterator[tuple[str, str]]:
    """Yield name and value of the variables of an `environment`, a mapping or a list."""
    if isinstance(environment, list):
        for entry in environment:
            key, _, value = str(entry).partition("=")
            yield key, value
    elif isinstance(environment, dict):
        yield from ((str(key), str(value)) for key, value in environment.items())


async def check(selection: Selection, edit: FileEdit, variables: Collection[str]) -> None:
    """Raise ConfigError if the project does not load with the edited Compose file.

    `variables`, which are not in .env yet, are set meanwhile.
    """
    names = find(selection.directory, selection.files)
    folder, name = os.path.split(names[0])  # not the target of a link: relative paths are relative to this folder
    copy = os.path.join(folder, f".devenv-{secrets.token_hex(4)}-{name}~")
    unset = [variable for variable in variables if variable not in os.environ]
    os.environ.update(dict.fromkeys(unset, "x"))
    try:
        _write(copy, edit.after, PRIVATE)
        with contextlib.suppress(NoServicesError):  # Compose accepts that: all services are in inactive profiles
            await load(replace(selection, files=(copy, *names[1:])), faults=faults)
    except DevenvError as error:
        await load(selection, faults=faults)  # raises the error that the file had before
        reason = error.message.replace(os.path.basename(copy), name)
        message = f"Compose refuses the result, nothing was written: {reason}"
        raise ConfigError(message, hint=error.hint, file=os.path.relpath(edit.path)) from None
    except OSError as error:
        raise StateError(f"{folder} cannot be written to: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(copy)
        for variable in unset:
            del os.environ[variable]


def write(proposal: Proposal) -> None:
    """Write all files, or none. Raises StateError if a file cannot be written, or has changed in the meantime."""
    ready: list[tuple[str, FileEdit]] = []
    try:
        with contextlib.ExitStack() as undo:
            for edit in (*proposal.edits, *([proposal.record] if proposal.record else ())):
                if read(edit.path) != edit.before:
                    raise StateError(f"{edit.path} has changed meanwhile; nothing was written", hint="Try again.")
                folder = os.path.dirname(edit.path)
                _make_folders(folder, undo)
                copy = os.path.join(folder, f".devenv-{secrets.token_hex(4)}~")
                undo.callback(_ignoring_errors, os.unlink, copy)
                _write(copy, edit.after, _mode(edit))
                ready.append((copy, edit))
            for copy, edit in ready:
                os.replace(copy, edit.path)
                undo.callback(_ignoring_errors, _restore, edit)
            undo.pop_all()
    except OSError as error:
        raise StateError(f"nothing was written: {error.filename}: {error.strerror}") from None


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


def _make_folders(path: str, undo: contextlib.ExitStack) -> None:
    """Create the folder and its missing parents, from the top."""
    if not os.path.isdir(path):
        _make_folders(os.path.dirname(path), undo)
        os.mkdir(path)
        undo.callback(_ignoring_errors, os.rmdir, path)


def _ignoring_errors(remove: Any, path: Any) -> None:
    with contextlib.suppress(OSError):
        remove(path)


def _restore(edit: FileEdit) -> None:
    if edit.before is None:
        os.unlink(edit.path)
    else:
        with open(edit.path, "wb") as file:
            file.write(edit.before)
