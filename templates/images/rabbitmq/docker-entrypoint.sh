#!/bin/sh
# The server itself reads RABBITMQ_DEFAULT_USER, _PASS and _VHOST; variables that it would silently ignore are refused.
set -e
case "${1-}" in -*) set -- rabbitmq-server "$@" ;; esac
if [ "$1" = rabbitmq-server ]; then
  for name in RABBITMQ_DEFAULT_USER_FILE RABBITMQ_DEFAULT_PASS_FILE RABBITMQ_VM_MEMORY_HIGH_WATERMARK; do
    if printenv "$name" >/dev/null; then
      echo "error: $name is set but deprecated: write it into a file in /etc/rabbitmq/conf.d" >&2
      exit 1
    fi
  done
  # A health check that comes early would make a cookie of root's, which the server may not read.
  cookie=/var/lib/rabbitmq/.erlang.cookie
  [ -s "$cookie" ] || (umask 077 && head -c 15 /dev/urandom | base64 >"$cookie")
  if [ "$(id -u)" = 0 ]; then
    find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq:rabbitmq {} +
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$0" "$@"
  fi
fi
if [ "$(hostname)" != "$(hostname -s)" ]; then export RABBITMQ_USE_LONGNAME="${RABBITMQ_USE_LONGNAME:-true}"; fi
exec "$@"
