"""Links that lead to themselves, or to a loop, through other links: they have the kind OTHER."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Fresh, Manifest

MOST_LINKS = 40  # links that the kernel follows for one path (path_resolution(7))


def loops(states: Mapping[str, FileState]) -> frozenset[str]:
    """The links among these states that lead to themselves, or to a loop, through other links."""
    texts = {path: state.link for path, state in states.items() if state.link is not None}
    return frozenset(path for path in texts if _is_loop(path, texts))


def with_loops(now: Manifest, fresh: Fresh) -> Fresh:
    """`fresh` with each loop as FileKind.OTHER and every other link as FileKind.LINK; `now` are the known states.

    An unchanged link is added if it has become a loop, or is no longer a loop. A loop keeps its text.
    """
    if not any(_is_link(state) or _is_link(now.get(path)) for path, state in fresh.items()):
        return fresh
    links = {path: state for path, state in now.special().items() if state.link is not None and path not in fresh}
    links |= {path: state for path, state in fresh.items() if state is not None and state.link is not None}
    looping = loops(links)
    kinds = {path: FileKind.OTHER if path in looping else FileKind.LINK for path in links}
    changed = {path: s.but(kind=kinds[path]) for path, s in links.items() if s.kind is not kinds[path]}
    return {**fresh, **changed}


def mark_loops(states: Manifest) -> Manifest:
    """Mark each loop among the states of a first look as FileKind.OTHER; the manifest is changed in place."""
    states.update((path, states[path].but(kind=FileKind.OTHER)) for path in loops(states.special()))
    return states


def _is_link(state: FileState | None) -> bool:
    return state is not None and state.link is not None


def _is_loop(path: str, texts: Mapping[str, str]) -> bool:
    """Whether following the path, component by component like the kernel, does not end."""
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
        if followed > MOST_LINKS:
            return True
        left += text.split("/")[::-1]
        place = "/" if text.startswith("/") else posixpath.dirname(place)
    return False
