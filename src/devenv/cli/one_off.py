"""`devenv run` and `devenv scale`: containers beside those of a run."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from devenv.cli import options
from devenv.inspect.one_off import one_off, scaled


def run(verb: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Exec `docker compose VERB` with the run model if one applies; otherwise return.

    Raises DevenvError for a project that cannot be read, and for images that cannot be got.
    """
    given = [*before]
    if not options.are_shared(given) or {"-h", "--help"} & {*given, *after}:
        return
    chosen = options.selection(
        options.values(given, "-f", "--file"),
        next(reversed(options.values(given, "-p", "--project-name")), None),
        options.values(given, "--profile"),
    )
    window = options.console(quiet=True)
    try:
        compose = anyio.run(one_off if verb == "run" else scaled, chosen, after, window.emit)
    finally:
        window.close()
    if compose is not None:
        compose.exec_replace(verb, *after)
