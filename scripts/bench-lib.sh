# What scripts/bench and scripts/growth share besides lib.sh. Sourced after it, never run.
# shellcheck shell=bash

set_base() { # `base` is the image of measured containers, or its stand-in
  base=debian:trixie-slim
  have_image "$base" || docker pull -q "$base" >/dev/null 2>&1 || {
    base=stand-in.devenv/$base
    have_image "$base" && have_image stand-in.devenv/node:22 || "$root/scripts/demo" --check # it makes them
  }
}

have_image() { [ -n "$(docker images -q "$1")" ]; }

on_ext4() { # FEATURE COMMAND...; for COMMAND, `mounted` is a folder on a new file system
  ext4=$(mktemp -d -p /var/tmp)
  mounted=$ext4/mounted
  mkdir "$mounted"
  truncate -s 8G "$ext4/image"
  mkfs.ext4 -q -F -O "$1" "$ext4/image"
  mount -o loop "$ext4/image" "$mounted"
  shift
  "$@"
  leave_ext4
}

leave_ext4() { # also for a trap: COMMAND may fail
  [ -n "${ext4-}" ] || return 0
  ! mountpoint -q "$mounted" || umount -l "$mounted"
  rm -rf "$ext4"
}
