"""The shell's half of the sync: functions that an open shell is given first, and the commands that call them.

No command follows a link that is below a rule's target, whoever put the link there. A folder is entered by `cd -P`,
compared with the path that was meant, and from then on files have single names in the working directory, which no
rename and no link can exchange. A file is made in a folder of our own (0700) and moved from there to `..`: `mv` onto
a link that leads to a folder would move into that folder.
"""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from devenv.sync.container import tar
from devenv.sync.container.tar import NANO, Entry

T = TypeVar("T")
LINK = "a link is there in the container, and links are not followed"
NO_FOLDER = "its folder is not there in the container"
PIECE = 24 * 1024  # bytes of content in a command
MV_ARGUMENTS = 500
USUAL_MODE = 0o644  # what a file gets from the umask
OWN_STAMPS = 12  # from so many files of one folder on, times are in whole seconds: each other time is a process
PLAIN = frozenset(b"\n\t" + bytes(range(0x20, 0x7F))) - frozenset(b"\\%'")

# With the whole path, for folders that only root can change: o: no folder is in the way. m: move a staged entry over
# its target, never into it. n: its last step, since busybox's mv does not replace a link to itself. l: the same for a
# link. g: many staged entries of one folder at once.
# With a folder and names in it, whoever can change the folder: c: enter it. y: why it cannot be entered; fails if it
# is not there. e: enter it or fail with the reason. r: remove files, and what turns out to be an empty folder; one
# that holds something is not ours to remove. x: remove empty folders. d: a folder with the service's owner. u: only
# root can change where the folder is. b: where a rule's target really is. w: this user can write there.
# t: why a file cannot be written, which not every printf says.
# i, k: a folder of our own in it, entered. f, a: a file in that folder, and more of it. s: a link in it. h: owner and
# h for all, mode and time. v: one of its entries in place. z: the folder or a staged file removed.
PRELUDE = b"""exec 2>&1; unset CDPATH; umask 022
o() { [ ! -d "$2" ] || [ -h "$2" ] || { echo "a folder is there in the container"; return 1; }; }
m() { { o "$1" "$2" && { [ ! -d "$2" ] || rm -f -- "$2"; } && n "$1" "$2"; } || { rm -f -- "$1"; return 1; }; }
n() { mv -f -- "$1" "$2" 2>/dev/null || { [ ! -h "$2" ] || rm -f -- "$2"; mv -f -- "$1" "$2"; }; }
l() { { o "$1" "$2" && rm -f -- "$2" && mv -f -- "$1" "$2"; } || { rm -f -- "$1"; return 1; }; }
g() { s=$1; t=$2; shift 2; ( cd -- "$s" && mv -f -- "$@" "$t/" ); c=$?; return $c; }
c() { cd -P -- "$1" 2>/dev/null && [ "$PWD" = "$1" ]; }
y() { p=$1; while [ -n "$p" ]; do [ ! -h "$p" ] || { echo "%(link)s"; return 0; }; p=${p%%/*}; done
p=$1; while [ ! -d "${p:-/}" ]; do p=${p%%/*}; done
[ ! -x "${p:-/}" ] || [ "$p" = "$1" ] || return 1; echo "its folder cannot be looked into"; }
e() { c "$1" && return; y "$1" || echo "%(away)s"; return 1; }
r() { if c "$1"; then shift; rm -f -- "$@" 2>/dev/null || for p in "$@"; do
if [ -d "$p" ] && [ ! -h "$p" ]; then rmdir -- "$p" 2>/dev/null || :
elif [ -e "$p" ] || [ -h "$p" ]; then rm -f -- "$p" || return 1
elif [ ! -x . ]; then echo "its folder cannot be looked into"; return 1; fi; done; else ! y "$1"; fi; }
x() { if c "$1"; then shift; rmdir -- "$@" 2>/dev/null || :; else ! y "$1"; fi; }
d() { e "$1" || return; [ ! -h "$2" ] || { echo "%(link)s"; return 1; }; [ ! -d "$2" ] || return 0
mkdir -- "$2" || return; q=$1; [ "$q" != / ] || q=
{ c "$q/${2#./}" && [ -z "$(ls -A .)" ] && chown -h "$3" .; } || { c "$1" && rmdir -- "$2"; return 1; }; }
u() { p=$1; set -- /; [ "$p" != / ] || p=; while [ -n "$p" ]; do set -- "$@" "$p"; p=${p%%/*}; done
while read -r p q t v; do case $p in d????-??-*) [ "$t" = 0 ] || return 1;; *) return 1;; esac; done <<END
$(ls -ldn -- "$@" 2>/dev/null || echo -)
END
}
b() { k=; q=; v=$1; t=0; while [ -n "$v" ]; do v=${v#/}; p=${v%%%%/*}; case $v in */*) v=/${v#*/};; *) v=;; esac
case $p in ''|.) continue;; ..) q=${q%%/*}; continue;; esac
if [ -h "$q/$p" ] && [ -d "$q/$p" ]; then t=$((t+1)); [ $t -lt 40 ] && (u "${q:-/}") && s=$(readlink "$q/$p") || {
echo "%(link)s"; return 1; }; case $s in /*) q=;; esac; v=/$s$v; else q=$q/$p; fi; done
[ "${q:-/}" = "$1" ] || { echo "=${q:-/}"; return 1; }; }
w() { p=$1; [ -d "$p" ] || p=${p%%/*}; while [ ! -d "${p:-/}" ]; do p=${p%%/*}; done
[ -w "${p:-/}" ] && [ -x "${p:-/}" ]; }
i() { k=; e "$1" && mkdir -m 700 -- "./$2" && cd -P -- "./$2" && q=$1 || return; [ "$q" != / ] || q=
[ "$PWD" = "$q/$2" ] && [ -O . ] && k=$2; }
k() { i "$@" && case $(ls -ldn .) in drwx--[-S]---*) ;; *) k=; return 1;; esac; }
f() { [ "$k" = "$1" ] || { echo "its folder changes all the time"; return 1; }
printf "$3" 2>/dev/null >"$2" || t "$2" "$3"; }
a() { [ "$k" = "$1" ] && [ -f "$2" ] || return; printf "$3" 2>/dev/null >>"$2" || t "$2" "$3"; }
t() { printf "$2" | cat >>"$1"; rm -f -- "$1"; return 1; }
s() { [ "$k" = "$1" ] || { echo "its folder changes all the time"; return 1; }; ln -s -- "$3" "$2"; }
h() { [ "$k" = "$1" ] || return; shift; "$@"; }
v() { [ "$k" = "$1" ] || return; [ -e "$2" ] || [ -h "$2" ] || return 0; o . ".$2" || return
[ ! -h ".$2" ] || rm -f -- ".$2"; mv -f -- "$2" ..; }
z() { k=; c "$1" || { ! y "$1"; return; }; if [ -d "$2" ] && [ ! -h "$2" ]; then rmdir -- "$2" 2>/dev/null || { q=$1
[ "$q" != / ] || q=; c "$q/${2#./}" && [ -O . ] && rm -f -- ./* ./.[!.]* ./..?*; c "$1" && rmdir -- "$2"; }
else rm -f -- "$2"; fi; }
""" % {b"link": LINK.encode(), b"away": NO_FOLDER.encode()}
NEEDED = b"( for c in mv rm rmdir mkdir chown chmod ls; do command -v $c || exit 1; done ) >/dev/null"


def quoted(path: str) -> bytes:
    """The path as one word of a POSIX shell, whatever bytes it holds."""
    return b"'" + os.fsencode(path).replace(b"'", b"'\\''") + b"'"


def _name(path: str) -> bytes:
    return quoted(f"./{posixpath.basename(path)}")


def _folder(path: str) -> bytes:
    return quoted(posixpath.dirname(path))


def chunked(paths: list[T]) -> list[list[T]]:
    """The paths in pieces that a command line takes."""
    return [paths[at : at + MV_ARGUMENTS] for at in range(0, len(paths), MV_ARGUMENTS)]


def _by_folder(paths: Iterable[str]) -> Iterator[list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        found[posixpath.dirname(path)].append(path)
    for inside in found.values():
        yield from chunked(inside)


def remove(files: Iterable[str]) -> list[tuple[bytes, list[str]]]:
    """Commands after which no file and no empty folder is at the paths; with the paths of each."""
    groups = list(_by_folder(files))
    return [(b" ".join([b"r", _folder(group[0]), *map(_name, group)]), group) for group in groups]


def remove_folders(folders: Sequence[str]) -> list[tuple[bytes, list[str]]]:
    """Commands after which no empty folder is at the paths, in their order; with the paths of each."""
    return [(b" ".join([b"x", _folder(path), _name(path)]), [path]) for path in folders]


def make_folder(path: str, uid: int, gid: int) -> bytes:
    """The command for a folder of this owner if there is none."""
    return b" ".join([b"d", _folder(path), _name(path), b"%d:%d" % (uid, gid)])


def unstage(place: str) -> bytes:
    """The command after which nothing is at a place where a file was staged."""
    return b" ".join([b"z", _folder(place), _name(place)])


def rename(place: str, target: str, *, is_link: bool, is_late: bool) -> bytes:
    """The rename of a staged entry. What was part of a group that failed may have moved already."""
    staged = quoted(place)
    order = (b"l " if is_link else b"m ") + staged + b" " + quoted(target)
    return b"{ [ ! -e " + staged + b" ] && [ ! -h " + staged + b" ]; } || " + order if is_late else order


def rename_group(places: Sequence[str]) -> bytes:
    """The rename of entries that are staged together, in a folder beside the targets."""
    stage = posixpath.dirname(places[0])
    names = b" ".join(quoted(posixpath.basename(place)) for place in places)
    return b"g " + quoted(stage) + b" " + quoted(posixpath.dirname(stage)) + b" " + names


def remove_stages(stages: Iterable[str]) -> bytes:
    """The command that removes staging folders that are empty; it never fails."""
    return b"rmdir -- " + b" ".join(map(quoted, sorted(stages))) + b" 2>/dev/null || :"


def discard(place: str) -> bytes:
    """The command that removes a file which the engine has written."""
    return b"rm -f -- " + quoted(place)


def is_root_only(folder: str) -> bytes:
    """The command that fails if anybody but root can change the folder, or one above it, or if one is a link."""
    return b"u " + quoted(folder)


def is_writable(path: str) -> bytes:
    """The command that fails if the shell's user cannot put files at and below the path."""
    return b"w " + quoted(path)


def resolve(target: str) -> bytes:
    """The command that fails if the path to a rule's target has links: see `place`."""
    return b"b " + quoted(target)


def resolved(output: str) -> str | None:
    """Where the target really is, from what `where` printed; None if links lead there that root did not put there."""
    return output[1:] if output.startswith("=") else None


def put(
    stage: str, entries: Mapping[str, Entry], owner: tuple[int, int], *, as_root: bool
) -> list[tuple[bytes, str | None]]:
    """Commands that put the entries, by target, all of one folder, with a folder named `stage` in between.

    With each command the target that has failed if it fails, or None if that says nothing of a single one.
    """
    name = quoted(stage)
    enter = b"k" if as_root else b"i"
    made: list[tuple[bytes, str | None]] = [(b" ".join([enter, _folder(next(iter(entries))), name]), None)]
    for target, entry in entries.items():
        made += ((b" ".join([verb, name, _name(target), text]), target) for verb, text in _contents(entry))
    made += ((order, None) for order in _attributes(name, entries, owner, as_root=as_root))
    made += (
        (b" ".join([b"h", name, b"mv -f --", *map(_name, group), b".. 2>/dev/null || :"]), None)
        for group in chunked(list(entries))
    )
    made += ((b" ".join([b"v", name, _name(target)]), target) for target in entries)
    made.append((unstage(posixpath.join(posixpath.dirname(next(iter(entries))), stage)), None))
    return made


def append(stage: str, target: str, content: bytes) -> list[bytes]:
    """Commands that add to a file which `puts` has begun: they come after its first two."""
    start = b" ".join([b"a", quoted(stage), _name(target), b""])
    return [start + printed(content[at : at + PIECE]) for at in range(0, len(content), PIECE)]


def _contents(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    if entry.kind == tar.LINK:
        yield b"s", quoted(os.fsdecode(entry.link))
        return
    for at in range(0, max(len(entry.content), 1), PIECE):
        yield (b"a" if at else b"f"), printed(entry.content[at : at + PIECE])


def printed(content: bytes) -> bytes:
    """The format, as one word, by which `printf` writes these bytes; it is never an option."""
    first, rest = content[:1], content[1:]
    text = "".join(f"\\{byte:03o}" for byte in first) + rest.decode("latin-1").translate(_ESCAPES)
    return b"'" + text.encode("ascii") + b"'"


_ESCAPES = {byte: f"\\{byte:03o}" for byte in range(256) if byte not in PLAIN} | {ord("%"): "%%"}


def _attributes(
    name: bytes, entries: Mapping[str, Entry], owner: tuple[int, int], *, as_root: bool
) -> Iterator[bytes]:
    files = [target for target, entry in entries.items() if entry.kind == tar.FILE]
    if as_root and owner != (0, 0):
        yield from _each(b"h " + name + b" chown -h %d:%d --" % owner, list(entries))
    elif not as_root:  # a folder may give its group to what is made in it
        own = b"[ ! -g . ] || h " + name + b" chown -h %d:%d --" % owner
        yield from _each(own, list(entries))
    modes: dict[int, list[str]] = defaultdict(list)
    stamps: dict[bytes, list[str]] = defaultdict(list)
    for target in files:
        modes[entries[target].mode].append(target)
        seconds, nanos = divmod(entries[target].mtime_ns, NANO)
        stamp = b"%d" % seconds
        stamps[stamp if len(files) >= OWN_STAMPS else stamp + b".%09d" % nanos].append(target)
    for mode, some in modes.items():
        if mode != USUAL_MODE:
            yield from _each(b"h " + name + b" chmod %o --" % mode, some)
    for stamp, some in stamps.items():
        for chunk in chunked(some):
            names = b" ".join(map(_name, chunk))
            tries = b" || ".join(
                b"touch -d @" + one + b" -- " + names + b" 2>/dev/null"
                for one in dict.fromkeys((stamp, stamp.partition(b".")[0]))
            )
            yield b'[ "$k" != ' + name + b" ] || " + tries + b" || :"


def _each(start: bytes, paths: list[str]) -> Iterator[bytes]:
    for chunk in chunked(paths):
        yield b" ".join([start, *map(_name, chunk)])
