"""The states of the host's files by path, and the difference of remembered and current states; missing roots."""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, ItemsView, Iterable, Iterator, Mapping, MutableMapping
from itertools import chain
from typing import TypeVar, overload

from devenv.lazy_dataclass import dataclass
from devenv.paths import below, is_within
from devenv.sync.host.file_state import PLAIN, SIZE, FileKind, FileState, packed_state

MOST_PACKED = 512  # paths of a folder; a larger one is not packed, since a search in it would take too long
MOST_LOOSE = 200  # changed folders; with more, all are packed again
_STATES = struct.Struct(f"{SIZE}s")
_Content = dict[str, bytes] | tuple[str, bytes]
_NOTHING: dict[str, bytes] = {}
T = TypeVar("T")


class Manifest(MutableMapping[str, FileState]):
    """States by absolute path, as a dict, but grouped by folder.

    The content of a folder is packed into two objects, its names and the states, until one of them changes. So a path
    takes a fifth of the memory that it takes in a dict, and almost none in a copy made by `selection`. Folders that
    contain anything else than files and folders are not packed. Other threads may look paths up while one changes it.
    """

    def __init__(self, states: Mapping[str, FileState] | None = None) -> None:
        self._folders: dict[str, _Content] = {}
        self._loosened = 0
        self.update(states or {})

    def __getitem__(self, path: str) -> FileState:
        if (state := self.get(path)) is None:
            raise KeyError(path)
        return state

    @overload
    def get(self, path: str, default: None = None, /) -> FileState | None: ...

    @overload
    def get(self, path: str, default: T, /) -> FileState | T: ...

    def get(self, path: str, default: T | None = None, /) -> FileState | T | None:
        """The state, or the default. `Mapping.get` would raise and catch an error for each new path."""
        folder, _, name = path.rpartition("/")
        content = self._folders.get(folder, _NOTHING)
        if isinstance(content, dict):
            state = content.get(name)
            return default if state is None else packed_state(state)
        names, states = content
        at = names.find(f"/{name}/")
        if at < 0:
            return default
        at = names.count("/", 0, at) * SIZE
        return packed_state(states[at : at + SIZE])

    def __contains__(self, path: object) -> bool:
        folder, _, name = str(path).rpartition("/")
        content = self._folders.get(folder, {})
        return name in content if isinstance(content, dict) else f"/{name}/" in content[0]

    def __setitem__(self, path: str, state: FileState) -> None:
        folder, _, name = path.rpartition("/")
        self._loose(folder)[name] = state

    def __delitem__(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        content = self._loose(folder)
        del content[name]
        if not content:
            del self._folders[folder]

    def __iter__(self) -> Iterator[str]:
        return (f"{folder}/{name}" for folder, content in [*self._folders.items()] for name in _names(content))

    def __len__(self) -> int:
        return sum(len(c) if isinstance(c, dict) else len(c[1]) // SIZE for c in self._folders.values())

    def items(self) -> ItemsView[str, FileState]:
        """All paths and states; changes during the iteration may be missing in it."""
        return _Items(self)

    def below(self, is_inside: Callable[[str], bool]) -> list[str]:
        """The paths for which `is_inside`, a test of `paths.below`, is true."""
        folders = [(folder, content) for folder, content in [*self._folders.items()] if is_inside(f"{folder}/")]
        return [f"{folder}/{name}" for folder, content in folders for name in _names(content)]

    def names_in(self, folder: str) -> set[str]:
        """The names that are known in the folder."""
        return {*_names(self._folders.get(folder.rstrip("/"), {}))}

    def special(self) -> dict[str, FileState]:
        """The paths that are neither files nor folders."""
        loose = [(folder, content) for folder, content in self._folders.items() if isinstance(content, dict)]
        pairs = ((f"{folder}/{name}", state) for folder, content in loose for name, state in content.items())
        return {path: packed_state(state) for path, state in pairs if state[0] not in PLAIN}

    def named(self, name: str) -> dict[str, FileState]:
        """The paths with this last component."""
        paths = (f"{folder}/{name}" for folder in self._folders)
        return {path: self[path] for path in paths if path in self}

    def differing(self, other: Manifest) -> set[str]:
        """The paths whose states are not the same in the other manifest."""
        paths: set[str] = set()
        for folder in {*self._folders, *other._folders}:
            here, there = self._folders.get(folder, {}), other._folders.get(folder, {})
            if here != there:
                ours, theirs = _unpacked(here), _unpacked(there)
                names = (name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
                paths.update(f"{folder}/{name}" for name in names)
        return paths

    def selection(self, is_wanted: Callable[[str], bool]) -> Manifest:
        """A copy with the wanted paths."""
        copy = Manifest()
        for folder, content in self._folders.items():
            names = _names(content)
            wanted = [name for name in names if is_wanted(f"{folder}/{name}")]
            if len(wanted) == len(names):
                copy._folders[folder] = content if isinstance(content, tuple) else content.copy()
            elif wanted:
                states = _unpacked(content)
                copy.fill(folder, {name: states[name] for name in wanted})
        return copy

    def fill(self, folder: str, content: Mapping[str, bytes]) -> None:
        """Replace the content of a folder: names and states."""
        if content:
            self._folders[folder.rstrip("/")] = _packed(content)
        else:
            self._folders.pop(folder.rstrip("/"), None)

    def become(self, other: Manifest) -> None:
        """Have the states of another manifest, which is not used any more."""
        self._folders = other._folders

    def _loose(self, folder: str) -> dict[str, bytes]:
        """The content of the folder as a dict to be changed."""
        content = self._folders.get(folder, {})
        if not isinstance(content, dict) or not content:
            self._loosened += 1
            if self._loosened > MOST_LOOSE:
                self._folders.update([(at, _packed(c)) for at, c in self._folders.items() if isinstance(c, dict)])
                self._loosened = 1
            content = self._folders[folder] = _unpacked(content)
        return content


class _Items(ItemsView[str, FileState]):
    """The items of a manifest, folder by folder."""

    _mapping: Manifest

    def __iter__(self) -> Iterator[tuple[str, FileState]]:
        for folder, content in [*self._mapping._folders.items()]:  # noqa: SLF001 - of this module
            for name, state in [*_unpacked(content).items()]:
                yield f"{folder}/{name}", packed_state(state)


def _names(content: _Content) -> list[str]:
    return [*content] if isinstance(content, dict) else content[0][1:-1].split("/")


def _packed(content: Mapping[str, bytes]) -> _Content:
    """Packed, or as it is if it has no or too many paths, or one that is neither a file nor a folder."""
    states = b"".join(content.values())
    is_plain = len(states) == SIZE * len(content) and not states[::SIZE].strip(PLAIN)
    if is_plain and 0 < len(content) <= MOST_PACKED:
        return f"/{'/'.join(content)}/", states
    return content if isinstance(content, dict) else {**content}


def _unpacked(content: _Content) -> dict[str, bytes]:
    if isinstance(content, dict):
        return content
    return dict(zip(_names(content), chain.from_iterable(_STATES.iter_unpack(content[1])), strict=True))


Fresh = dict[str, FileState | None]  # the result of a look; None: the path does not exist


@dataclass(frozen=True, slots=True)
class Changes:
    """`present`: new or different, parents first. `gone`: with the last known state, deepest first.

    A path that changed its kind, or that came back with its folder, is in both: gone first, then present.
    """

    present: tuple[tuple[str, FileState], ...] = ()
    gone: tuple[tuple[str, FileState], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.present or self.gone)

    def without(self, paths: Container[str]) -> Changes:
        """The changes of all other paths."""
        return Changes(
            present=tuple((path, state) for path, state in self.present if path not in paths),
            gone=tuple((path, state) for path, state in self.gone if path not in paths),
        )


def diff(before: Manifest, now: Mapping[str, FileState | None]) -> Changes:
    """The difference for the touched paths in `now` (None: does not exist); all other paths are unchanged.

    All that was known below a removed folder is gone, too. An existing folder says nothing about its content: the
    caller has to look at what was known below it.
    """
    present: dict[str, FileState] = {}
    gone: dict[str, FileState] = {}
    for path, state in now.items():
        old = before.get(path)
        if old is not None and (state is None or state.kind is not old.kind):
            gone[path] = old
        if state is not None and (old is None or not state.is_same(old)):
            present[path] = state
            if old is not None and old.is_doubtful and state.kind in (FileKind.FILE, FileKind.LINK):
                gone[path] = old.but(kind=FileKind.DIR)  # a put replaces a file, but a folder may be in its way
    for path in _below_gone(gone, before, now):
        gone[path] = before[path]
        if (state := now.get(path)) is not None:
            present[path] = state
    return Changes(tuple(sorted(present.items())), tuple(sorted(gone.items(), key=deepest_first)))


def _below_gone(gone: dict[str, FileState], before: Manifest, now: Mapping[str, FileState | None]) -> list[str]:
    """Known paths below the folders that are gone, or that may be folders in the container."""
    folders = {path for path, old in gone.items() if old.kind is FileKind.DIR or _may_be_folder(old, now.get(path))}
    return before.below(below(folders)) if folders else []


def _may_be_folder(old: FileState, now: FileState | None) -> bool:
    """Whether the path may be a folder in the container while the host has none there."""
    return old.is_doubtful and (now is None or now.kind is not FileKind.DIR)


def apply(manifest: Manifest, changes: Changes) -> Manifest:
    """The manifest after the changes: the same one, changed in place, since it may be large."""
    for path, _ in changes.gone:
        manifest.pop(path, None)
    manifest.update(changes.present)
    return manifest


def deepest_first(item: tuple[str, FileState]) -> tuple[int, str]:
    """A sort key that puts folders after their content."""
    return -item[0].count("/"), item[0]


def suppress_root_loss(
    before: Manifest, fresh: Fresh, roots: Iterable[str], held: frozenset[str]
) -> tuple[Fresh, frozenset[str]]:
    """`fresh` without the paths that disappeared together with a rule's root, and the roots that are held now.

    A root is held if it does not exist, if it is no longer a folder, or if it is another folder (by inode) that lacks
    more than half of the known content. It is held until a look finds otherwise: an unmounted folder is not deleted.
    (Mutagen halts if a root was emptied, deleted or changed its type; here everything else continues.)
    """
    now_held = set(held)
    for root in roots:
        if root not in before or (root not in fresh and root not in held):
            continue
        if root in fresh and _is_back(before, fresh, root):
            now_held.discard(root)
            continue
        now_held.add(root)
        gone = {path for path, state in fresh.items() if path == root or (state is None and is_within(path, root))}
        fresh = {path: state for path, state in fresh.items() if path not in gone}
    return fresh, frozenset(now_held)


def _is_back(before: Manifest, fresh: Fresh, root: str) -> bool:
    old, now = before[root], fresh[root]
    if now is None or old.kind is not FileKind.DIR:
        return now is not None
    if now.kind is not FileKind.DIR or now.inode == old.inode:
        return now.kind is FileKind.DIR
    known = before.below(below([root]))
    lost = sum(1 for path in known if path in fresh and fresh[path] is None)
    return 2 * lost <= len(known)
