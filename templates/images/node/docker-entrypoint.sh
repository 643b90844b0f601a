#!/bin/sh
# What is no command of the image is for node: a flag, a script, a word that is nowhere on PATH.
set -e

case "${1-}" in
  -*) set -- node "$@" ;;
  *)
    found=$(command -v -- "${1-}" || true)
    if [ -z "$found" ] || { [ -f "$1" ] && [ ! -x "$1" ]; }; then
      set -- node "$@"
    fi
    ;;
esac
exec "$@"
