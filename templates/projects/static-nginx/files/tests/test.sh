#!/bin/sh
# What the site at $1 has to answer; ends with the number of failures.
site=$1
failures=0

expect() { # WHAT PATTERN PATH
  if curl -sS -i "$site$3" | grep -q -- "$2"; then
    echo "ok    $1"
  else
    echo "FAIL  $1"
    failures=$((failures + 1))
  fi
}

expect "the page is there" "<h1>" /
expect "the styles are there" "Content-Type: text/css" /style.css
expect "the script is there" "javascript" /main.js
expect "a page that is not there is a 404" "404 Not Found" /nowhere
expect "no type is guessed" "X-Content-Type-Options: nosniff" /
expect "it is healthy" "^ok" /health
exit "$failures"
