"""Shell commands of the sync, which call the functions of `prelude.sh`, defined first in an open shell.

No command follows a symbolic link below a rule's target. A folder is entered by `cd -P` and the working directory is
compared with the intended path; from then on files are single names in the working directory, so that no rename and
no link can redirect them. A file is created in a folder of our own (mode 0700) and moved from there to `..`, because
`mv` onto a link to a folder would move into that folder.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from devenv import package_text
from devenv.paths import with_parents
from devenv.sync.container import tar
from devenv.sync.container.tar import NANO, TarEntry

T = TypeVar("T")
STAGED = re.compile(r"\.devenv-\w+-\d+~(/?)")  # watchers of dev servers ignore names that end in `~`
BULK = 12
LINK = "the path in the container is a link, and links are not followed"
NO_FOLDER = "its folder does not exist in the container"
PIECE = 24 * 1024  # bytes of content in a command
MV_ARGUMENTS = 500
USUAL_MODE = 0o644  # mode of a file created with our umask
OWN_STAMPS = 12  # files of one folder; from this number on, times are whole seconds, since each time takes a process
PLAIN = frozenset(b"\n\t" + bytes(range(0x20, 0x7F))) - frozenset(b"\\%'")

_PRELUDE = package_text("sync/container/prelude.sh")
PRELUDE = _PRELUDE.replace("@LINK@", LINK).replace("@NO_FOLDER@", NO_FOLDER).encode()
IS_ROOT_ONLY, IS_WRITABLE, RESOLVE = b"u", b"w", b"b"
NEEDED = b"( for c in mv rm rmdir mkdir chown chmod ls; do command -v $c || exit 1; done ) >/dev/null"


def quoted(path: str) -> bytes:
    """The path as one word of a POSIX shell, for any bytes."""
    return b"'" + os.fsencode(path).replace(b"'", b"'\\''") + b"'"


def call(function: bytes, *paths: str) -> bytes:
    """The command that calls a function of the prelude which takes whole paths."""
    return b" ".join([function, *map(quoted, paths)])


def _call_in(function: bytes, *paths: str) -> bytes:
    return b" ".join([function, quoted(posixpath.dirname(paths[0])), *map(_name, paths)])


def _name(path: str) -> bytes:
    return quoted(f"./{posixpath.basename(path)}")


def chunked(paths: list[T]) -> list[list[T]]:
    """The paths in lists that are short enough for a command line."""
    return [paths[at : at + MV_ARGUMENTS] for at in range(0, len(paths), MV_ARGUMENTS)]


def remove(files: Iterable[str]) -> list[tuple[bytes, list[str]]]:
    """Commands that remove files and empty folders, each with the paths that it removes."""
    names: dict[str, list[str]] = defaultdict(list)
    for path in files:
        names[posixpath.dirname(path)].append(path)
    return [(_call_in(b"r", *group), group) for inside in names.values() for group in chunked(inside)]


def remove_folders(folders: Iterable[str]) -> list[tuple[bytes, list[str]]]:
    """Commands that remove empty folders in the given order, each with the path that it removes."""
    return [(_call_in(b"x", path), [path]) for path in folders]


def make_folder(path: str, uid: int, gid: int) -> bytes:
    """The command that creates a folder with this owner if it is missing."""
    return _call_in(b"d", path) + b" %d:%d" % (uid, gid)


def unstage(place: str) -> bytes:
    """The command that removes a staged file, or a staging folder with its content."""
    return _call_in(b"z", place)


def rename(place: str, target: str, *, is_link: bool, is_late: bool) -> bytes:
    """The command that renames a staged entry. `is_late`: a failed group may have moved it already."""
    staged, command = quoted(place), call(b"l" if is_link else b"m", place, target)
    return b"{ [ ! -e " + staged + b" ] && [ ! -h " + staged + b" ]; } || " + command if is_late else command


def rename_group(places: Sequence[str]) -> bytes:
    """The command that moves entries from their staging folder to the folder above."""
    stage = posixpath.dirname(places[0])
    return call(b"g", stage, posixpath.dirname(stage), *map(posixpath.basename, places))


def remove_stages(stages: Iterable[str]) -> bytes:
    """The command that removes empty staging folders; it never fails."""
    return call(b"rmdir --", *sorted(stages)) + b" 2>/dev/null || :"


def resolved(output: str) -> str | None:
    """The real path of the target, from the output of RESOLVE; None if it has a link not created by root."""
    return output[1:] if output.startswith("=") else None


def put(
    stage: str, entries: Mapping[str, TarEntry], owner: tuple[int, int], *, as_root: bool
) -> list[tuple[bytes, str | None]]:
    """Commands that put entries, by target and all in one folder, through a folder in it named `stage`.

    Each command comes with the target that has failed if the command fails; None if it is for several targets.
    """
    name, folder = quoted(stage), posixpath.dirname(next(iter(entries)))
    commands: list[tuple[bytes, str | None]] = [(call(b"k" if as_root else b"i", folder, stage), None)]
    for target, entry in entries.items():
        commands += ((b" ".join([verb, name, _name(target), text]), target) for verb, text in _contents(entry))
    commands += ((command, None) for command in _attributes(name, entries, owner, as_root=as_root))
    moves = _each(b"h " + name + b" mv -f --", list(entries))
    commands += ((command + b" .. 2>/dev/null || :", None) for command in moves)
    commands += ((b" ".join([b"v", name, _name(target)]), target) for target in entries)
    commands.append((unstage(posixpath.join(folder, stage)), None))
    return commands


def append(stage: str, target: str, content: bytes) -> list[bytes]:
    """Commands that append to a large file; they follow the first two commands of `put`."""
    start = b" ".join([b"a", quoted(stage), _name(target), b""])
    return [start + printed(content[at : at + PIECE]) for at in range(0, len(content), PIECE)]


def _contents(entry: TarEntry) -> Iterator[tuple[bytes, bytes]]:
    if entry.kind == tar.LINK:
        yield b"s", quoted(os.fsdecode(entry.link))
        return
    for at in range(0, max(len(entry.content), 1), PIECE):
        yield (b"a" if at else b"f"), printed(entry.content[at : at + PIECE])


def printed(content: bytes) -> bytes:
    """One word of the shell: the format with which `printf` writes these bytes; it never looks like an option."""
    first, rest = content[:1], content[1:]
    text = "".join(f"\\{byte:03o}" for byte in first) + rest.decode("latin-1").translate(_ESCAPES)
    return b"'" + text.encode("ascii") + b"'"


_ESCAPES = {byte: f"\\{byte:03o}" for byte in range(256) if byte not in PLAIN} | {ord("%"): "%%"}


def _attributes(
    name: bytes, entries: Mapping[str, TarEntry], owner: tuple[int, int], *, as_root: bool
) -> Iterator[bytes]:
    chown = b"h " + name + b" chown -h %d:%d --" % owner
    if not as_root:  # files may inherit the group of the folder
        yield from _each(b"[ ! -g . ] || " + chown, list(entries))
    elif owner != (0, 0):
        yield from _each(chown, list(entries))
    files = {target: entry for target, entry in entries.items() if entry.kind == tar.FILE}
    modes: dict[int, list[str]] = defaultdict(list)
    stamps: dict[bytes, list[str]] = defaultdict(list)
    for target, entry in files.items():
        modes[entry.mode].append(target)
        seconds, nanos = divmod(entry.mtime_ns, NANO)
        stamps[b"%d" % seconds if len(files) >= OWN_STAMPS else b"%d.%09d" % (seconds, nanos)].append(target)
    for mode, targets in modes.items():
        if mode != USUAL_MODE:
            yield from _each(b"h " + name + b" chmod %o --" % mode, targets)
    for stamp, targets in stamps.items():
        for chunk in chunked(targets):
            names = b" ".join(map(_name, chunk))
            tries = b" || ".join(
                b"touch -d @" + text + b" -- " + names + b" 2>/dev/null"
                for text in dict.fromkeys((stamp, stamp.partition(b".")[0]))
            )
            yield b'[ "$k" != ' + name + b" ] || " + tries + b" || :"


def _each(start: bytes, paths: list[str]) -> Iterator[bytes]:
    for chunk in chunked(paths):
        yield b" ".join([start, *map(_name, chunk)])


def plain(reason: str, target: str) -> str:
    """The reason of a failure, with the name of the target instead of the staged name."""
    return STAGED.sub(lambda match: "" if match[1] else posixpath.basename(target), reason)


def innermost(files: Iterable[str], folders: Iterable[str]) -> set[str]:
    """The folders that get many of the files, and none of the other files or folders below them."""
    counts = Counter(file.rpartition("/")[0] for file in files)
    large = {folder for folder, count in counts.items() if count >= BULK} - {"", *folders}
    return large and large - with_parents(posixpath.dirname(path) for path in (*counts, *folders))


def stage(
    targets: Iterable[str], name: Callable[[], str], folders: Mapping[str, str], *, alone: bool
) -> tuple[dict[str, str], set[str]]:
    """The path to stage each target at, and the paths that could remain if the process ended now.

    `name` returns new names. Staged paths are always in the folder of the target, since a rename must stay in its
    file system: `alone` or, if they are many, in one staging folder, because one `mv` is faster than many renames.
    `folders` are staged as a whole: folder -> staging folder.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for target in targets:
        by_folder[target.rpartition("/")[0]].append(target)
    places: dict[str, str] = {}
    staged: set[str] = set()
    for folder, inside in by_folder.items():
        if folder in folders:
            places.update((target, f"{folders[folder]}/{posixpath.basename(target)}") for target in inside)
        elif alone or len(inside) < BULK:
            single = {target: f"{folder}/{name()}" for target in inside}
            places |= single
            staged.update(single.values())
        else:
            staging = f"{folder}/{name()}"
            places.update((target, f"{staging}/{posixpath.basename(target)}") for target in inside)
            staged.add(staging)
    return places, staged
