#!/bin/sh
# As the container's first process, PHP's server would not heed SIGTERM; when the shell ends, it ends too.
set -e
if [ -n "$ADMINER_DESIGN" ]; then ln -sf "/usr/share/adminer/designs/$ADMINER_DESIGN"/*.css .; fi
[ "$1" = php ] || exec "$@"
trap 'exit 0' TERM INT
"$@" &
wait "$!"
