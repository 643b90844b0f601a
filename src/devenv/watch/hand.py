"""What the image's own perl does in a container by itself: a file put, renamed or removed without a process.

A file goes to an open perl with its content by the connection that is there: the whole way of a save then takes less
than one archive request and one `mv` alone (docs/performance.md, first row against its floor). Perl is in every image
made from Debian or Ubuntu. What it cannot do is done by orders to the shell that it hands everything else on to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from devenv.watch.tar import NANO, Entry

MOST_FILES = 200  # at once: the next ones are read while these are put
MOST_BYTES = 1 << 20  # a larger file goes by the archive request, which needs no memory in the container

# What comes is a line of kind and length, then so many bytes: nothing is begun before all of it is there, since a
# connection may be cut anywhere. s: orders for the shell. d: deeds, answered by the numbers of those that failed.
# A deed is a line, and after a p its content. p: put beside, then rename. m: rename. d: a folder with its owner. r: a
# file, or an empty folder. e: a folder, where it is empty. utimensat(2) keeps nanoseconds.
PROGRAM = rb"""
$| = 1; my ($m, $time) = @ARGV;
$SIG{CHLD} = sub { exit 1 };
open(S, "|-", "sh") || exit 1; select((select(S), $| = 1)[0]);
binmode STDIN; binmode STDOUT; binmode S;
$time = 0 if length(pack "p", undef) != 8;
sub put {
  my ($c, $p, $to, $mode, $u, $g, $s, $ns) = @_; my $f;
  sysopen($f, $p, 0301, 0600) || return;
  my $ok = ($$c eq "" || syswrite($f, $$c) == length $$c) && chown($u, $g, $f) && chmod($mode, $f)
    && ($time ? !syscall($time, fileno($f), 0, pack("q4", $s, $ns, $s, $ns), 0) : utime($s, $s, $f));
  close($f) && $ok && rename($p, $to) || !unlink($p) && 0;
}
sub gone { my $p = shift; unlink($p) || (-d $p && ! -l $p ? rmdir($p) || 1 : ! -l $p && ($! == 2 || $! == 20)) }
my %do = (
  p => sub { my ($c, $p, $to) = splice(@_, 0, 3); put($c, pack("H*", $p), pack("H*", $to), @_) },
  m => sub { rename(pack("H*", $_[1]), pack("H*", $_[2])) },
  d => sub { my $p = pack("H*", $_[1]); -d $p || mkdir($p) && (chown($_[2], $_[3], $p) || !rmdir($p) && 0) },
  r => sub { gone(pack("H*", $_[1])) },
  e => sub { rmdir(pack("H*", $_[1])) || 1 },
);
print "\n$m end\n";
while (<STDIN>) {
  my ($kind, $n) = /^(\w) (\d+)\n\z/ or last; my ($b, $at, $i, @bad) = ("", 0, 0);
  !$n || read(STDIN, $b, $n) == $n or last;
  if ($kind eq "s") { print S $b; next }
  while ($at < $n) {
    my $end = index($b, "\n", $at); my ($do, @a) = split(" ", substr($b, $at, $end - $at)); $at = $end + 1;
    my $c = $do eq "p" ? substr($b, $at, pop @a) : ""; $at += length $c;
    $do{$do}->(\$c, @a) || push(@bad, $i); $i++;
  }
  print join("", map("\n$m $_\n", @bad), "\n$m end\n");
}
"""

# Starts it in the place of the shell, or says at once that there is none. Mark, then the answers that are waited for.
START = b"""unset PERL_UNICODE PERL5OPT PERLIO PERL5LIB PERL5DB
if [ "$(perl -e 'print 42' 2>/dev/null)" = 42 ]; then
case $(uname -m 2>/dev/null) in x86_64) t=280;; aarch64) t=88;; *) t=0;; esac
exec perl -e '%(program)s' %(mark)s $t
else printf '\\n%%s 0\\n\\n%%s end\\n' %(mark)s %(mark)s; fi
"""


def start(mark: str) -> bytes:
    """What a POSIX shell is told: it is perl from then on, or the order 0 has failed."""
    return START % {b"program": PROGRAM, b"mark": mark.encode()}


def deeds(them: Iterable[bytes]) -> bytes:
    """Deeds as they are sent."""
    return _framed(b"d", b"".join(them))


def orders(text: bytes) -> bytes:
    """Orders for the shell behind it as they are sent."""
    return _framed(b"s", text)


def _framed(kind: bytes, content: bytes) -> bytes:
    return b"%s %d\n%s" % (kind, len(content), content)


def put(entry: Entry, place: str, target: str) -> bytes:
    """The file put at `place`, then renamed to `target`, which is in the same folder."""
    names, times = (_hex(place), _hex(target)), divmod(entry.mtime_ns, NANO)
    head = b"p %s %s %d %d %d %d %d %d\n" % (
        *names, entry.mode, entry.uid, entry.gid, *times, len(entry.content),
    )  # fmt: skip
    return head + entry.content


def rename(place: str, target: str) -> bytes:
    """What is at `place` takes the place of `target`."""
    return b"m %s %s\n" % (_hex(place), _hex(target))


def folder(path: str, uid: int, gid: int) -> bytes:
    """A folder of this owner, where there is none."""
    return b"d %s %d %d\n" % (_hex(path), uid, gid)


def remove(path: str) -> bytes:
    """No file and no empty folder is at the path; a folder that holds something stays."""
    return b"r %s\n" % _hex(path)


def remove_empty(path: str) -> bytes:
    """No empty folder is at the path."""
    return b"e %s\n" % _hex(path)


def _hex(path: str) -> bytes:
    return os.fsencode(path).hex().encode()
