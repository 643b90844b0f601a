# Reads from descriptor 3 until a line comes, or until the process that has the other end of the pipe is gone: then
# the folder, its first argument, is removed. Both end the command.
exec 3<&0 </dev/null
folder=$1
shift
"$@" 3<&- &
child=$!
{ read -r _ <&3 || { rm -rf -- "$folder"; rmdir -- "${folder%/*}"; }; kill "$child"; } 2>/dev/null &
watcher=$!
exec 3<&-
wait "$child"
code=$?
kill "$watcher" 2>/dev/null
exit $code
