"""The report: a single file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
from pathlib import Path

import pytest

from devenv.errors import UsageError
from devenv.web import report, static

FILES = {
    "index.html": (
        '<!doctype html>\n<html><head>\n<link rel="icon" href="/static/icon.svg">\n'
        '<link rel="stylesheet" href="/static/style.css">\n'
        '<script type="module" src="/static/main.js"></script>\n</head><body></body></html>\n'
    ),
    "style.css": "body { color: red }\n",
    "modules.txt": "lines.js\nmain.js\n",
    "lines.js": "export const LINES = 3;\nexport function line() {\n  return `export x`;\n}\n",
    "main.js": 'import { LINES, line } from "./lines.js";\nconsole.log(LINES, line());\n',
}
HELLO = {"type": "hello", "project": "</script><script>alert(1)</script>"}


def test_modules_become_one() -> None:
    """Dependencies come first; what they export and import is one scope."""
    assert static.script(FILES) == (
        "// lines.js\nconst LINES = 3;\nfunction line() {\n  return `export x`;\n}\n\n"
        "// main.js\nconsole.log(LINES, line());\n\n"
    )


def test_nothing_is_loaded_and_nothing_else_may_run() -> None:
    """The policy has the hashes of its script and its style; data cannot end the element that has them."""
    html = report.html(FILES, [HELLO])
    assert "/static/" not in html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    for tag in ("style", 'script type="module"'):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag.split()[0]}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")
    (data,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', html, re.DOTALL)
    assert json.loads(data) == {"messages": [HELLO]}


def test_it_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole or not at all: an error leaves the file that was there."""
    path = tmp_path / "run.html"
    path.write_text("before")
    path.chmod(0o644)
    monkeypatch.setattr(report, "texts", lambda: FILES)
    report.write(str(path), [HELLO])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("<!doctype html>")
    monkeypatch.setattr(report, "texts", dict)
    with pytest.raises(KeyError):
        report.write(str(path), [HELLO])
    assert path.read_text().startswith("<!doctype html>")
    assert [child.name for child in tmp_path.iterdir()] == ["run.html"]
    with pytest.raises(UsageError, match="No such file") as caught:
        report.write(str(tmp_path / "gone" / "run.html"), [HELLO])
    assert caught.value.hint
