#!/bin/bash
# Keeps the contract of the postgres image: variables, init scripts, arguments for the server.
# Until a first start is done, the server has no TCP port and no public socket: pg_isready cannot succeed too early.
set -euo pipefail
shopt -s nullglob dotglob
. /usr/local/share/devenv/library.sh

WORK=$PGDATA/.first-start
HIDDEN=/var/run/postgresql/.first-start

sql() { psql --set=ON_ERROR_STOP=1 --quiet --no-psqlrc --no-password --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" "$@"; }
docker_process_sql() { sql "$@"; } # init scripts of the official image may call it

check_variables() {
  [[ -n $POSTGRES_PASSWORD || ${POSTGRES_HOST_AUTH_METHOD-} == trust ]] ||
    fail "database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust"
}

first_start() {
  local new=$WORK/data options=() entry
  if [[ ! -e $WORK/done ]]; then
    check_variables
    # What an interrupted first start left in another folder goes too, and nothing else that may lie there.
    if [[ -d $WORK && -n ${POSTGRES_INITDB_WALDIR-} ]]; then rm -rf "$POSTGRES_INITDB_WALDIR"/*; fi
    rm -rf "$WORK" "$HIDDEN"
    mkdir -p "$WORK" "$HIDDEN"
    if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then options+=(--waldir="$POSTGRES_INITDB_WALDIR"); fi
    if [[ -n $POSTGRES_PASSWORD ]]; then
      options+=(--pwfile="$WORK/password")
      (umask 077 && printf '%s\n' "$POSTGRES_PASSWORD" >"$WORK/password")
    fi
    # The arguments are shell words: a value may be quoted.
    eval "initdb --pgdata=\"\$new\" --username=\"\$POSTGRES_USER\" \"\${options[@]}\" $POSTGRES_INITDB_ARGS"
    rm -f "$WORK/password"
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$new/pg_hba.conf"
    export PGHOST=$HIDDEN
    shift
    pg_ctl --pgdata="$new" --wait --options="$(printf '%q ' "$@" -c listen_addresses= -c unix_socket_directories="$HIDDEN")" start
    if [[ $POSTGRES_DB != postgres ]]; then
      POSTGRES_DB=postgres sql --set=name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
    fi
    run_scripts
    pg_ctl --pgdata="$new" --mode=fast --wait stop
    unset PGHOST
    touch "$WORK/done"
  fi
  for entry in "$new"/*; do mv -f "$entry" "$PGDATA/"; done
  rm -rf "$WORK"
  note "PostgreSQL is ready for its first start"
}

case "${1-}" in -* | '') set -- postgres "$@" ;; esac
if [[ $1 == postgres ]]; then
  for argument in "$@"; do
    case $argument in -'?' | --help | --describe-config | -V | --version | -C) exec "$@" ;; esac
  done
  needs_first_start=
  if [[ -d $WORK || ! -s $PGDATA/PG_VERSION ]]; then
    needs_first_start=yes
    for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_INITDB_ARGS; do secret "$name"; done
    export POSTGRES_USER=${POSTGRES_USER:-postgres}
    export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
  fi
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA" 2>/dev/null || true
  if [[ $(id -u) == 0 ]]; then
    [[ -z ${POSTGRES_INITDB_WALDIR-} ]] || install -d -o postgres -g postgres -m 700 "$POSTGRES_INITDB_WALDIR"
    step_down postgres "$PGDATA" /var/run/postgresql -- "$0" "$@"
  fi
  if [[ $needs_first_start ]]; then first_start "$@"; fi
fi
exec "$@"
