"""The scripts for shells, printed and in real shells."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from devenv.cli import main
from devenv.cli.commands.completion import script
from support.terminal import Terminal


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
    """And nothing else; an unknown shell is an error."""
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
            begun = len(terminal.said)
            terminal.type(f"{typed}\t")
            terminal.until(whole, since=begun, timeout=60)
            terminal.type("\x15\n")
        terminal.type("exit\n")
