# Packages of a newer Debian, unpacked beside what is installed. Sourced, after lib.sh.
# shellcheck shell=bash

# Where this machine gets Debian itself from: first line of "URI keyring".
debian_source() {
  # shellcheck disable=SC2016 # apt-get expands these, not the shell
  apt-get indextargets --format '$(LABEL) $(REPO_URI) $(SIGNED_BY)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 ~ /^https?:/ { print $2, $3; exit }'
}

private_apt() { # FOLDER ARGS...: apt-get on lists and caches of its own
  local folder=$1
  shift
  apt-get -qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Languages=none "$@"
}

unpack() { # SUITE ROOT PACKAGE...: the packages' files below the folder ROOT, made anew; fails where the suite lacks one
  local suite=$1 into=$2 folder uri keyring options=check-valid-until=no package
  shift 2
  [ -n "$(debian_source)" ] || refresh_lists
  read -r uri keyring < <(debian_source) || return 1
  [ ! -e "$keyring" ] || options="$options signed-by=$keyring"
  folder=$(mktemp -d)
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
  printf 'deb [%s] %s %s main\n' "$options" "$uri" "$suite" >"$folder/sources.list"
  if ! (cd "$folder" && private_apt "$folder" update && private_apt "$folder" download "$@") >&2; then
    rm -rf "$folder"
    return 1
  fi
  rm -rf "$into"
  mkdir -p "$into"
  for package in "$folder"/*.deb; do dpkg -x "$package" "$into"; done
  rm -rf "$folder"
}
