"""Check the services in a command line of Compose, so that a typo gets devenv's error and hint."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

from devenv.cli import options
from devenv.cli.lazy import LazyImports
from devenv.errors import DevenvError, unknown

with LazyImports():
    from devenv.compose import files

FIRST = frozenset({"attach", "exec", "port", "run"})  # what follows the service belongs to its command
ALL = frozenset({
    "create", "events", "kill", "pause", "pull", "restart", "rm", "scale", "start", "stats", "stop", "top", "unpause",
    "wait",
})  # fmt: skip
# Flags: the next word is a service, not a value.
FLAGS = frozenset({
    "-T", "-d", "-i", "-it", "-t", "-ti", "--build", "--detach", "--interactive", "--no-TTY", "--no-deps",
    "--privileged", "--rm", "--service-ports", "--tty",
})  # fmt: skip
FLAGS_OF_ALL = frozenset({"-f", "--force"})


def require_known(verb: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Return if all services are known, or if only Compose can tell. Raises UsageError for an unknown service."""
    if verb not in FIRST | ALL or not options.are_shared([*before]) or {"-h", "--help"} & {*after}:
        return

    folder = os.getcwd()
    try:
        sources = files.read(files.find(folder, tuple(options.values([*before], "-f", "--file"))), base=folder)
    except DevenvError:
        return
    known = sorted(files.service_names(sources))
    if not any(source.has_unread for source in files.everything(sources)):
        for word in _named(verb, after):
            if word not in known:
                raise unknown("service", word, known)


def _named(verb: str, after: Sequence[str]) -> Iterator[str]:
    """The words that can only be services: no options, and no values of options."""
    for previous, word in itertools.pairwise(("", *after)):
        if word.startswith("-"):
            continue
        is_flag = previous in (FLAGS if verb in FIRST else FLAGS_OF_ALL)
        if is_flag or not previous.startswith("-") or "=" in previous:
            yield word.partition("=")[0] if verb == "scale" else word
        if verb in FIRST:
            return
