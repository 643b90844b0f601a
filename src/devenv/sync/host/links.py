"""Links that lead to themselves: the engine and the kernel refuse to follow them, so they are never copied."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace

from devenv.sync.host.manifest import FileState, Kind

MOST = 40  # links that the kernel follows for one path (path_resolution(7))


def loops(states: Mapping[str, FileState]) -> frozenset[str]:
    """The links among these states that lead to themselves, or to a loop, through the other links."""
    texts = {path: state.link for path, state in states.items() if state.link is not None}
    return frozenset(path for path in texts if _is_loop(path, texts))


def settled(now: Mapping[str, FileState], fresh: dict[str, FileState | None]) -> dict[str, FileState | None]:
    """`fresh` with each loop as Kind.OTHER and every other link as Kind.LINK; `now` is what was known before.

    A link that did not change itself is added if it has become a loop, or is no loop any more. A loop keeps its text.
    """
    if not any(_is_link(state) or _is_link(now.get(path)) for path, state in fresh.items()):
        return fresh
    links = {path: state for path, state in now.items() if state.link is not None and path not in fresh}
    links |= {path: state for path, state in fresh.items() if state is not None and state.link is not None}
    looping = loops(links)
    kinds = {path: Kind.OTHER if path in looping else Kind.LINK for path in links}
    changed = {path: replace(s, kind=kinds[path]) for path, s in links.items() if s.kind is not kinds[path]}
    return {**fresh, **changed}


def settled_all(states: dict[str, FileState]) -> dict[str, FileState]:
    """Mark each loop among the states of a first look as Kind.OTHER; the dict is changed in place."""
    states.update((path, replace(states[path], kind=Kind.OTHER)) for path in loops(states))
    return states


def _is_link(state: FileState | None) -> bool:
    return state is not None and state.link is not None


def _is_loop(path: str, texts: Mapping[str, str]) -> bool:
    """Whether the path cannot be followed to its end, component by component as the kernel does it."""
    left = path.split("/")[:0:-1]
    place, followed = "/", 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        place = posixpath.dirname(place) if name == ".." else f"{place.rstrip('/')}/{name}"
        text = texts.get(place)
        if text is None:
            continue
        followed += 1
        if followed > MOST:
            return True
        left += text.split("/")[::-1]
        place = "/" if text.startswith("/") else posixpath.dirname(place)
    return False
