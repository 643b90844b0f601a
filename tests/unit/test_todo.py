"""The template `todo` is the sample app."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE, FILES = ROOT / "sample-todo-app", ROOT / "templates/projects/todo/files"


def test_the_template_is_the_sample_byte_for_byte() -> None:
    """Where it is not, scripts/todo-template makes it so."""
    listed = subprocess.run(["git", "ls-files"], cwd=SAMPLE, capture_output=True, text=True, check=True)
    assert {path.relative_to(FILES).as_posix() for path in FILES.rglob("*") if path.is_file()} == {
        *listed.stdout.splitlines(),
        ".env.jinja",
    }
    for path in listed.stdout.splitlines():
        assert (FILES / path).read_bytes() == (SAMPLE / path).read_bytes(), path
