"""The files of the page, read when its server starts, and the report of a run in a single file."""

from __future__ import annotations

import os
from typing import NamedTuple

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FOLDER = os.path.join(os.path.dirname(__file__), "static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
INDEX = "index.html"


class StaticFile(NamedTuple):
    """A file of the page."""

    type: str
    content: bytes


def files() -> dict[str, StaticFile]:
    """All files by the target of their GET request."""
    found: dict[str, StaticFile] = {}
    for name in sorted(os.listdir(FOLDER)):
        kind = TYPES.get(os.path.splitext(name)[1])
        if kind is not None:
            with open(os.path.join(FOLDER, name), "rb") as file:
                found["/" if name == INDEX else f"/static/{name}"] = StaticFile(kind, file.read())
    return found
