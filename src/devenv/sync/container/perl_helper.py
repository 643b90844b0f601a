"""The helper in a container: a program for the image's own perl that puts, renames and removes files in one process.

A file is sent with its content to the running program through the open connection: a whole save then takes less time
than one archive request and one `mv` (docs/performance.md, first row against its floor). Every image that is based on
Debian or Ubuntu has perl. The program passes shell commands on to a shell behind it, which do what it cannot do.

It follows no link. Whatever it creates, renames or removes is a single name in the working directory, and that is the
intended folder: the kernel reports this path for it, or each folder from the root down was opened by its single name
with O_NOFOLLOW.
"""

from __future__ import annotations

import os

from devenv.sync.container import tar
from devenv.sync.container.tar import NANO, TarEntry

BEGIN, RENAME, MAKE_FOLDER, REMOVE, REMOVE_EMPTY, IS_ROOT_ONLY = b"b", b"m", b"d", b"r", b"e", b"t"
MOST_FILES = 200  # of one batch: the next files are read while these are put
MOST_BYTES = 1 << 20  # of an operation: an archive request needs no memory in the container, otherwise pieces

# A message is a line with its kind and length, then that many bytes. Nothing is done before the message is complete,
# because the connection may be cut anywhere. s: commands for the shell. d: operations; the answer has the numbers of
# those that failed. An operation is a line, and for p and w its content follows.
# p: create a file beside its target, then rename it. b, w, f: the same in pieces. l: create a link, then rename it.
# m: rename. d: make a folder with its owner. r: remove a file or an empty folder. e: remove an empty folder. t: fail
# unless only root can change the folder and those above it. utimensat(2) sets nanoseconds.
# A link and a folder are created as their owner, because a name could be exchanged between creation and chown.
PROGRAM = rb"""
BEGIN { @INC = grep(m{^/}, @INC) } use Fcntl;
$| = 1; my ($m, $time, $sh, $mark) = @ARGV; my ($here, $safe, $big);
$SIG{CHLD} = sub { exit 1 };
open(S, "|-", $sh, "-s", $mark) || exit 1; select((select(S), $| = 1)[0]);
binmode STDIN; binmode STDOUT; binmode S;
$time = 0 if length(pack "p", undef) != 8;
my $dir = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
sub to {
  my ($d, $all) = @_; return 1 if defined $here && $here eq $d && (!$all || defined $safe);
  undef $here; undef $safe;
  if (!$all && chdir($d) && (readlink("/proc/self/cwd") || "") eq $d) { $here = $d; return 1 }
  $safe = 1; chdir("/") || return;
  for my $c (".", split(m{/}, $d)) {
    next if $c eq ""; my $f; sysopen($f, $c, $dir) && chdir($f) || return;
    my @s = stat $f; $safe &&= !$s[4] && !($s[2] & 022);
  }
  $here = $d; 1;
}
sub at {
  my ($d, $n) = pack("H*", $_[0]) =~ m{^(.*)/([^/]+)\z}s; scalar(defined $n && to($d, $_[1]) ? $n : undef);
}
sub base { pack("H*", $_[0]) =~ m{([^/]+)\z}s; $1 }
sub is_empty { my $d; undef $here; chdir($_[0]) && opendir($d, ".") && 2 == (my @in = readdir($d)) }
sub open_new { sysopen($_[0], $_[1], O_WRONLY | O_CREAT | O_EXCL, 0600) }
sub mine {
  my ($u, $g, $do) = @_; return if $> || !$u;
  local $) = "$g $g"; local $> = $u; $> == $u && $) == $g && $do->();
}
sub finish {
  my ($f, $ok, $p, $to, $mode, $u, $g, $s, $ns) = @_;
  $ok &&= chown($u, $g, $f) && chmod($mode, $f)
    && ($time ? !syscall($time, fileno($f), 0, pack("q4", $s, $ns, $s, $ns), 0) : utime($s, $s, $f));
  close($f) && $ok && rename($p, $to) || !unlink($p) && 0;
}
sub gone {
  my $p = shift;
  defined $p || return $! == 2 || ($! == 20 && !linked());
  unlink($p) || (-d $p && ! -l $p ? rmdir($p) || 1 : ! -l $p && ($! == 2 || $! == 20));
}
my $last;
sub linked { my $p = $last; while ($p =~ s{/[^/]+\z}{}s) { return 1 if -l $p } 0 }
my %do = (
  p => sub {
    my ($c, $p, $to, @a) = @_; my ($n, $f) = at($p); defined $n && open_new($f, $n) || return;
    finish($f, $$c eq "" || syswrite($f, $$c) == length $$c, $n, base($to), @a);
  },
  b => sub { close $big if $big; undef $big; my $n = at($_[1]); defined $n && open_new($big, $n) },
  w => sub { my $c = $_[0]; $big && (syswrite($big, $$c) == length $$c || (undef $big)) },
  f => sub {
    my (undef, $p, $to, @a) = @_; my $f = $big; undef $big; my $n = at($p); defined $n || return;
    $f ? finish($f, 1, $n, base($to), @a) : !unlink($n) && 0;
  },
  l => sub {
    my (undef, $p, $to, $u, $g, $text) = @_; my ($n, $t) = (at($p, 1), base($to)); $text = pack("H*", $text);
    defined $n || return;
    my $ok = mine($u, $g, sub { symlink($text, $n) }) || symlink($text, $n)
      && (!$safe || !($u || $g) || $> || eval { require POSIX; POSIX::lchown($u, $g, $n) });
    $ok && rename($n, $t) || !unlink($n) && 0;
  },
  m => sub { my $n = at($_[1]); defined $n && rename($n, base($_[2])) },
  d => sub {
    my (undef, $p, $u, $g) = @_; my ($n, $f) = at($p, 1); defined $n || return;
    return 1 if -d $n && ! -l $n || mine($u, $g, sub { mkdir $n });
    mkdir($n) && sysopen($f, $n, $dir) || return;
    $safe ? chown($u, $g, $f) || !rmdir($n) && 0 : is_empty($f) && chown($u, $g, $f);
  },
  r => sub { $last = pack("H*", $_[1]); gone(at($_[1])) },
  e => sub { $last = pack("H*", $_[1]); my $n = at($_[1]); defined $n ? rmdir($n) || 1 : gone() },
  t => sub { undef $here; to(pack("H*", $_[1]), 1) && $safe },
);
print "\n$m end\n";
while (<STDIN>) {
  my ($kind, $n) = /^(\w) (\d+)\n\z/ or last; my ($b, $at, $i, @bad) = ("", 0, 0);
  !$n || read(STDIN, $b, $n) == $n or last;
  if ($kind eq "s") { print S $b; next }
  undef $here;
  while ($at < $n) {
    my $end = index($b, "\n", $at); my ($do, @a) = split(" ", substr($b, $at, $end - $at)); $at = $end + 1;
    my $c = $do =~ /[pw]/ ? substr($b, $at, pop @a) : ""; $at += length $c;
    $do{$do}->(\$c, @a) || push(@bad, $i); $i++;
  }
  print join("", map("\n$m $_\n", @bad), "\n$m end\n");
}
"""

# Replaces the shell by the program, or answers at once that command 0 has failed.
START = b"""unset PERL_UNICODE PERL5OPT PERLIO PERL5LIB PERL5DB PERL_USE_UNSAFE_INC
if [ "$(perl -e 'print 42' 2>/dev/null)" = 42 ]; then
case $(uname -m 2>/dev/null) in x86_64) t=280;; aarch64) t=88;; *) t=0;; esac
exec perl -e '%(program)s' %(mark)s $t %(shell)s '%(session)s'
else printf '\\n%%s 0\\n\\n%%s end\\n' %(mark)s %(mark)s; fi
"""


def start(mark: str, shell: str, session: str) -> bytes:
    """The input for a POSIX shell that replaces it by the helper, which gives the commands to `shell`.

    `session` is the argument that marks both processes. Command 0 fails if there is no perl.
    """
    names = {b"mark": mark, b"shell": shell, b"session": session}
    return START % {b"program": PROGRAM, **{key: value.encode() for key, value in names.items()}}


def message(kind: bytes, content: bytes) -> bytes:
    """A message to the program: operations (`d`), or commands for the shell behind it (`s`)."""
    return b"%s %d\n%s" % (kind, len(content), content)


def operation(verb: bytes, *words: str | int) -> bytes:
    """The line of an operation: names in hexadecimal, so that none can end it, numbers in decimal."""
    texts = (b"%d" % word if isinstance(word, int) else os.fsencode(word).hex().encode() for word in words)
    return b" ".join([verb, *texts]) + b"\n"


def put(entry: TarEntry, place: str, target: str) -> list[bytes]:
    """Create a file or link at `place`, then rename it to `target` in the same folder; a large file in pieces."""
    if entry.kind == tar.LINK:
        return [operation(b"l", place, target, entry.uid, entry.gid, os.fsdecode(entry.link))]
    size = len(entry.content)
    if size <= MOST_BYTES:
        return [operation(b"p", place, target, *_attributes(entry), size) + entry.content]
    pieces = (entry.content[at : at + MOST_BYTES] for at in range(0, size, MOST_BYTES))
    return [operation(BEGIN, place), *map(more, pieces), finish(entry, place, target)]


def more(piece: bytes) -> bytes:
    """Append a piece of content to the file that was begun."""
    return b"w %d\n%s" % (len(piece), piece)


def finish(entry: TarEntry, place: str, target: str) -> bytes:
    """Set mode, owner and time of the file that was begun, and rename it to `target` in the same folder."""
    return operation(b"f", place, target, *_attributes(entry))


def _attributes(entry: TarEntry) -> tuple[int, ...]:
    return (entry.mode, entry.uid, entry.gid, *divmod(entry.mtime_ns, NANO))
