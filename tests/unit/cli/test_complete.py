"""What a shell offers at TAB, by the words that were typed and in real shells."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.cli import complete
from devenv.volumes.store import Store

FILE = """\
services:
  web: {image: a}
  worker: {image: a}
  db: {image: a, profiles: [data]}
  "bad\\e[2Jname": {image: a}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to stand in, and one to name by -f."""
    (tmp_path / "compose.yml").write_text(FILE)
    (tmp_path / "other.yml").write_text("services: {elsewhere: {image: a}}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("COMPOSE_FILE", "COMPOSE_PROFILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def offered(line: str, shell: str = "zsh") -> list[str]:
    """The candidates without their help; the last word of the line is the one that is typed."""
    return [one.partition("\t")[0] for one in complete.candidates([shell, *line.split(" ")])]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lo", "logs"),
        ("res", "restart"),
        ("scal", "scale"),
        ("logs ", "web worker db"),
        ("logs w", "web worker"),
        ("logs web ", "worker db"),
        ("--profile x logs web w", "worker"),
        ("exec w", "web worker"),
        ("pull w", "web worker"),
        ("help snap", "snapshot"),
        ("help up ", ""),
        ("exec web ", ":file"),
        ("shell web ", "worker db"),
        ("shell web -- ls ", ":file"),
        ("-f other.yml logs ", "elsewhere"),
        ("--file=other.yml logs ", "elsewhere"),
        ("logs --file other.yml ", "elsewhere"),
        ("-f ", ":file"),
        ("up --profile ", "data"),
        ("--profile=d", "--profile=data"),
        ("up --output=", "--output=text --output=json"),
        ("up --watcher i", "inotify"),
        ("up --no-w", "--no-watch"),
        ("logs --t", "--tail --timestamps"),
        ("logs --tail ", ""),
        ("snapshot r", "restore rm"),
        ("completion ", "bash zsh fish"),
        ("open ", "web worker db"),
        ("open web ", ""),
        ("new f", "fastapi-postgres flask-redis"),
        ("new x ", ":file"),
        ("add r", "rabbitmq redis rules"),
        ("explain ", ":file"),
        ("nonsense ", ""),
        ("restart --", ""),
        ("--vers", "--version"),
        ("up --nonsense w", "web worker"),
        ("logs -- --", ""),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_is_offered(line: str, expected: str) -> None:
    """Whatever fits there, in the project that the line means; a name that is more than a word never is."""
    assert offered(line) == expected.split()


@pytest.mark.usefixtures("project")
def test_commands_come_with_their_help() -> None:
    """Ours before Compose's, and no part of a group."""
    found = complete.candidates(["fish", ""])
    assert found[0].startswith("new\tCreate a project")
    assert {"up", "logs", "exec", "snapshot"} <= {one.partition("\t")[0] for one in found}
    assert not any(one.partition("\t")[0] in ("snapshot list", "") for one in found)
    assert complete.candidates([]) == found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["up", "--output", "=", "j"], ["json"]),
        (["up", "--output", "="], ["text", "json"]),
        (["--profile", "=", "data", "logs", "d"], ["db"]),
        (["--file", "=", "other.yml", "logs", ""], ["elsewhere"]),
        (["logs", "=", "w"], ["web", "worker"]),
    ],
)
@pytest.mark.usefixtures("project")
def test_bash_takes_a_value_for_a_word(words: list[str], expected: list[str]) -> None:
    """What it puts in is the value alone."""
    assert [one.partition("\t")[0] for one in complete.candidates(["bash", *words])] == expected


def test_without_a_project_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no error is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert offered("logs ") == offered("--profile ") == offered("snapshot restore ") == []
    (tmp_path / "compose.yml").write_text("services: [")
    assert offered("logs ") == []
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "compose.yml"))
    assert offered("snapshot rm ") == []


@pytest.mark.usefixtures("project")
def test_snapshots_are_offered_by_name_and_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first."""
    from devenv.model.snapshot import Snapshot  # noqa: PLC0415 - only here

    saved = [
        Snapshot(f"id{n}", "v", "v", "p", "/p", "e", n, 1, 1, "", title="mine" if n == 1 else "") for n in (1, 2)
    ]
    monkeypatch.setattr(Store, "all", lambda _: saved)
    assert offered("snapshot restore ") == ["id2", "mine", "id1"]
