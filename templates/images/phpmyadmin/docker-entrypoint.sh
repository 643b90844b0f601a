#!/bin/sh
# Serves phpMyAdmin on port 80; an upload may be as large as UPLOAD_LIMIT (2048K where it is not set).
set -e
[ "$#" -eq 0 ] || exec "$@"

secret=/run/phpmyadmin/secret
[ -s "$secret" ] || head -c 32 /dev/urandom >"$secret"
# As the container's first process, PHP's server would not heed SIGTERM; when the shell ends, it ends too.
trap 'exit 0' TERM INT
php -d "upload_max_filesize=${UPLOAD_LIMIT:-2048K}" -d "post_max_size=${UPLOAD_LIMIT:-2048K}" \
  -d "memory_limit=${MEMORY_LIMIT:-512M}" -S 0.0.0.0:80 -t /usr/share/phpmyadmin &
wait "$!"
