# The set-up that scripts/demo and scripts/test share. Sourced, never run. Written for bash 3.2 (macOS) and newer.
# shellcheck shell=bash
set -euo pipefail
unset CDPATH
unset PYTHONDONTWRITEBYTECODE # devenv starts hundreds of times in the tests: it is compiled once

# A closed descriptor would be taken by the first file that anything opens.
true 3>&2 || exec 2>/dev/null
{ true 3<&0; } 2>/dev/null || exec </dev/null
{ true 3>&1; } 2>/dev/null || exec >/dev/null

[ -n "${HOME:-}" ] || { unset HOME && export HOME=~; }
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
command_line=("$BASH" "$(cd -- "$(dirname -- "$0")" && pwd -P)/$(basename -- "$0")" "$@")
state_home=${XDG_STATE_HOME:-$HOME/.local/state}/devenv-compose
assume_yes=${assume_yes:-no}
PATH=$PATH:/usr/sbin:/sbin # dockerd and iptables are there, and a user's PATH on Debian has neither

say() { printf '%s\n' "$*" >&2; }

die() { # MESSAGE [HINT]
  say "error: $1"
  [ -z "${2:-}" ] || say "hint: $2"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- system packages -------------------------------------------------------------------------------------------

has_apt() { have apt-get && have dpkg-query; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif ! have sudo; then
    die "this needs root, and there is no sudo: $*" "run it as root, then run this script again"
  elif [ -t 0 ]; then
    sudo -- "$@"
  elif sudo -n -- true 2>/dev/null; then
    sudo -n -- "$@"
  else
    die "this needs root, and sudo wants a password: $*" "run this script in a terminal, where sudo can ask for it"
  fi
}

may_install() { # WHAT, in words; a terminal is asked once per batch, Enter is yes
  say "$1"
  if [ "$assume_yes" = yes ] || ! [ -t 0 ] || ! [ -t 2 ]; then return 0; fi
  local answer
  read -r -p "Go ahead? [Y/n] " answer || answer=n
  case $answer in '' | [yY]*) return 0 ;; esac
  die "nothing was installed" "install it yourself and run this script again"
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

# The lists keep the server's times; when they were fetched is in the inode's change time.
lists_are_fresh() { [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -ctime -1 2>/dev/null | head -n 1)" ]; }

can_install() { # PACKAGE
  apt-cache policy "$1" 2>/dev/null | grep -E '^ +Candidate: [^(]' >/dev/null
}

refresh_lists() {
  lists_are_fresh && return 0
  say "Reading the package lists ..."
  apt_get update >/dev/null
}

install_packages() { # PACKAGE...; those that the distribution does not have are left out
  local wanted=() package log
  refresh_lists
  for package in "$@"; do
    if can_install "$package"; then wanted+=("$package"); fi
  done
  [ "${#wanted[@]}" -gt 0 ] || die "the distribution has none of: $*"
  log=$(mktemp)
  if ! apt_get install -y --no-install-recommends "${wanted[@]}" >"$log" 2>&1; then
    apt_get update >/dev/null # a list that names files which are gone looks just like this
    if ! apt_get install -y --no-install-recommends "${wanted[@]}" >"$log" 2>&1; then
      tail -n 15 "$log" >&2
      rm -f "$log"
      die "apt-get could not install: ${wanted[*]}"
    fi
  fi
  rm -f "$log"
}

# --- Python ----------------------------------------------------------------------------------------------------

find_python() { # prints the first Python that is new enough
  local name
  for name in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if have "$name" && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

make_venv() {
  local python
  python=$(find_python) || python=
  if [ -n "$python" ] && makes_venvs "$python"; then
    "$python" -m venv --clear "$venv"
  elif have uv; then
    uv venv --quiet --clear --seed --python "${python:->=3.11}" "$venv"
  elif has_apt; then
    may_install "Python's venv module is missing: installing python3 and python3-venv from the distribution."
    install_packages ca-certificates python3 python3-venv
    python=$(find_python) || die "devenv needs Python 3.11 or newer" "install uv, or a newer Python, and run this again"
    makes_venvs "$python" || python=/usr/bin/python3
    "$python" -m venv --clear "$venv"
  else
    die "devenv needs Python 3.11 or newer with its venv module, or uv" "https://docs.astral.sh/uv/ has uv for every system"
  fi
}

# Settings of the user's own pip that would change what the lock says. With PIP_NO_INDEX, find-links is all there is.
locked_pip() {
  local -a overrides=(PIP_CONSTRAINT= PIP_PRE= PIP_USER=0 PIP_TARGET= PIP_PREFIX= PIP_REQUIRE_VIRTUALENV=)
  [ -n "${PIP_NO_INDEX:-}" ] || overrides+=(PIP_FIND_LINKS=)
  env "${overrides[@]}" "$venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}

python_stamp() {
  printf '%s\n' "$root"
  cat "$root/requirements.lock" "$root/pyproject.toml"
}

set_up_python() {
  local stamp
  stamp=$(python_stamp | cksum)
  if [ -e "$venv/devenv-stamp" ] && [ "$(cat "$venv/devenv-stamp")" = "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    return 0
  fi
  say "Setting up Python in .venv ..."
  # The root in the stamp: a venv does not survive a move of its folder.
  if ! [ -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then make_venv; fi
  # The lock is complete, so nothing is to be resolved; what is never imported needs no compiling.
  locked_pip install --no-deps --no-compile --require-hashes --requirement "$root/requirements.lock"
  locked_pip install --no-deps --no-compile --no-build-isolation --editable "$root"
  printf '%s\n' "$stamp" >"$venv/devenv-stamp"
}

# --- the engine ------------------------------------------------------------------------------------------------

engine_answers() { have docker && docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

set_up_engine() {
  if ! engine_answers; then
    if [ -n "${DOCKER_HOST:-}${DOCKER_CONTEXT:-}" ]; then
      die "the engine at ${DOCKER_HOST:-context $DOCKER_CONTEXT} does not answer" "start it, or unset DOCKER_HOST and DOCKER_CONTEXT"
    fi
    case $(uname -s) in
      Linux) bring_engine ;;
      *) die "no Docker engine answers" "start Docker Desktop or OrbStack, or \`colima start\`, and run this again" ;;
    esac
  fi
  add_plugins
}

bring_engine() {
  if permission_denied; then join_docker_group; fi
  if ! have dockerd; then
    has_apt || die "no Docker engine is installed" "install Docker with Compose and Buildx from your distribution, start it, and run this again"
    may_install "No Docker engine: installing Docker, Compose and Buildx from the distribution$for_user."
    install_packages ca-certificates docker.io docker-cli "$(compose_package)" docker-buildx iptables
    [ "$(id -u)" = 0 ] || as_root usermod -aG docker "$(id -un)"
  fi
  engine_answers || start_engine
  if permission_denied; then join_docker_group; fi
}

if [ "$(id -u)" = 0 ]; then sudo_word='' for_user=''; else sudo_word='sudo ' for_user=', and letting you use it (group docker)'; fi

permission_denied() {
  have docker || return 1
  case $(docker version 2>&1) in *'permission denied'*) return 0 ;; esac
  return 1
}

# A new member of the group is one only in new sessions: the script starts anew in such a session.
join_docker_group() {
  local name
  name=$(id -un)
  if [ -z "${DEVENV_REJOINED:-}" ] && have sg && id -nG "$name" | tr ' ' '\n' | grep -x docker >/dev/null; then
    export DEVENV_REJOINED=1
    exec sg docker -c "$(printf '%q ' "${command_line[@]}")"
  fi
  die "an engine runs, but $name may not use it" "sudo usermod -aG docker $name, then log in again (that group is as powerful as root)"
}

compose_package() { # Ubuntu's docker-compose is the old one in Python
  refresh_lists
  if can_install docker-compose-v2; then echo docker-compose-v2; else echo docker-compose; fi
}

start_engine() {
  local log=$state_home/dockerd.log
  if [ -d /run/systemd/system ]; then
    say "Starting the Docker engine (systemctl start docker) ..."
    as_root systemctl start docker || true
    wait_for_engine 30 || die "the Docker engine does not start" "systemctl status docker says why"
    return
  fi
  mkdir -p "$state_home"
  # A package's start script may have begun already; a second engine would end at once over its pid file.
  if engine_is_starting && wait_for_engine 15; then return; fi
  say "Starting the Docker engine (dockerd); its log is $log. It stays up when this script ends; \`${sudo_word}pkill dockerd\` stops it."
  local pid=
  if [ "$(id -u)" = 0 ]; then
    setsid dockerd </dev/null >"$log" 2>&1 &
    pid=$!
  else
    as_root sh -c "setsid dockerd </dev/null 2>&1 &" >"$log"
  fi
  if ! wait_for_engine 60 "$pid"; then
    grep -E 'level=(error|fatal)|failed' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
    die "the Docker engine does not start" "the whole log is $log"
  fi
}

engine_is_starting() {
  local pid
  pid=$(cat /run/docker.pid /var/run/docker.pid 2>/dev/null | head -n 1)
  [ -n "$pid" ] && [ -d "/proc/$pid" ]
}

wait_for_engine() { # SECONDS [PID of what must live meanwhile]
  local tries=$(($1 * 5))
  while [ "$tries" -gt 0 ]; do
    if engine_answers || permission_denied; then return 0; fi
    if [ -n "${2:-}" ] && ! [ -d "/proc/$2" ]; then return 1; fi
    tries=$((tries - 1))
    sleep 0.2
  done
  return 1
}

add_plugins() {
  local -a missing=()
  docker compose version >/dev/null 2>&1 || missing+=(compose)
  docker buildx version >/dev/null 2>&1 || missing+=(buildx)
  [ "${#missing[@]}" -gt 0 ] || return 0
  has_apt || die "docker lacks its plugin: ${missing[*]}" "install it with the package manager that brought docker"
  may_install "Docker lacks ${missing[*]}: installing from the distribution."
  if dpkg-query -W docker-ce-cli >/dev/null 2>&1; then
    install_packages docker-compose-plugin docker-buildx-plugin
  else
    install_packages "$(compose_package)" docker-buildx
  fi
  docker compose version >/dev/null 2>&1 || die "Compose 2 is not to be had from this distribution" "https://docs.docker.com/compose/install/"
}

# --- images ----------------------------------------------------------------------------------------------------

registry_answers() { timeout 60 docker pull --quiet caddy:2 >/dev/null 2>&1; } # an image that the sample needs anyway

# What makes stand-ins, and only where they are needed: where no registry answers.
set_up_stand_in_tools() {
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg # Ubuntu has them in a package of their own
  if ! has_apt || { have mmdebstrap && have npm && [ -e "$keys" ]; } || registry_answers; then return 0; fi
  may_install "No image registry answers: installing mmdebstrap and npm, which make stand-ins from package registries."
  install_packages mmdebstrap npm debian-archive-keyring
}

# A static busybox, what images without a distribution are made of, and a registry: unpacked only, since installed it
# would be a service of this machine.
set_up_registry() {
  local place=${XDG_CACHE_HOME:-$HOME/.cache}/devenv-compose-test/registry
  if { have busybox && [ -x "$place/usr/bin/docker-registry" ]; } || ! has_apt || ! refresh_lists; then return 0; fi
  if ! can_install busybox-static || ! can_install docker-registry; then return 0; fi
  say "Getting a static busybox and a registry, for tests on images ..."
  have busybox || install_packages busybox-static
  mkdir -p "$place"
  (cd -- "$place" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download docker-registry && dpkg -x docker-registry_*.deb . && rm docker-registry_*.deb)
}
