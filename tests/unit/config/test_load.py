"""Which questions are asked of Compose when a project is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devenv.config import load
from devenv.config.load import Selection
from devenv.engine import process
from devenv.engine.process import Completed
from devenv.errors import ConfigError

pytestmark = pytest.mark.anyio

MODEL = b"name: p\nservices: {web: {image: x}}\n"


@pytest.mark.parametrize(
    ("key", "returncode", "asked"),
    [("ignore", 0, ["config"]), ("include", 0, ["version", "config"]), ("ignore", 1, ["config", "version"])],
)
async def test_the_version_is_asked_for_where_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, returncode: int, asked: list[str]
) -> None:
    """A child less where no key of a newer Compose is used and nothing is wrong."""
    rule = f"{{path: ., action: sync, target: /a, {key}: x}}"
    text = f"services: {{web: {{image: x, develop: {{watch: [{rule}]}}}}}}\n"
    (tmp_path / "compose.yml").write_text(text, encoding="utf-8")
    heard: list[str] = []

    async def run(argv: list[str], **_: Any) -> Completed:
        heard.append("version" if "version" in argv else "config")
        return Completed(0, b"2.26.1", b"") if "version" in argv else Completed(returncode, MODEL, b"it is wrong")

    monkeypatch.setattr(process, "run", run)
    if returncode:
        with pytest.raises(ConfigError):
            await load.load(Selection(str(tmp_path)))
    else:
        await load.load(Selection(str(tmp_path)))
    assert heard == asked
