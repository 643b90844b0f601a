#!/bin/sh
# Keeps the contract of the redis and valkey images: flags or a configuration file are for the server, the first
# process belongs to its user, and without a word on it other containers may connect.
set -e

case "${1-}" in -* | *.conf | '') set -- "$SERVER-server" "$@" ;; esac
if [ "$1" = "$SERVER-server" ] && [ "$(id -u)" = 0 ]; then
  find . ! -user "$SERVER" -exec chown "$SERVER:$SERVER" {} +
  exec setpriv --reuid="$SERVER" --regid="$SERVER" --init-groups "$0" "$@"
fi
if [ "$1" = "$SERVER-server" ]; then
  case "$*" in
    *--version* | *--help* | *protected-mode*) ;;
    *) { [ -f "${2-}" ] && grep -Eqi '^ *protected-mode' "$2"; } || set -- "$@" --protected-mode no ;;
  esac
  [ "$(umask)" != 0022 ] || umask 0077
fi
# shellcheck disable=SC2086 # several flags in one variable
exec "$@" ${VALKEY_EXTRA_FLAGS-}
