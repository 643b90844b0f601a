#!/bin/sh
# Before nginx starts, the executable scripts of /docker-entrypoint.d run: .sh as they are, .envsh in this shell.
set -e
if [ "$1" = nginx ] || [ "$1" = nginx-debug ]; then
  for script in /docker-entrypoint.d/*; do
    if [ ! -x "$script" ]; then
      echo "$0: leaving $script alone: not executable"
      continue
    fi
    case $script in
      # shellcheck disable=SC1090 # the user's own script
      *.envsh) . "$script" ;;
      *.sh) "$script" ;;
    esac
  done
fi
exec "$@"
