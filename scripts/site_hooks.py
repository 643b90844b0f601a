"""Hooks for mkdocs, for syntax that it reads differently than GitHub."""

from __future__ import annotations

import re


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page without the backslash that GitHub needs before a `|` in the code of a table's cell."""
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), markdown)
