"""What the image's own perl does in a container by itself: a file put, renamed or removed without a process.

One archive request and one `mv` take several milliseconds; a file that is sent to an open perl is in place in a
tenth of one. Perl is in every image made from Debian or Ubuntu. What it cannot do is done by orders to the shell
that it hands everything else on to.
"""

from __future__ import annotations

import os

from devenv.watch.tar import NANO, Entry

END = b"\x01\n"
MOST_FILES = 200  # at once: the next ones are read while these are put
MOST_BYTES = 1 << 20  # a larger file goes by the archive request, which needs no memory in the container

# A line that begins with a byte 1 is a deed, every other one goes to the shell. p: put beside, then rename (its
# content follows the line). m: rename. d: a folder with its owner. r: a file, or an empty folder. e: a folder, where
# it is empty. Nothing: the end; the numbers of the deeds that failed are the answer. utimensat(2) keeps nanoseconds.
PROGRAM = rb"""
$| = 1; my ($m, $time) = @ARGV; my ($i, @bad) = (0);
$SIG{CHLD} = sub { exit 1 };
open(S, "|-", "sh") || exit 1; select((select(S), $| = 1)[0]);
binmode STDIN; binmode STDOUT; binmode S;
$time = 0 if length(pack "p", undef) != 8;
sub put {
  my ($p, $to, $mode, $u, $g, $s, $ns, $size) = @_; my ($c, $f) = ("");
  read(STDIN, $c, $size) == $size || exit 1 if $size;
  sysopen($f, $p, 0301, 0600) || return;
  my $ok = (!$size || syswrite($f, $c) == $size) && chown($u, $g, $f) && chmod($mode, $f)
    && ($time ? !syscall($time, fileno($f), 0, pack("q4", $s, $ns, $s, $ns), 0) : utime($s, $s, $f));
  close($f) && $ok && rename($p, $to) || !unlink($p) && 0;
}
sub gone { my $p = shift; unlink($p) || (-d $p && ! -l $p ? rmdir($p) || 1 : ! -e $p && ! -l $p) }
my %do = (
  p => sub { put(pack("H*", shift), pack("H*", shift), @_) },
  m => sub { rename(pack("H*", $_[0]), pack("H*", $_[1])) },
  d => sub { my $p = pack("H*", $_[0]); -d $p || mkdir($p) && chown($_[1], $_[2], $p) },
  r => sub { gone(pack("H*", $_[0])) },
  e => sub { rmdir(pack("H*", $_[0])) || 1 },
);
print "\n$m end\n";
while (<STDIN>) {
  if (!/^\x01(\w?)/) { print S $_ }
  elsif ($1 eq "") { print join("", map("\n$m $_\n", @bad), "\n$m end\n"); ($i, @bad) = (0) }
  else { my (undef, @a) = split; $do{$1}->(@a) || push(@bad, $i); $i++ }
}
"""

# Starts it in the place of the shell, or says at once that there is none. Mark, then the answers that are waited for.
START = b"""if command -v perl >/dev/null; then
case $(uname -m 2>/dev/null) in x86_64) t=280;; aarch64) t=88;; *) t=0;; esac
exec perl -e '%(program)s' %(mark)s $t
else printf '\\n%%s 0\\n\\n%%s end\\n' %(mark)s %(mark)s; fi
"""


def start(mark: str) -> bytes:
    """What a POSIX shell is told: it is perl from then on, or the order 0 has failed."""
    return START % {b"program": PROGRAM, b"mark": mark.encode()}


def put(entry: Entry, place: str, target: str) -> bytes:
    """The file put at `place`, then renamed to `target`, which is in the same folder."""
    names, times = (_hex(place), _hex(target)), divmod(entry.mtime_ns, NANO)
    head = b"\x01p %s %s %d %d %d %d %d %d\n" % (
        *names, entry.mode, entry.uid, entry.gid, *times, len(entry.content),
    )  # fmt: skip
    return head + entry.content


def rename(place: str, target: str) -> bytes:
    """What is at `place` takes the place of `target`."""
    return b"\x01m %s %s\n" % (_hex(place), _hex(target))


def folder(path: str, uid: int, gid: int) -> bytes:
    """A folder of this owner, where there is none."""
    return b"\x01d %s %d %d\n" % (_hex(path), uid, gid)


def remove(path: str) -> bytes:
    """No file and no empty folder is at the path; a folder that holds something stays."""
    return b"\x01r %s\n" % _hex(path)


def remove_empty(path: str) -> bytes:
    """No empty folder is at the path."""
    return b"\x01e %s\n" % _hex(path)


def _hex(path: str) -> bytes:
    return os.fsencode(path).hex().encode()
