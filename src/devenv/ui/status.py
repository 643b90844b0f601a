"""Status of a project -> lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from devenv.model.status import Here
from devenv.ui.text import clean


def lines(here: Here) -> Iterator[str]:
    """The status, URLs, and commands to type next in two columns."""
    yield clean(here.said)
    yield from (f"  {url}" for url in here.urls)
    yield from map(clean, here.guardians)
    width = max(len(one.command) for one in here.commands)
    yield from (f"  {one.command:<{width}}  {clean(one.does)}" for one in here.commands)
