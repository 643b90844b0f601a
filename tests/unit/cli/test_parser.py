"""Help, commands of groups, and errors in command lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import pytest
import typer

from devenv.cli import main, options, parser, registry
from devenv.cli.commands import show
from devenv.docker import process
from devenv.errors import EngineError, UsageError

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
def test_help_of_groups_and_commands(capfd: Capture, words: list[str], program: str, line: str) -> None:
    """Of devenv, of a group, of its command, and of a command."""
    assert parser.print_help(words) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith(f"Usage: {program} [OPTIONS]")
    assert any(text.startswith(line) for text in lines)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--all"], "`devenv help` has no option `--all`", "devenv help"),
        (["imges"], "no command or topic `imges`", "Did you mean `devenv images`?"),
        (["troubleshoting"], "no command or topic `troubleshoting`", "Did you mean `devenv help troubleshooting`?"),
        (["xyzzy"], "no command or topic `xyzzy`", "devenv help"),
        (["images", "pul"], "no command `pul`", "Did you mean `devenv images pull`?"),
        (["gc", "--nonsense"], "`devenv gc` has no option `--nonsense`", "devenv gc --help"),
    ],
)
def test_help_of_an_unknown_command_is_an_error(words: list[str], message: str, hint: str) -> None:
    """The error has a suggestion."""
    with pytest.raises(UsageError) as raised:
        parser.print_help(words)
    assert (raised.value.message, raised.value.hint) == (message, hint)


@pytest.fixture(autouse=True)
def compose(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A `docker` of tomorrow, which has a verb more; what would have become of our process."""
    seen: list[str] = []

    async def run(argv: Sequence[str]) -> process.Completed:
        assert list(argv) == ["docker", "compose", "--help"]
        return process.Completed(0, b"Usage: x\n\nOptions:\n  upp  y\n\nCommands:\n  up     x\n  tomorrow  y\n", b"")

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(process, "exec_replace", seen.extend)
    return seen


WRONG = [
    # options of devenv and of Compose's verbs, at any position
    ("up --detch", "`devenv up` has no option `--detch`", "Did you mean `--detach`?"),
    ("up --xyzzy", "`devenv up` has no option `--xyzzy`", "devenv up --help"),
    ("up -x", "`devenv up` has no option `-x`", "devenv up --help"),
    ("--fiel x up", "`devenv` has no option `--fiel`", "Did you mean `--file`?"),
    ("--ouput json ps", "`devenv` has no option `--ouput`", "Did you mean `--output`?"),
    ("--ouput", "`devenv` has no option `--ouput`", "Did you mean `--output`?"),
    ("images --outpt json", "`devenv images` has no option `--outpt`", "Did you mean `--output`?"),
    ("images pull --quite", "`devenv images pull` has no option `--quite`", "Did you mean `--quiet`?"),
    # values
    ("up --timeout x", "--timeout: `x` is not a number", "devenv up --help"),
    ("up --timeout nan", "--timeout: `nan` is not a number", "devenv up --help"),
    ("up --timeout 0", "--timeout: 0.0 is less than 1", "devenv up --help"),
    ("graph --output mer", "--output: `mer` is not one of `text`, `mermaid`, `json`", "Did you mean `mermaid`?"),
    ("down --output jsn", "--output: `jsn` is not one of `text`, `json`", "Did you mean `json`?"),
    ("up --file", "`--file` takes a value, which is missing", "devenv up --help"),
    ("up --no-logs=3", "option `--no-logs` does not take a value", "devenv up --help"),
    # arguments
    ("explain", "`devenv explain` takes PATHS..., which is missing", "devenv explain --help"),
    ("layers", "`devenv layers` takes SERVICE|IMAGE, which is missing", "devenv layers --help"),
    ("gc a b", "`devenv gc` does not take `a b`", "devenv gc --help"),
    # commands
    ("upp", "no command `upp`", "Did you mean `devenv up`?"),
    ("statuss", "no command `statuss`", "Did you mean `devenv status`?"),
    ("hepl", "no command `hepl`", "Did you mean `devenv help`?"),
    ("help watch", "there is no command `watch`: `devenv up` watches and syncs saved files", "devenv up"),
    ("exce web sh", "no command `exce`", "Did you mean `devenv exec`?"),
    ("xyzzy", "no command `xyzzy`", "devenv --help"),
    ("images pul", "no command `pul`", "Did you mean `devenv images pull`?"),
    ("snapshot", "`devenv snapshot` takes a command", "Known here: list, save, restore, rm, export, import."),
    ("help upp", "no command or topic `upp`", "Did you mean `devenv up`?"),
]


@pytest.mark.parametrize(("line", "message", "hint"), WRONG, ids=[line for line, *_ in WRONG])
def test_usage_errors_have_one_form(capfd: Capture, compose: list[str], line: str, message: str, hint: str) -> None:
    """An error and a hint, exit code 2, nothing on stdout and nothing of a parser; docker is not started."""
    assert main.run(line.split()) == 2
    assert capfd.readouterr() == ("", f"error: {message}\n  hint: {hint}\n")
    assert compose == []


@pytest.mark.parametrize("line", ["--output json up --detch", "up --detch --output=json", "upp --output json"])
def test_usage_error_is_an_event_in_json(capfd: Capture, line: str) -> None:
    """With `--output json`, a usage error is one line on stdout."""
    assert main.run(line.split()) == 2
    (output,) = capfd.readouterr().out.splitlines()
    event = json.loads(output)
    assert (event["event"], event["exit_code"]) == ("error", 2)
    assert event["hint"].startswith("Did you mean")


@pytest.mark.parametrize("verb", ["tomorrow", "top", "wait"])
def test_compose_commands_are_passed_through(compose: list[str], verb: str) -> None:
    """Known commands are passed through, and those that the installed Compose lists."""
    main.run(["--project-directory", "up", verb, "--upp"])
    assert compose == ["docker", "compose", "--project-directory", "up", verb, "--upp"]


def test_unknown_command_without_docker_is_an_error(capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word is unknown if Compose cannot be asked."""

    async def run(_: Sequence[str]) -> process.Completed:
        raise EngineError("`docker` is not installed")

    monkeypatch.setattr(process, "run", run)
    assert main.run(["upp"]) == 2
    assert "no command `upp`" in capfd.readouterr().err


def test_help_of_a_command(capfd: Capture) -> None:
    """`devenv help up` is `devenv up --help`, and `down` has another `-v`."""
    assert main.run(["help", "up"]) == 0
    helped = capfd.readouterr().out
    assert main.run(["up", "--help"]) == 0
    assert capfd.readouterr().out == helped
    assert "--verbose" in helped
    assert main.run(["-f", "x", "--version"]) == 0
    assert capfd.readouterr().out.startswith("devenv 0")
    assert main.run(["down", "--help"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if "--verbose" in line or "-v," in line]
    assert [line.split()[0] for line in lines] == ["-v,", "--verbose"]


def test_a_command_without_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its defaults, the code that it returns or exits with; a missing word is an error as by the parser."""
    asked = []

    def ended(services: list[str] | None = None, *, watch: bool = False) -> int | None:
        asked.append((services, watch))
        raise typer.Exit(3)

    monkeypatch.setattr(show, "ps", ended)
    assert parser.invoke("ps", []) == 3
    assert asked == [(None, False)]
    monkeypatch.setattr(show, "ps", lambda: 4)
    assert parser.invoke("ps", []) == 4
    monkeypatch.setattr(show, "ps", lambda: None)
    assert parser.invoke("ps", []) == 0
    with pytest.raises(UsageError, match="which is missing"):
        parser.invoke("images save", [])


@pytest.mark.parametrize("name", sorted(registry.COMMANDS))
def test_flags_that_need_no_typer_are_flags_of_typer(name: str) -> None:
    """The options without a value that are off by default, unless their spelling follows from the parameter."""
    body = parser._body(registry.COMMANDS[name])
    app = parser.new_app()
    app.command()(body)
    known = {
        spelling: parameter.name
        for parameter in typer.main.get_command(app).params
        if getattr(parameter, "is_flag", False) and not parameter.default
        for spelling in parameter.opts
    }
    found = parser._flags(body, parser._defaults(body))
    assert found.items() <= known.items()
    assert name not in ("up", "down") or {"up": "-d", "down": "-v"}[name] in found


def test_flags_alone_import_no_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command gets them; an unknown option, a value or a combination of letters is left to typer."""
    seen: list[dict[str, bool]] = []

    def command(
        volumes: Annotated[bool, typer.Option("--volumes", "-v")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    ) -> None:
        seen.append({"volumes": volumes, "yes": yes})

    monkeypatch.setattr(parser, "_body", lambda _: command)
    monkeypatch.setattr(parser, "new_app", lambda: pytest.fail("typer is used"))
    assert parser.invoke("down", ["-v"]) == parser.invoke("down", ["--yes", "-v", "-v"]) == 0
    assert seen == [{"volumes": True, "yes": False}, {"volumes": True, "yes": True}]
    shared = options.SharedOptions()
    monkeypatch.setattr(options, "shared", shared)
    assert parser.invoke("down", ["--output", "json", "-v"]) == 0
    assert (seen[-1], shared.output) == ({"volumes": True, "yes": False}, options.Output.JSON)
    for words in (["-vy"], ["-x"], ["--volumes=yes"], ["web"], ["-v", "web"], ["--output", "xml"], ["--output"]):
        with pytest.raises(pytest.fail.Exception):
            parser.invoke("down", words)
