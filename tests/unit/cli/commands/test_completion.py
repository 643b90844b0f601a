"""Completions at TAB, by the words typed so far, and the scripts in real shells."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from devenv.cli import main
from devenv.cli.commands import completion
from devenv.cli.commands.completion import script
from devenv.docker.endpoint import Endpoint
from devenv.model.snapshot import Snapshot
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from devenv.volumes.store import Store
from support.terminal import Terminal

SHOP = """\
services:
  web: {image: a}
  worker: {image: a}
  db: {image: a, profiles: [data]}
  "bad\\e[2Jname": {image: a}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a project, and another Compose file."""
    (tmp_path / "compose.yml").write_text("services: {web: {image: a}, worker: {image: a}}\n")
    (tmp_path / "other.yml").write_text("services: {elsewhere: {image: a}}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    return tmp_path


def test_the_script_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Only the script is printed; an unknown shell is an error."""
    assert main.run(["completion", "fish"]) == 0
    assert capfd.readouterr() == (f"{script('fish')}\n", "")
    assert main.run(["completion", "ksh"]) == 2


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'; PS1='ready> '\n"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -D; PS1='ready> '\n"),
    "fish": (["fish", "--no-config", "-i"], "function fish_prompt; echo 'ready> '; end\n"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes(shell: str, project: Path) -> None:
    """Typed on a terminal: a command, a service of the project, an option with its value, and a file."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    argv, first = SHELLS[shell]
    (project / "script").write_text(script(shell))
    home = project / "home"
    home.mkdir()
    env = {
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "TERM": "dumb" if shell != "fish" else "xterm",
        "HOME": str(home),
        "PWD": str(project),
    }
    with Terminal(*argv, cwd=project, env=env) as terminal:
        terminal.type(f"{first}source ./script; echo is-{{begun,}}\n")
        terminal.until("is-begun")
        for typed, whole in (
            ("devenv laye", "devenv layers"),
            ("devenv logs wo", "devenv logs worker"),
            ("devenv graph --output=mer", "--output=mermaid"),
            ("devenv -f oth", r"er\.yml"),
        ):
            begun = len(terminal.output)
            terminal.type(f"{typed}\t")
            terminal.until(whole, since=begun, timeout=60)
            terminal.type("\x15\n")
        terminal.type("exit\n")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One project in the current directory, and one to name with -f."""
    (tmp_path / "compose.yml").write_text(SHOP)
    (tmp_path / "other.yml").write_text("services: {elsewhere: {image: a}}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("COMPOSE_SHOP", "COMPOSE_PROSHOPS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    for name in ("shop", "lane"):
        run = Run.open("key", Endpoint("unix:///x"), name)
        run.write(Ledger(name, Place("/p"), "key", "unix:///x", None, 1.0, 1, "detached"))
    return tmp_path


def offered(line: str, shell: str = "zsh") -> list[str]:
    """The candidates without their help; the last word of the line is the word to complete."""
    return [one.partition("\t")[0] for one in completion.candidates([shell, *line.split(" ")])]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lo", "logs"),
        ("res", "restart"),
        ("scal", "scale"),
        ("logs ", "web worker db"),
        ("logs w", "web worker"),
        ("down ", "lane shop"),
        ("ls s", "shop"),
        ("ls shop ", "lane"),
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
@pytest.mark.usefixtures("shop")
def test_completions_fit_the_place_on_the_line(line: str, expected: str) -> None:
    """Candidates fit the place on the line and the project of the line; none has a space in it."""
    assert offered(line) == expected.split()


@pytest.mark.usefixtures("shop")
def test_commands_come_with_their_help() -> None:
    """Ours before Compose's, and no part of a group."""
    found = completion.candidates(["fish", ""])
    assert found[0].startswith("up\tStart the project")
    assert {"up", "logs", "exec", "snapshot"} <= {candidate.partition("\t")[0] for candidate in found}
    assert not any(candidate.partition("\t")[0] in ("snapshot list", "") for candidate in found)
    assert completion.candidates([]) == found


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
@pytest.mark.usefixtures("shop")
def test_bash_completes_only_the_value(words: list[str], expected: list[str]) -> None:
    """The candidates are values without the option."""
    assert [candidate.partition("\t")[0] for candidate in completion.candidates(["bash", *words])] == expected


def test_without_a_project_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no candidates, and no error is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert offered("logs ") == offered("--profile ") == offered("snapshot restore ") == []
    (tmp_path / "compose.yml").write_text("services: [")
    assert offered("logs ") == []
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "compose.yml"))
    assert offered("snapshot rm ") == []


@pytest.mark.usefixtures("shop")
def test_snapshots_are_offered_by_name_and_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first."""
    saved = [
        Snapshot(f"id{n}", "v", "v", "p", "/p", "e", n, 1, 1, "", title="mine" if n == 1 else "") for n in (1, 2)
    ]
    monkeypatch.setattr(Store, "all", lambda _: saved)
    assert offered("snapshot restore ") == ["id2", "mine", "id1"]
