#!/bin/sh
# Where there is IPv6, the site that came with the image listens on it too.
site=/etc/nginx/conf.d/default.conf
[ -f /proc/net/if_inet6 ] && [ -w "$site" ] && grep -q '^    server_name  localhost;' "$site" || exit 0
grep -q '\[::\]' "$site" || sed -i 's/^    listen       80;/&\n    listen  [::]:80;/' "$site"
