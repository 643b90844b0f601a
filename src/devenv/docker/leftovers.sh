# Kill the sessions of commands that exec started with another mark. Such a command has no parent in the container, and
# a session of its own; a process that it started in another session (a reload, a daemon) is meant to go on.
stat() { read -r line 2>/dev/null <"/proc/$1/stat" && { set -- ${line##*) }; parent=$2 session=$4; }; }
found=$(grep -lF "$1=" /proc/[0-9]*/environ 2>/dev/null)
for file in $(grep -LF "$1=$2" $found /dev/null 2>/dev/null); do
pid=${file#/proc/}; pid=${pid%/environ}; stat "$pid" && [ "$parent" = 0 ] && roots="$roots $pid "; done
[ -z "$roots" ] || for file in /proc/[0-9]*; do stat "${file#/proc/}" &&
case $roots in *" $session "*) kill -9 "${file#/proc/}";; esac; done
