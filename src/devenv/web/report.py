"""The report of a run: the page and its messages in a single file, without anything from elsewhere."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from devenv.errors import UsageError
from devenv.web.static import FOLDER, INDEX

MODULES = "modules.txt"  # in the folder of the page: the names of its modules, dependencies first
IMPORT = re.compile(r'^import\s[^\n]*from "\./[^"\n]+";?[ \t]*\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)
STYLE = re.compile(r'<link rel="stylesheet"[^>]*>')
ICON = re.compile(r'\s*<link rel="(?:icon|modulepreload|manifest)"[^>]*>')
SCRIPT = re.compile(r'<script type="module"[^>]*></script>')


def write(path: str, messages: Sequence[Any]) -> None:
    """Write the report: for its user alone, and whole or not at all. Raises UsageError if that is not possible."""
    folder = os.path.dirname(os.path.abspath(path))
    try:
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".devenv-")
        try:
            with open(descriptor, "wb") as file:
                file.write(html(_files(), messages).encode())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="devenv page --export FILE.html") from error


def html(files: Mapping[str, str], messages: Sequence[Any]) -> str:
    """The page's index with its style, its modules and the messages in it; `files` by name."""
    style, code = files["style.css"], script(files)
    data = json.dumps({"messages": messages}, separators=(",", ":")).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )
    index = ICON.sub("", files[INDEX])
    index = STYLE.sub(lambda _: f"<style>{style}</style>", index, count=1)
    scripts = f'<script type="application/json" id="report">{data}</script>\n<script type="module">{code}</script>'
    index = SCRIPT.sub(lambda _: scripts, index, count=1)
    head = f'<head>\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return index.replace("<head>", head, 1)


def script(files: Mapping[str, str]) -> str:
    """All modules as one."""
    names = files[MODULES].split()
    return "".join(f"// {name}\n{EXPORT.sub('', IMPORT.sub('', files[name]))}\n" for name in names)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _files() -> dict[str, str]:
    """The texts of the page by name."""
    found: dict[str, str] = {}
    for name in os.listdir(FOLDER):
        if not name.endswith(".svg"):
            with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
                found[name] = file.read()
    return found
