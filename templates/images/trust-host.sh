#!/bin/sh
# Runs inside a fresh root: trusts the authorities that the host trusts and Debian does not know.
# One file per certificate, so that a later `update-ca-certificates` in a Dockerfile keeps them.
set -eu
host=$1
known=/etc/ssl/certs/ca-certificates.crt
extra=/usr/local/share/ca-certificates/devenv-host

mkdir -p "$extra"
awk -v extra="$extra" '
  /-----BEGIN CERTIFICATE-----/ { inside = 1; body = ""; next }
  /-----END CERTIFICATE-----/ {
    inside = 0
    if (FILENAME == ARGV[1]) known[body] = 1
    else if (!(body in known)) {
      known[body] = 1
      out = sprintf("%s/%03d.crt", extra, ++count)
      gsub(/.{64}/, "&\n", body)
      sub(/\n$/, "", body)
      printf "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", body > out
      close(out)
    }
    next
  }
  inside { gsub(/[ \t\r]/, ""); body = body $0 }
' "$known" "$host"
update-ca-certificates
