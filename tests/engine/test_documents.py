"""JSON output of commands, for a real project, matches the published schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.cli import main
from support.schemas import checked_document, violations
from support.stack import unique_name

pytestmark = pytest.mark.engine

COMPOSE = """\
name: {name}
x-devenv: {{ports: as-written, keep: [data]}}
services:
  web:
    image: {image}
    ports: ["8080:80"]
    depends_on: [db]
    develop: {{watch: [{{action: sync, path: ., target: /app}}]}}
  db:
    image: {image}
    volumes: ["data:/data"]
volumes: {{data: {{}}}}
"""
# The commands, and the document that each prints, or `events`. Other documents have tests of their own.
COMMANDS = {
    "images": "images",
    "images --list": "images --list",
    "config --validate": "config --validate",
    "new --list": "new --list",
    "new static-nginx site --dry-run": "new",
    "add redis --dry-run": "add",
    "remove web --dry-run": "add",
    "": "devenv",
    "ps": "ps",
    "logs --tail 1": "events",
    "down": "events",
    "gc --dry-run": "events",
    "snapshot restore": "events",
}


def test_every_document_matches_its_schema(
    base_image: str,
    state_env: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All commands that print a document match, and some that print events, including an error."""
    for key, value in {**state_env, "PWD": str(tmp_path)}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yml").write_text(COMPOSE.format(image=base_image, name=unique_name("documents")))
    for line, document in COMMANDS.items():
        main.run([*line.split(), "--output", "json"])
        output = capfd.readouterr().out
        if document == "events":
            assert [fault for text in output.splitlines() for fault in violations(json.loads(text))] == [], line
        else:
            checked_document(document, output)
    assert sorted(path.name for path in tmp_path.iterdir() if " home" not in path.name) == ["compose.yml"]
