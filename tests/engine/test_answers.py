"""Answers to questions of templates are data for Compose: it reads the same text, with any content."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

from devenv.scaffold.new import render

COUNT = 1000
TRICKS = (
    "$", "${X}", "$$", "{{", "'", '"', "\\", "\\n", "\n",
    "\r", "\t", ": ", " #", "#", "%", "`", "\u2028", "\x85", "€", "😀", "=", "\x7f", "a",
)  # fmt: skip


def test_thousand_answers_are_read_back_by_compose(tmp_path: Path, compose_env: dict[str, str]) -> None:
    """Scalars of a Compose file and lines of a file of variables keep any text."""
    chance = random.Random(7)
    answers = {f"V{index}": "".join(chance.choices(TRICKS, k=chance.randrange(9))) for index in range(COUNT)}
    one_line = {key: answer.replace("\r", "") for key, answer in answers.items()}
    written = "\n".join(f"{key}={render.dotenv(answer)}" for key, answer in one_line.items())
    (tmp_path / "variables").write_text(written, encoding="utf-8", newline="")
    scalars = "".join(f"      {key}: {render.compose(answer)}\n" for key, answer in answers.items())
    services = (
        f"services:\n  a:\n    image: x\n    environment:\n{scalars}  b:\n    image: x\n    env_file: variables\n"
    )
    (tmp_path / "compose.yml").write_text(services, encoding="utf-8", newline="")
    done = subprocess.run(
        ["docker", "compose", "config", "--format=json"],
        cwd=tmp_path, env={**os.environ, **compose_env}, capture_output=True, check=True,
    )  # fmt: skip
    read = json.loads(done.stdout)["services"]
    assert unescaped(read["a"]["environment"]) == answers
    assert unescaped(read["b"]["environment"]) == one_line


def unescaped(environment: dict[str, str]) -> dict[str, str]:
    """The values; what `config` prints is a Compose file again, so it doubles each `$`."""
    return {key: value.replace("$$", "$") for key, value in environment.items()}
