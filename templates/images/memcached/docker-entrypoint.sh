#!/bin/sh
# Flags are for memcached, anything else is a command.
case "${1-}" in -*) set -- memcached "$@" ;; esac
exec "$@"
