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
from devenv.web.static import INDEX, script, texts

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
                file.write(html(texts(), messages).encode())
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


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
