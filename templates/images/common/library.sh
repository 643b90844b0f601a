# shellcheck shell=bash
# What entry points share. The first start of a database works in the hidden folder `WORK` of its data folder and is
# moved into place when all is done, so that an interrupted one is simply begun again.
SCRIPTS=/docker-entrypoint-initdb.d

note() { printf '%s [stand-in] %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*"; }
fail() {
  note "$*" >&2
  exit 1
}

# VARIABLE or VARIABLE_FILE, never both.
secret() {
  local name=$1 file_name=$1_FILE value
  [[ -z ${!name-} || -z ${!file_name-} ]] || fail "$name and $file_name are both set: keep one of them"
  value=${!name-}
  if [[ -n ${!file_name-} ]]; then value=$(<"${!file_name}"); fi
  export "$name=$value"
  unset "$file_name"
}

# FOLDER... belong to USER, and the script goes on as that user: step_down USER FOLDER... -- COMMAND...
step_down() {
  local user=$1 folders=()
  shift
  while [[ $1 != -- ]]; do folders+=("$1") && shift; done
  shift
  find "${folders[@]}" \! -user "$user" -exec chown "$user:$user" {} +
  exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"
}

# Runs all scripts of the folder; SQL goes to the standard input of the function `sql`.
run_scripts() {
  local script unpack
  [[ -r $SCRIPTS && -x $SCRIPTS ]] || fail "the user $(id -un) may not read $SCRIPTS: chmod a+rx its folder on the host"
  for script in "$SCRIPTS"/*; do
    case $script in
      *.sql) unpack=cat ;;
      *.sql.gz) unpack='gzip -dc' ;;
      *.sql.bz2) unpack='bzip2 -dc' ;;
      *.sql.xz) unpack='xz -dc' ;;
      *.sql.zst) unpack='zstd -dcq' ;;
      *.sh) unpack= ;;
      *) note "leaving $script alone: not a script" && continue ;;
    esac
    note "running $script"
    if [[ $unpack ]]; then
      $unpack "$script" | sql
    elif [[ -x $script ]]; then
      "$script"
    else
      # shellcheck disable=SC1090 # the user's own script
      . "$script"
    fi
  done
}
