# Waits for a line on the descriptor, its first argument. If there is none, the process at the other end of the pipe was
# killed: the containers, its third argument, go on once the last request of that process is done, and the record of
# them is removed if the engine answers. The remaining words are the docker command.
descriptor=$1
record=$2
containers=$3
shift 3
read -r _ <"/dev/fd/$descriptor" && exit
sleep 1
"$@" unpause $containers
"$@" ps --quiet && rm -f -- "$record"
