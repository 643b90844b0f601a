"""Which command a command line runs, and its exit code."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, NoReturn

import pytest

from devenv.cli import main, options, parser
from devenv.docker import process
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, StateError, UsageError
from devenv.state.identity import Place
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run
from support.worktrees import linked


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """The command that would have replaced this process, in a folder with a project."""
    seen: list[list[str]] = []
    (tmp_path / "compose.yml").write_text("services: {web: {image: a}}\n")
    (tmp_path / "a.yml").write_text("services: {web: {image: a}}\n")
    monkeypatch.chdir(tmp_path)

    def replace(argv: list[str]) -> None:
        seen.append(list(argv))

    monkeypatch.setattr(process, "exec_replace", replace)
    return seen


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exec web sh", "docker compose exec web sh"),
        ("-f a.yml --profile x stats --no-stream web", "docker compose -f a.yml --profile x stats --no-stream web"),
        ("-q --output json -v -p n top", "docker compose -p n top"),
        ("--output=json stats", "docker compose stats"),
        # a command of Compose with the same name as an argument, and `config` of Compose
        ("config --services", "docker compose config --services"),
        ("config web", "docker compose config web"),
        ("config -q", "docker compose config -q"),
        ("-q config", "docker compose config"),
        ("--profile x config --output file.yml", "docker compose --profile x config --output file.yml"),
        ("config --output=file.yml", "docker compose config --output=file.yml"),
        ("config --format json", "docker compose config --format json"),
        ("help start", "docker compose start --help"),
    ],
)
def test_other_verbs_go_to_compose(passed: list[list[str]], line: str, expected: str) -> None:
    """As they are, without the options that only we know."""
    main.run(line.split())
    assert passed == [expected.split()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exec web sh", "docker compose -p shop-feature exec web sh"),
        ("--profile x top", "docker compose --profile x -p shop-feature top"),
        ("-p mine top", "docker compose -p mine top"),
        ("-pmine top", "docker compose -pmine top"),
        ("--project-name=mine top", "docker compose --project-name=mine top"),
        ("-f named.yml top", "docker compose -f named.yml -p mine-feature top"),
        ("-f ../main.yml top", "docker compose -f ../main.yml top"),
        ("--isolated top", "docker compose -p shop-feature top"),
        ("--isolated=two exec web x --isolated", "docker compose -p shop-feature-two exec web x --isolated"),
        ("--isolated=two -p mine top", "docker compose -p mine top"),
    ],
)
def test_other_verbs_know_the_worktree(
    passed: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    """They get the name that `up` gives the project."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")
    for name, text in (("compose.yml", ""), ("named.yml", "name: mine\n"), ("../main.yml", "")):
        (tree / name).write_text(f"{text}services: {{web: {{image: a}}}}\n")
    monkeypatch.chdir(tree)
    main.run(line.split())
    assert passed == [expected.split()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("status", "ps"),
        ("-p n status web", "ps -p n web"),
        ("init --dry-run", "add rules --dry-run"),
        ("version", "version"),
        ("help status", "ps --help"),
        ("help init", "add rules --help"),
    ],
)
def test_other_names_of_commands(
    passed: list[list[str]], monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    """A common other name of a command runs that command."""
    seen: list[str] = []
    monkeypatch.setattr(parser, "invoke", lambda name, arguments: seen.append(" ".join([name, *arguments])))
    main.run(line.split())
    assert (seen, passed) == ([expected], [])


def test_init_without_a_project_is_new(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a project there are no files that could get rules."""
    monkeypatch.chdir(tmp_path)
    seen: list[str] = []
    monkeypatch.setattr(parser, "invoke", lambda name, arguments: seen.append(" ".join([name, *arguments])))
    main.run(["init", "--list"])
    assert seen == ["new --list"]


@pytest.mark.parametrize("verb", ["start", "restart web", "exec web sh", "top", "stop", "cp web:/a .", "attach web"])
def test_commands_without_a_project_fail_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    """The error is that of `devenv ps`, also if a given file does not exist or cannot be read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    assert main.run(verb.split()) == ConfigError.exit_code
    assert capfd.readouterr().err.startswith(f"error: no compose file in {tmp_path}\n")
    assert main.run(["-f", "none.yml", *verb.split()]) == ConfigError.exit_code
    assert "none.yml" in capfd.readouterr().err
    Path("broken.yml").write_text("services: [\n")
    assert main.run(["-f", "broken.yml", *verb.split()]) == ConfigError.exit_code
    assert capfd.readouterr().err.startswith("error: broken.yml:1:11: a bracket is not closed")


@pytest.mark.parametrize("error", [DevenvError, UsageError, StateError, EngineError, ConfigError, RefusedError])
def test_errors_have_their_exit_codes(
    error: type[DevenvError], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each exception of a workflow becomes a message, a hint and an exit code, without a traceback."""
    fail(monkeypatch, error("what failed", hint="what to type"))
    assert main.run(["down"]) == error.exit_code
    assert capfd.readouterr() == ("", "error: what failed\n  hint: what to type\n")


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a command without a way down of its own."""
    fail(monkeypatch, KeyboardInterrupt())
    assert main.run(["down"]) == 130


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `down` raise."""

    async def down(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr("devenv.run.cleanup.down.down", down)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--help", 0),
        ("help --help", 0),
        ("up --help", 0),
        ("up --nonsense", 2),
        ("up --timeout x", 2),
        ("snapshot --nonsense", 2),
        ("images --nonsense", 2),
        ("help --nonsense", 2),
    ],
)
def test_help_and_usage_errors_have_their_exit_codes(line: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Help is 0 and on stdout, a wrong option 2 and on stderr; the first page of help names `--version`."""
    assert main.run(line.split()) == code
    out, err = capfd.readouterr()
    assert bool(out) is (code == 0)
    assert bool(err) is (code != 0)
    assert ("--version" in out) is (line in ("--help", "help --help"))
    assert ("has no option `--nonsense`" in err) is ("--nonsense" in line)


@pytest.mark.parametrize("line", ["--version", "--version --help", "help --version"])
def test_version_option_wins(line: str, capfd: pytest.CaptureFixture[str]) -> None:
    """`--version` has priority over all other arguments."""
    assert main.run(line.split()) == 0
    assert re.fullmatch(r"devenv \S+\n", capfd.readouterr().out)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("images", "images list"),
        ("images -f a.yml", "images list -f a.yml"),
        ("-f a.yml images --output json", "images list --output json -f a.yml"),
        ("-f a.yml images save x.tar -q", "images save -f a.yml x.tar -q"),
        ("images -f a.yml save x.tar", "images save -f a.yml x.tar"),
        ("images --help", "images --help"),
        ("-p n snapshot save data", "snapshot save -p n data"),
        # `down` has a `-v` of its own, which takes the volumes
        ("-v down", "down"),
        ("-vv -q --verbose down -v", "down -q -v"),
    ],
)
def test_common_options_reach_the_command_of_a_group(
    monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    """They may be before the group, before the command or after it; `images` alone lists."""
    seen: list[str] = []
    monkeypatch.setattr(parser, "invoke", lambda name, arguments: seen.append(" ".join([name, *arguments])))
    monkeypatch.setattr(parser, "print_help", lambda words: seen.append(" ".join([*words, "--help"])))
    main.run(line.split())
    assert seen == [expected]
    assert options.shared.verbosity == {"-v": 1, "-vv": 3}.get(line.split(maxsplit=1)[0], 0)


def test_a_bug_is_one_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The hint names the file with the cleaned traceback; if it cannot be written, the error is in the line."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fail(monkeypatch, ValueError("a\x1b[2Jb"))
    assert main.run(["down"]) == main.BUG
    error, hint = capfd.readouterr().err.splitlines()
    assert error == "error: devenv itself failed (ValueError); this is a bug"
    crash = Path(hint.removeprefix("  hint: cat ")).read_text(encoding="utf-8")
    assert crash.endswith("ValueError: ab\n")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert main.run(["down", "--output", "json"]) == main.BUG
    assert json.loads(capfd.readouterr().out)["message"].startswith("devenv itself failed (ValueError: ")


@pytest.mark.parametrize(("line", "expected"), [("ps", 1), ("down", 0), ("ps --help", 0), ("-p a exec web ls", 1)])
def test_commands_report_dead_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], line: str, expected: int
) -> None:
    """Before a command, unless it finishes them or only help is wanted."""

    async def everywhere() -> list[str]:
        return ["something is left"]

    monkeypatch.setattr("devenv.run.cleanup.remains.everywhere", everywhere)
    monkeypatch.setattr("devenv.state.all_runs.dead_runs", lambda _: iter([1]))
    monkeypatch.setattr(parser, "invoke", lambda *_: 0)
    monkeypatch.setattr(process, "exec_replace", lambda _: None)
    main.run(line.split())
    assert capfd.readouterr().err.count("something is left") == expected


@pytest.mark.parametrize(
    ("hint", "typed", "expected"),
    [
        ("devenv up --port web:81=80", "up --stand-ins --no-ui", "devenv up --stand-ins --no-ui --port web:81=80"),
        (
            "devenv up --port a:1=2 --port web:81=80",
            "-f c.yml up --port a:1=2 web --scale web=2",
            "devenv up -f c.yml web --scale web=2 --port a:1=2 --port web:81=80",
        ),
        ("devenv up --port a:1=2", "up --port=a:1=2", "devenv up --port a:1=2"),
        ("devenv up --timeout 600", "up --timeout 300 -d", "devenv up -d --timeout 600"),
        ("devenv up --watcher auto", "up --watcher inotify web", "devenv up web --watcher auto"),
        ("docker info; or devenv up --stand-ins", "up -d", "docker info; or devenv up -d --stand-ins"),
        ("devenv up --fresh   (starts empty)", "up --from x1 --lan", "devenv up --lan --fresh   (starts empty)"),
        ("devenv up --lan", "up --from 'my x'", "devenv up --from='my x' --lan"),
        ("devenv up", "up -d", "devenv up"),
        ("devenv up --lan", "up -d -p shop", "devenv up -d -p shop --lan"),
        ("devenv up -p shop-2   (or: x)", "-p shop up -d", "devenv up -d -p shop-2   (or: x)"),
        ("devenv up -p shop-2", "up --project-name=shop -d", "devenv up -d -p shop-2"),
        ("`devenv up` rebuilds it", "up -d", "`devenv up` rebuilds it"),
        ("devenv up --stand-ins", "images", "devenv up --stand-ins"),
        ("devenv up --help", "up --xyzzy", "devenv up --help"),
        (None, "up -d", None),
    ],
)
def test_a_hint_keeps_the_options_that_were_typed(hint: str | None, typed: str, expected: str | None) -> None:
    """The command in the hint can be copied: it has the options of the first command."""
    assert main.with_typed_options(hint, shlex.split(typed)) == expected


def test_a_command_in_a_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It reports that itself, also if runs in the background may have to be reported first."""
    ledger = Ledger("shop", Place("/shop"), "engine", "unix:///e", None, began=5.0, pid=1, phase="detached")
    monkeypatch.setattr("devenv.state.all_runs.dead_runs", lambda _: iter([]))
    monkeypatch.setattr("devenv.state.all_runs.every_runs", lambda: iter([(Run(str(tmp_path)), ledger)]))
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main.run(["new", "static-nginx"]) == UsageError.exit_code
    assert "the current folder does not exist any more" in capfd.readouterr().err
