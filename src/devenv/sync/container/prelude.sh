# Functions that take whole paths, for folders that only root can change:
# o: fail if a folder is at the path. m: move a staged entry over its target, never into it. n: the last step of m,
# because busybox's mv does not replace a link to itself. l: as m, for a link. g: move many staged entries at once.
# Functions that take a folder and names in it, for folders that anybody can change:
# c: enter the folder. y: print why it cannot be entered; fail if it does not exist. e: enter it, or fail with the
# reason. r: remove files and empty folders; a folder that has content is not ours to remove. x: remove empty folders.
# d: make a folder with the service's owner. u: fail unless only root can change the folder and those above it.
# b: resolve a rule's target. w: fail unless this user can write there. t: print why a file cannot be written, which
# not every printf does.
# i, k: create a folder of our own in the folder, and enter it. f: create a file in it. a: append to that file.
# s: create a link in it. h: set owner, mode or time in it. v: move an entry out of it to its place. z: remove it, or
# a staged file.
exec 2>&1; unset CDPATH; umask 022
o() { [ ! -d "$2" ] || [ -h "$2" ] || { echo "a folder is there in the container"; return 1; }; }
m() { { o "$1" "$2" && { [ ! -d "$2" ] || rm -f -- "$2"; } && n "$1" "$2"; } || { rm -f -- "$1"; return 1; }; }
n() { mv -f -- "$1" "$2" 2>/dev/null || { [ ! -h "$2" ] || rm -f -- "$2"; mv -f -- "$1" "$2"; }; }
l() { { o "$1" "$2" && rm -f -- "$2" && mv -f -- "$1" "$2"; } || { rm -f -- "$1"; return 1; }; }
g() { s=$1; t=$2; shift 2; ( cd -- "$s" && mv -f -- "$@" "$t/" ); c=$?; return $c; }
c() { cd -P -- "$1" 2>/dev/null && [ "$PWD" = "$1" ]; }
y() { p=$1; while [ -n "$p" ]; do [ ! -h "$p" ] || { echo "@LINK@"; return 0; }; p=${p%/*}; done
p=$1; while [ ! -d "${p:-/}" ]; do p=${p%/*}; done
[ ! -x "${p:-/}" ] || [ "$p" = "$1" ] || return 1; echo "its folder cannot be looked into"; }
e() { c "$1" && return; y "$1" || echo "@NO_FOLDER@"; return 1; }
r() { if c "$1"; then shift; rm -f -- "$@" 2>/dev/null || for p in "$@"; do
if [ -d "$p" ] && [ ! -h "$p" ]; then rmdir -- "$p" 2>/dev/null || :
elif [ -e "$p" ] || [ -h "$p" ]; then rm -f -- "$p" || return 1
elif [ ! -x . ]; then echo "its folder cannot be looked into"; return 1; fi; done; else ! y "$1"; fi; }
x() { if c "$1"; then shift; rmdir -- "$@" 2>/dev/null || :; else ! y "$1"; fi; }
d() { e "$1" || return; [ ! -h "$2" ] || { echo "@LINK@"; return 1; }; [ ! -d "$2" ] || return 0
mkdir -- "$2" || return; q=$1; [ "$q" != / ] || q=
{ c "$q/${2#./}" && [ -z "$(ls -A .)" ] && chown -h "$3" .; } || { c "$1" && rmdir -- "$2"; return 1; }; }
u() { p=$1; set -- /; [ "$p" != / ] || p=; while [ -n "$p" ]; do set -- "$@" "$p"; p=${p%/*}; done
while read -r p q t v; do case $p in d????-??-*) [ "$t" = 0 ] || return 1;; *) return 1;; esac; done <<END
$(ls -ldn -- "$@" 2>/dev/null || echo -)
END
}
b() { k=; q=; v=$1; t=0; while [ -n "$v" ]; do v=${v#/}; p=${v%%/*}; case $v in */*) v=/${v#*/};; *) v=;; esac
case $p in ''|.) continue;; ..) q=${q%/*}; continue;; esac
if [ -h "$q/$p" ] && [ -d "$q/$p" ]; then t=$((t+1)); [ $t -lt 40 ] && (u "${q:-/}") && s=$(readlink "$q/$p") || {
echo "@LINK@"; return 1; }; case $s in /*) q=;; esac; v=/$s$v; else q=$q/$p; fi; done
[ "${q:-/}" = "$1" ] || { echo "=${q:-/}"; return 1; }; }
w() { p=$1; [ -d "$p" ] || p=${p%/*}; while [ ! -d "${p:-/}" ]; do p=${p%/*}; done
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
