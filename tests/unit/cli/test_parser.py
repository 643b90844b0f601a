"""Help and commands of groups."""

from __future__ import annotations

import pytest

from devenv.cli import parser
from devenv.errors import UsageError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "program", "line"),
    [
        ([], "devenv", "  logs "),
        (["images"], "devenv images", "  pull "),
        (["images", "pull"], "devenv images pull", "  --stand-ins "),
        (["down"], "devenv down", "  --keep-volumes "),
        (["--help"], "devenv", "  logs "),
        (["-h"], "devenv", "  logs "),
        (["images", "-h"], "devenv images", "  pull "),
        (["images", "--help"], "devenv images", "  pull "),
    ],
)
def test_help(capfd: Capture, words: list[str], program: str, line: str) -> None:
    """Of devenv, of a group, of its command, and of a command."""
    assert parser.print_help(words) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith(f"Usage: {program} [OPTIONS]")
    assert any(one.startswith(line) for one in lines)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--all"], "`devenv help` has no option `--all`", "devenv help"),
        (["imges"], "no command `imges`", "Did you mean `devenv images`?"),
        (["images", "pul"], "no command `pul`", "Did you mean `devenv images pull`?"),
        (["gc", "--nonsense"], "`devenv gc` has no option `--nonsense`", "devenv gc --help"),
    ],
)
def test_no_help_of_an_unknown_command(words: list[str], message: str, hint: str) -> None:
    """With what is meant."""
    with pytest.raises(UsageError) as raised:
        parser.print_help(words)
    assert (raised.value.message, raised.value.hint) == (message, hint)
