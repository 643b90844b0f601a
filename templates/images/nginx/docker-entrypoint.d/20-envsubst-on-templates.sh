#!/bin/sh
# Templates become configuration: variables of the environment are filled in, those of nginx stay.
set -e
templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
[ -d "$templates" ] || exit 0
# shellcheck disable=SC2016 # envsubst wants it with the dollar
names=$(awk -v filter="${NGINX_ENVSUBST_FILTER-}" \
  'BEGIN { for (name in ENVIRON) if (name ~ filter) printf "${%s} ", name }' </dev/null)
find "$templates" -follow -type f -name "*$suffix" | while read -r template; do
  target=$output/${template#"$templates/"}
  target=${target%"$suffix"}
  mkdir -p "$(dirname "$target")"
  echo "$0: $template -> $target"
  envsubst "$names" <"$template" >"$target"
done
