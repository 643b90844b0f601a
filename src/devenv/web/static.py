"""The files of the page, read when its server starts."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
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
INDEX, MAIN = "index.html", "main.js"
MODULES = "modules.txt"  # the names of the modules, dependencies first
IMPORT = re.compile(r'^import\s[^\n]*from "\./[^"\n]+";?[ \t]*\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)
PRELOAD = re.compile(r'<link rel="modulepreload"[^>]*>\n')


class StaticFile(NamedTuple):
    """A file of the page."""

    type: str
    content: bytes


def files() -> dict[str, StaticFile]:
    """What is served, by the target of its GET request: all modules are one, since each request delays the paint."""
    found = {
        f"/static/{name}": StaticFile(TYPES[os.path.splitext(name)[1]], text.encode())
        for name, text in texts().items()
        if name.endswith((".css", ".svg"))
    }
    index = PRELOAD.sub("", texts()[INDEX])
    found["/"] = StaticFile(TYPES[".html"], index.encode())
    found[f"/static/{MAIN}"] = StaticFile(TYPES[".js"], script(texts()).encode())
    return found


def script(files: Mapping[str, str]) -> str:
    """All modules as one; `files` by name."""
    names = files[MODULES].split()
    return "".join(f"// {name}\n{EXPORT.sub('', IMPORT.sub('', files[name]))}\n" for name in names)


@functools.cache
def texts() -> dict[str, str]:
    """The texts of the page's files by name."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(FOLDER)):
        with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
            found[name] = file.read()
    return found
