# A message is a line with its kind and length, then that many bytes. Nothing is done before the message is complete,
# because the connection may be cut anywhere. s: commands for the shell. d: operations; the answer has the numbers of
# those that failed. An operation is a line, and for p and w its content follows. A new file mostly has its owner and
# mode from the start: a change of them costs the file system as much as the content.
# p: create a file beside its target, then rename it. b, w, f: the same in pieces. l: create a link, then rename it.
# m: rename. d: make a folder with its owner; n: to stage one that does not exist. r: remove a file or an empty folder.
# e: remove an empty folder. t: fail unless only root can change the folder and those above it. utimensat(2) sets
# nanoseconds. F_SETPIPE_SZ, 1031: the next message arrives while this one is carried out.
# A link and a folder are created as their owner, because a name could be exchanged between creation and chown.
BEGIN { @INC = grep(m{^/}, @INC) } use Fcntl;
$| = 1; my ($m, $time, $sh, $mark) = @ARGV; my ($here, $safe, $big);
$SIG{CHLD} = sub { exit 1 };
open(S, "|-", $sh, "-s", $mark) || exit 1; select((select(S), $| = 1)[0]);
binmode STDIN; binmode STDOUT; binmode S; fcntl(STDIN, 1031, 1 << 20);
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
sub open_new { sysopen($_[0], $_[1], O_WRONLY | O_CREAT | O_EXCL, $_[2]) }
sub mine {
  my ($u, $g, $do) = @_; return if $> || !$u;
  local $) = "$g $g"; local $> = $u; $> == $u && $) == $g && $do->();
}
sub finish {
  my ($f, $ok, $p, $to, $mode, $u, $g, $s, $ns) = @_;
  my @s = stat $f;
  $ok &&= @s && ($s[4] == $u && $s[5] == $g || chown($u, $g, $f)) && (($s[2] & 07777) == $mode || chmod($mode, $f))
    && ($time ? !syscall($time, fileno($f), 0, pack("q4", $s, $ns, $s, $ns), 0) : utime($s, $s, $f));
  close($f) && $ok && ($p eq $to || rename($p, $to)) || !unlink($p) && 0;
}
sub gone {
  my $p = shift;
  defined $p || return $! == 2 || ($! == 20 && !linked());
  unlink($p) || (-d $p && ! -l $p ? rmdir($p) || 1 : ! -l $p && ($! == 2 || $! == 20));
}
my $last;
sub linked { my $p = $last; while ($p =~ s{/[^/]+\z}{}s) { return 1 if -l $p } 0 }
my %do; %do = (
  p => sub {
    my ($c, $p, $to, @a) = @_; my ($n, $f) = at($p); defined $n && open_new($f, $n, $a[0]) || return;
    finish($f, $$c eq "" || syswrite($f, $$c) == length $$c, $n, base($to), @a);
  },
  b => sub { close $big if $big; undef $big; my $n = at($_[1]); defined $n && open_new($big, $n, 0600) },
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
  n => sub {
    my (undef, $p, $to, @a) = @_; defined at($p, 1) && !lstat(base($to)) && $! == 2 && $do{d}->(undef, $p, @a);
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
