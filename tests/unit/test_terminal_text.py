"""Escape codes in foreign text, on a real terminal."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from devenv.model.snapshot import Snapshot
from support.terminal import Terminal
from unit.volumes.test_exported import made
from unit.volumes.test_store import tar

CLIPBOARD = "\x1b]52;c;ZXZpbA==\x07"
HOSTILE = f"a{CLIPBOARD}b\x1b[8mc\x9b2Jd\u202ee"
OURS = re.compile(r"\x1b\[(?:[0-24]|3\d|9\d)m|\r\x1b\[2K")  # colours, and the line that is written over


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str | None]:
    """A terminal in colours, and a state folder of the test's."""
    return {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "TERM": "xterm-256color",
        "CI": None,
        "NO_COLOR": None,
    }


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An export whose names of project, folder and volume, and whose title and database, are hostile."""
    plain = tar(file=b"x")
    archive = gzip.compress(plain)
    known = Snapshot(
        "1", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, time.time(), len(plain), len(archive),
        hashlib.sha256(archive).hexdigest(), title=HOSTILE, database=HOSTILE,
    )  # fmt: skip
    name = "a%1B%5D52%3Bc%3BZXZpbA%3D%3D%07b%1B%5B8mc%C2%9B2Jd%E2%80%AEe"
    path = tmp_path / "export"
    path.write_bytes(made((f"{name}.json", json.dumps(asdict(known)).encode()), (f"{name}.tar.gz", archive)))
    return path


def said(*words: str, cwd: Path, env: dict[str, str | None], code: int = 0) -> str:
    """The output of the command on its terminal, without colours of devenv."""
    with Terminal(sys.executable, "-m", "devenv", *words, cwd=cwd, env=env, size=(200, 50)) as terminal:
        assert terminal.process.wait(30) == code, terminal.output
        terminal.close()
        return OURS.sub("", terminal.output).replace("\r\n", "\n")


# Each command runs in a process of its own, forked from a process that has imported the common modules.
FORKS = """
import json, os, sys
import anyio._backends._asyncio, typer.main, yaml
import devenv.cli.main, devenv.compose.resolve, devenv.compose.validate, devenv.docker.client
from devenv.__main__ import main
for words in json.loads(sys.argv[1]):
    if not (pid := os.fork()):
        sys.exit(main(words))
    print(f"=== {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}", flush=True)
"""


def said_by_each(commands: Sequence[Sequence[str]], cwd: Path, env: dict[str, str | None]) -> list[tuple[int, str]]:
    """The exit code of each command, and what it writes to the terminal, without codes of ours."""
    argv = (sys.executable, "-c", FORKS, json.dumps(commands))
    with Terminal(*argv, cwd=cwd, env=env, size=(200, 50)) as terminal:
        assert terminal.process.wait(120) == 0, terminal.output
        terminal.close()
        *parts, _ = re.split(r"=== (-?\d+)\r\n", terminal.output)
    texts = [OURS.sub("", text).replace("\r\n", "\n") for text in parts[::2]]
    return list(zip(map(int, parts[1::2]), texts, strict=True))


def harmful(text: str) -> list[str]:
    return re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def test_snapshots_of_others(exported: Path, tmp_path: Path, env: dict[str, str | None]) -> None:
    """`snapshot import`, `list`, `export`, `rm` and completion show names, and no code in them is carried out."""
    shown = said("snapshot", "import", str(exported), cwd=tmp_path, env=env)
    assert "abcde" in shown.replace("2J", "")
    assert harmful(shown) == []
    listed = said("snapshot", "list", cwd=tmp_path, env=env)
    assert "abc" in listed
    assert harmful(listed) == []
    name = re.search(r"^(\d{8}-\S+)", listed, re.MULTILINE)
    assert name is not None
    out = said("snapshot", "export", name[1], str(tmp_path / "out"), cwd=tmp_path, env=env)
    assert "abc" in out
    assert harmful(out) == []
    with tarfile.open(tmp_path / "out") as archive:
        assert archive.getnames()[-1] == "index"
    assert harmful(said("__complete", "bash", "snapshot", "rm", "", cwd=tmp_path, env=env)) == []
    removed = said("snapshot", "rm", name[1], cwd=tmp_path, env=env)
    assert "removed the snapshot" in removed
    assert harmful(removed) == []


def test_an_archive_does_not_go_to_a_terminal(exported: Path, tmp_path: Path, env: dict[str, str | None]) -> None:
    """Its bytes would be codes."""
    said("snapshot", "import", str(exported), cwd=tmp_path, env=env)
    (name,) = os.listdir(tmp_path / "state/devenv-compose/snapshots")
    out = said("snapshot", "export", name, "-", cwd=tmp_path, env=env, code=2)
    assert out.splitlines() == [
        "error: standard output is a terminal, and the archive is binary",
        f"  hint: devenv snapshot export {name} FILE",
    ]


WRONG = [
    ("-f", HOSTILE, "config"),
    ("config", "-f", HOSTILE),
    ("snapshot", "rm", HOSTILE),
    ("snapshot", "import", HOSTILE),
    ("up", f"--{HOSTILE}"),
    (HOSTILE,),
    ("new", HOSTILE),
    ("add", HOSTILE),
    ("logs", "--grep", f"/({HOSTILE}/"),
    ("logs", "--since", HOSTILE),
    ("explain", HOSTILE, "-f", HOSTILE),
    ("-v", "-f", HOSTILE, "ps"),
]


def test_mistakes_on_the_command_line(tmp_path: Path, env: dict[str, str | None]) -> None:
    """The argument is quoted in the error, and only as text."""
    for words, (code, shown) in zip(WRONG, said_by_each(WRONG, tmp_path, env), strict=True):
        assert code in range(1, 8), (words, shown)
        assert "error:" in shown, words
        assert harmful(shown) == [], words


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Compose file with codes wherever there may be text."""
    quoted = json.dumps(HOSTILE)
    (tmp_path / "compose.yaml").write_text(
        f"name: shop\nservices:\n  web:\n    image: {quoted}\n    command: {quoted}\n"
        f"    develop: {{watch: [{{path: {quoted}, action: sync, target: /x}}]}}\n"
        f"x-devenv: {{{quoted}: 1, hooks: {{before_up: {quoted}}}}}\n"
    )
    return tmp_path


SHOWING = [
    ("config",),
    ("config", "--validate"),
    ("explain", "compose.yaml"),
    ("images",),
    ("graph",),
    ("-v", "config"),
    (),
]


def test_a_hostile_project(project: Path, env: dict[str, str | None]) -> None:
    """Rules, hooks, mistakes, images and traces are shown as text."""
    for words, (_, shown) in zip(SHOWING, said_by_each(SHOWING, project, env), strict=True):
        assert shown.strip(), words
        assert harmful(shown) == [], words
