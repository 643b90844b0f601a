"""The helper in a container, `helper.pl`: puts, renames and removes files with one process of the image's own perl.

A file is sent with its content to the running program through the open connection: a whole save then takes less time
than one archive request and one `mv` (docs/performance.md, first row against its floor). Every image that is based on
Debian or Ubuntu has perl. The program passes shell commands on to a shell, for operations that it does not have.

It follows no link. Everything that it creates, renames or removes is a single name in the working directory, which is
the intended folder: the kernel reports this path for it, or each folder from the root down was opened by its single
name with O_NOFOLLOW.
"""

from __future__ import annotations

import os

from devenv import package_text
from devenv.sync.container import tar
from devenv.sync.container.tar import NANO, TarEntry

BEGIN, RENAME, MAKE_FOLDER, STAGE_FOLDER = b"b", b"m", b"d", b"n"
REMOVE, REMOVE_EMPTY, IS_ROOT_ONLY = b"r", b"e", b"t"
MOST_FILES = 200  # files of one batch
READERS = 3  # of batches: two are on their way while a third is read
MOST_BYTES = 1 << 20  # bytes of an operation; larger files are sent by an archive request or in pieces

PROGRAM = package_text("sync/container/helper.pl").encode()

# Replaces the shell by the program, or reports at once that command 0 has failed.
START = b"""unset PERL_UNICODE PERL5OPT PERLIO PERL5LIB PERL5DB PERL_USE_UNSAFE_INC
if [ "$(perl -e 'print 42' 2>/dev/null)" = 42 ]; then
case $(uname -m 2>/dev/null) in x86_64) t=280;; aarch64) t=88;; *) t=0;; esac
exec perl -e '%(program)s' %(mark)s $t %(shell)s '%(session)s'
else printf '\\n%%s 0\\n\\n%%s end\\n' %(mark)s %(mark)s; fi
"""


def start(mark: str, shell: str, session: str) -> bytes:
    """The input for a POSIX shell that replaces it by the helper, which passes commands to `shell`.

    `session` is the argument that marks both processes. Command 0 fails if there is no perl.
    """
    names = {b"mark": mark, b"shell": shell, b"session": session}
    return START % {b"program": PROGRAM, **{key: value.encode() for key, value in names.items()}}


def message(kind: bytes, content: bytes) -> bytes:
    """A message to the program: operations (`d`), or commands for the shell behind it (`s`)."""
    return b"%s %d\n%s" % (kind, len(content), content)


def operation(verb: bytes, *words: str | int) -> bytes:
    """The line of an operation: names in hexadecimal, so that they cannot contain a line end; numbers in decimal."""
    texts = (b"%d" % word if isinstance(word, int) else _hexadecimal(word) for word in words)
    return b" ".join([verb, *texts]) + b"\n"


def put(entry: TarEntry, place: str, target: str) -> list[bytes]:
    """Create a file or link at `place`, then rename it to `target` in the same folder; a large file in pieces."""
    if entry.kind == tar.LINK:
        return [operation(b"l", place, target, entry.uid, entry.gid, os.fsdecode(entry.link))]
    size = len(entry.content)
    if size <= MOST_BYTES:
        name = target.rpartition("/")[2]  # the helper needs no more
        line = b"p %s %s %d %d %d %d %d %d\n"
        return [line % (_hexadecimal(place), _hexadecimal(name), *_attributes(entry), size) + entry.content]
    pieces = (entry.content[at : at + MOST_BYTES] for at in range(0, size, MOST_BYTES))
    return [operation(BEGIN, place), *map(more, pieces), finish(entry, place, target)]


def more(piece: bytes) -> bytes:
    """Append a piece of content to the file that was begun."""
    return b"w %d\n%s" % (len(piece), piece)


def finish(entry: TarEntry, place: str, target: str) -> bytes:
    """Set mode, owner and time of the file that was begun, and rename it to `target` in the same folder."""
    return operation(b"f", place, target, *_attributes(entry))


def _hexadecimal(text: str) -> bytes:
    return os.fsencode(text).hex().encode()


def _attributes(entry: TarEntry) -> tuple[int, ...]:
    return (entry.mode, entry.uid, entry.gid, *divmod(entry.mtime_ns, NANO))
