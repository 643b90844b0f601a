#!/bin/bash
# Keeps the contract of the mysql and mariadb images: variables, init scripts, arguments for mysqld.
# Until a first start is done, the server has no TCP port and no public socket: a health check cannot succeed too early.
set -euo pipefail
shopt -s nullglob dotglob

. /usr/local/share/devenv/library.sh

DATA=/var/lib/mysql
READY_MADE=/usr/share/devenv/empty.tar.zst
HIDDEN_SOCKET=/run/mysqld/first-start.sock
SERVER_PID=

quoted() {
  local text=${1//\\/\\\\}
  printf "'%s'" "${text//\'/\\\'}"
}
identifier() { printf '%s%s%s' '`' "${1//\`/\`\`}" '`'; }

is_mariadb() { [[ $(mysqld --version) == *MariaDB* ]]; }

make_empty() {
  local folder=$1
  shift
  if is_mariadb; then
    mariadb-install-db --datadir="$folder" --auth-root-authentication-method=normal --skip-test-db >/dev/null
  else
    "$@" --initialize-insecure --datadir="$folder"
  fi
}

start_hidden() {
  local folder=$1
  shift
  is_mariadb || set -- "$@" --loose-mysqlx=OFF
  "$@" --datadir="$folder" --skip-networking --socket="$HIDDEN_SOCKET" \
    --innodb-flush-log-at-trx-commit=0 --sync-binlog=0 & # the end of this server writes all of it
  SERVER_PID=$!
  until MYSQL_PWD='' mysqladmin --no-defaults --socket="$HIDDEN_SOCKET" --user=root ping >/dev/null 2>&1; do
    kill -0 "$SERVER_PID" 2>/dev/null || fail "mysqld ended during its first start, see above"
    sleep 0.1
  done
}

stop_hidden() {
  kill "$SERVER_PID"
  wait "$SERVER_PID" || fail "mysqld did not end well after its first start, see above"
  SERVER_PID=
}

as_root() { mysql --no-defaults --socket="$HIDDEN_SOCKET" --user=root --binary-mode "$@"; }

# MariaDB begins with roots of the host that made the folder, without a password.
without_strangers() {
  is_mariadb || return 0
  as_root <<'SQL'
SET @@SESSION.SQL_LOG_BIN=0;
DELETE FROM mysql.global_priv WHERE User IN ('', 'root') AND Host <> 'localhost';
DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';
FLUSH PRIVILEGES;
SQL
}

load_time_zones() { mysql_tzinfo_to_sql /usr/share/zoneinfo 2>/dev/null | as_root --force mysql; }

# Options that decide what the files on disk look like: with one of them, the ready-made folder does not fit.
shapes_files() {
  cat <(printf '%s\n' "$@") /etc/my.cnf /etc/mysql/conf.d/* 2>/dev/null | grep -Ev "numa|native-aio" |
    grep -Eqi 'lower.case.table.names|innodb|encrypt|keyring|component|early.plugin'
}

# The variables of the mariadb image, where they are set, count in place of those of the mysql image.
read_variables() {
  local name
  for name in ROOT_PASSWORD ROOT_HOST DATABASE USER PASSWORD; do
    secret "MARIADB_$name"
    secret "MYSQL_$name"
    name=MARIADB_$name
    if [[ -n ${!name} ]]; then export "MYSQL_${name#MARIADB_}=${!name}"; fi
  done
  export MYSQL_ALLOW_EMPTY_PASSWORD=${MARIADB_ALLOW_EMPTY_ROOT_PASSWORD-${MYSQL_ALLOW_EMPTY_PASSWORD-}}
  export MYSQL_RANDOM_ROOT_PASSWORD=${MARIADB_RANDOM_ROOT_PASSWORD-${MYSQL_RANDOM_ROOT_PASSWORD-}}
  export MYSQL_INITDB_SKIP_TZINFO=${MARIADB_INITDB_SKIP_TZINFO-${MYSQL_INITDB_SKIP_TZINFO-}}
}

check_variables() {
  local names="MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD or MYSQL_RANDOM_ROOT_PASSWORD"
  if is_mariadb; then names+=" (or MARIADB_ROOT_PASSWORD and so on)"; fi
  [[ $MYSQL_ROOT_PASSWORD$MYSQL_ALLOW_EMPTY_PASSWORD$MYSQL_RANDOM_ROOT_PASSWORD ]] ||
    fail "set $names: the data folder is empty"
  [[ $MYSQL_USER != root ]] || fail "MYSQL_USER is root, who is always there: use MYSQL_ROOT_PASSWORD"
  [[ -z $MYSQL_USER || -n $MYSQL_PASSWORD ]] || fail "MYSQL_USER is set, MYSQL_PASSWORD is not"
  if [[ $MYSQL_RANDOM_ROOT_PASSWORD ]]; then
    MYSQL_ROOT_PASSWORD=$(openssl rand -base64 24)
    note "GENERATED ROOT PASSWORD: $MYSQL_ROOT_PASSWORD"
  fi
}

set_up() {
  local password root_host=${MYSQL_ROOT_HOST:-%} schema
  password=$(quoted "$MYSQL_ROOT_PASSWORD")
  without_strangers
  {
    echo "SET @@SESSION.SQL_LOG_BIN=0;"
    if [[ -n $MYSQL_DATABASE ]]; then
      echo "CREATE DATABASE IF NOT EXISTS $(identifier "$MYSQL_DATABASE");"
    fi
    if [[ -n $MYSQL_USER ]]; then
      echo "CREATE USER IF NOT EXISTS $(quoted "$MYSQL_USER")@'%' IDENTIFIED BY $(quoted "$MYSQL_PASSWORD");"
      if [[ -n $MYSQL_DATABASE ]]; then
        schema=$(identifier "${MYSQL_DATABASE//_/\\_}")
        echo "GRANT ALL ON $schema.* TO $(quoted "$MYSQL_USER")@'%';"
      fi
    fi
    if [[ $root_host != localhost ]]; then
      echo "CREATE USER IF NOT EXISTS 'root'@$(quoted "$root_host") IDENTIFIED BY $password;"
      echo "GRANT ALL ON *.* TO 'root'@$(quoted "$root_host") WITH GRANT OPTION;"
    fi
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $password;"
  } | as_root
  export MYSQL_PWD=$MYSQL_ROOT_PASSWORD
}

sql() { as_root ${MYSQL_DATABASE:+"$MYSQL_DATABASE"}; }

fill() {
  local folder=$1
  shift
  if [[ -f $READY_MADE ]] && ! shapes_files "$@"; then
    mkdir "$folder"
    tar --zstd -xf "$READY_MADE" -C "$folder"
    return
  fi
  make_empty "$folder" "$@"
}

first_start() {
  # InnoDB does not look into hidden folders, hence the one inside.
  local work=$DATA/.first-start new=$DATA/.first-start/data entry
  if [[ ! -e $work/done ]]; then
    check_variables
    rm -rf "$work"
    mkdir "$work"
    fill "$new" "$@"
    start_hidden "$new" "$@"
    # Scripts that call mysql without a socket find the hidden server too.
    export MYSQL_UNIX_PORT=$HIDDEN_SOCKET
    if shapes_files "$@" && [[ -z ${MYSQL_INITDB_SKIP_TZINFO-} ]]; then load_time_zones; fi
    set_up
    run_scripts
    if [[ -n ${MYSQL_ONETIME_PASSWORD-} ]]; then as_root <<<"ALTER USER 'root'@'%' PASSWORD EXPIRE;"; fi
    stop_hidden
    unset MYSQL_PWD MYSQL_UNIX_PORT
    touch "$work/done"
  fi
  for entry in "$new"/*; do mv -f "$entry" "$DATA/"; done
  rm -rf "$work"
  note "the database is ready for its first start"
}

case "${1-}" in
  --devenv-prepare)
    folder=$(mktemp -d)
    chown mysql:mysql "$folder"
    setpriv --reuid=mysql --regid=mysql --init-groups "$0" --devenv-fill "$folder"
    # Keys, certificates and the server's id belong to one database, not to an image.
    rm -f "$folder"/data/*.pem "$folder"/data/auto.cnf
    tar --zstd -cf "$2" -C "$folder/data" .
    rm -rf "$folder" /run/mysqld/*
    exit
    ;;
  --devenv-fill)
    make_empty "$2/data" mysqld
    start_hidden "$2/data" mysqld --skip-log-bin
    without_strangers
    load_time_zones
    stop_hidden
    exit
    ;;
  '' | -*) set -- mysqld "$@" ;;
esac

if [[ $1 == mysqld || $1 == mariadbd ]]; then
  for argument in "$@"; do
    case $argument in -'?' | --help | --print-defaults | -V | --version) exec "$@" ;; esac
  done
  needs_first_start=
  if [[ -d $DATA/.first-start || ! -d $DATA/mysql ]]; then needs_first_start=yes; fi
  # Files with secrets may be readable for root alone, so they are read before root steps back.
  if [[ $needs_first_start ]]; then read_variables; fi
  if [[ $(id -u) == 0 ]]; then
    step_down mysql "$DATA" /run/mysqld -- "$0" "$@"
  fi
  trap 'if [[ -n $SERVER_PID ]]; then kill "$SERVER_PID" 2>/dev/null; wait "$SERVER_PID"; fi; exit 143' TERM INT
  if [[ $needs_first_start ]]; then first_start "$@"; fi
fi
exec "$@"
