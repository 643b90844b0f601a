#!/bin/sh
# Flags and unknown words are for bun, anything else is a command.
if [ "${1#-}" != "${1-}" ] || [ -z "$(command -v "${1-}")" ] || { [ -f "${1-}" ] && ! [ -x "${1-}" ]; }; then
  set -- /usr/local/bin/bun "$@"
fi
exec "$@"
