"""The journal of what devenv puts into a container, written before each put: nothing else may be deleted there."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Collection, Iterable
from dataclasses import field

from devenv import private_files
from devenv.errors import StateError
from devenv.lazy_dataclass import dataclass

# Not part of a normalised path: a torn record is recognized.
PLACED, GONE, STAGED, MADE = "//+", "//-", "//~", "//x"
COMPACT_FROM = 1 << 20  # bytes
COMPACT_WHEN = 4  # ratio of records to paths
RUN = secrets.token_hex(3)  # another devenv process may stage in the same folder
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """Container paths that were put (folders end in `/`), are staged, or were made executable by the image."""

    placed: frozenset[str] = frozenset()
    staged: frozenset[str] = frozenset()
    executable: frozenset[str] = frozenset()


@dataclass(slots=True)
class SyncJournal:
    """The journal of one container: for each record, a path, a sign and a zero byte. A torn last record is ignored.

    Another devenv process may append at the same time. If `path` is None, nothing is stored.
    """

    path: str | None = None
    _begun: bool = field(default=False, init=False)

    @classmethod
    def of(cls, folder: str | None, container_id: str) -> SyncJournal:
        """The journal of a container, in the folder of its run. Raises StateError if that folder cannot be used."""
        if folder is None:
            return cls()
        return cls(os.path.join(private_files.private_folder(folder), container_id))

    def note(
        self,
        *,
        placed: Iterable[str] = (),
        gone: Iterable[str] = (),
        staged: Iterable[str] = (),
        executable: Iterable[str] = (),
    ) -> None:
        """Append to the file before returning. Paths that cannot be written are not recorded, so never deleted."""
        signed = ((PLACED, placed), (GONE, gone), (STAGED, staged), (MADE, executable))
        data = os.fsencode("".join([f"{path}{sign}\0" for sign, paths in signed for path in paths]))
        if not data or self.path is None:
            return
        with contextlib.suppress(OSError, StateError):
            private_files.append(self.path, data if self._begun else b"\0" + data)  # ends a record torn by a crash
            self._begun = True

    def read(self) -> JournalRecord:
        """The current content of the journal. Rewrites the file if most of it is outdated."""
        data = b""
        if self.path is not None:
            with contextlib.suppress(OSError, StateError):
                data = private_files.read_bytes(self.path) or b""
        records = os.fsdecode(data).split("\0")[:-1]
        paths: dict[str, dict[str, None]] = {PLACED: {}, STAGED: {}, MADE: {}}
        for record in records:
            path, sign = record[:-3], record[-3:]
            if sign in paths:
                paths[sign][path] = None
            elif sign == GONE:
                for named in (paths[PLACED], paths[STAGED]):
                    named.pop(path, None)
        if len(data) > COMPACT_FROM and len(records) > COMPACT_WHEN * len(paths[PLACED]):
            content = os.fsencode("".join(f"{path}{sign}\0" for sign, named in paths.items() for path in named))
            with contextlib.suppress(OSError, StateError):
                private_files.replace(str(self.path), content, durable=False)
        return JournalRecord(*map(frozenset, paths.values()))

    def forget(self) -> None:
        """Delete the file: the container no longer exists."""
        if self.path is not None:
            with contextlib.suppress(OSError, StateError):
                private_files.remove(self.path)


class StagedPaths:
    """Container paths where something is staged, or may be; they are in the journal, too."""

    def __init__(self, journal: SyncJournal) -> None:
        self.paths: set[str] = set()
        self._journal = journal

    def add(self, paths: Collection[str]) -> None:
        """Record paths before something is staged there."""
        self.paths.update(paths)
        self._journal.note(staged=paths)

    def add_new(self, folder: str) -> str:
        """Record and return a new path in the folder."""
        path = f"{folder.rstrip('/')}/{staged_name()}"
        self.add([path])
        return path

    def forget(self, paths: Collection[str]) -> None:
        """Record that nothing is staged at these paths any more."""
        self._journal.note(gone=paths)
        self.paths.difference_update(paths)

    def keep(self, paths: Collection[str]) -> None:
        """Record that nothing is staged any more except at these paths."""
        self.forget(self.paths.difference(paths))


def staged_name() -> str:
    """A new name for a file or folder staged by this process."""
    return f".devenv-{RUN}-{next(_NUMBERS)}~"


def forget_others(folder: str, container_ids: Collection[str]) -> None:
    """Delete the journals of all other containers."""
    with contextlib.suppress(OSError, StateError):
        for name in private_files.entries(folder):
            if name not in container_ids:
                SyncJournal(os.path.join(folder, name)).forget()
