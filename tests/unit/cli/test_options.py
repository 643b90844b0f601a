"""How a command line is cut, and what it ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest

from devenv.cli import main, options, parser
from devenv.docker import process
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, StateError, UsageError
from support.worktrees import linked


@pytest.mark.parametrize(
    ("line", "before", "verb", "after"),
    [
        ("", "", None, ""),
        ("up", "", "up", ""),
        ("up -d web", "", "up", "-d web"),
        ("-f a.yml -p x --profile dev ps -a", "-f a.yml -p x --profile dev", "ps", "-a"),
        ("--file=a.yml -q up --file b.yml", "--file=a.yml -q", "up", "--file b.yml"),
        ("--output json up", "--output json", "up", ""),
        ("--help", "--help", None, ""),
        ("-f", "-f", None, ""),
        ("exec web sh -c up", "", "exec", "web sh -c up"),
    ],
)
def test_split(line: str, before: str, verb: str | None, after: str) -> None:
    """Options before the verb keep their values; what comes after it is not looked at."""
    assert options.split(line.split()) == (before.split(), verb, after.split())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-f a --file b", "a b"),
        ("-fa --file=b", "a b"),
        ("-f=a", "a"),
        ("-f", ""),
        ("--files x -p f", ""),
    ],
)
def test_values(line: str, expected: str) -> None:
    """All spellings of an option with a value are understood."""
    assert sorted(options.values(line.split(), "-f", "--file")) == expected.split()


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have become of our process."""
    seen: list[list[str]] = []

    def replace(argv: list[str]) -> None:
        seen.append(list(argv))

    monkeypatch.setattr(process, "replace", replace)
    return seen


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exec web sh", "docker compose exec web sh"),
        ("-f a.yml --profile x stats --no-stream web", "docker compose -f a.yml --profile x stats --no-stream web"),
        ("-q --output json -v -p n top", "docker compose -p n top"),
        ("--output=json stats", "docker compose stats"),
        # one argument that is not ours, and `config` is Compose's
        ("config --services", "docker compose config --services"),
        ("config web", "docker compose config web"),
        ("config -q", "docker compose config -q"),
        ("-q config", "docker compose config"),
        ("--profile x config --output file.yml", "docker compose --profile x config --output file.yml"),
        ("config --output=file.yml", "docker compose config --output=file.yml"),
        ("config --format json", "docker compose config --format json"),
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
        ("-f named.yml top", "docker compose -f named.yml top"),
        ("-f none.yml top", "docker compose -f none.yml top"),
        ("-f broken.yml top", "docker compose -f broken.yml top"),
        ("-f ../main.yml top", "docker compose -f ../main.yml top"),
    ],
)
def test_other_verbs_know_the_worktree(
    passed: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    """They get the name that `up` gives the project; what is wrong with a file is Compose's to say."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")
    for name, text in (("compose.yml", ""), ("named.yml", "name: mine\n"), ("../main.yml", ""), ("broken.yml", "[")):
        (tree / name).write_text(f"{text}services: {{web: {{image: a}}}}\n")
    monkeypatch.chdir(tree)
    main.run(line.split())
    assert passed == [expected.split()]


@pytest.mark.parametrize("error", [DevenvError, UsageError, StateError, EngineError, ConfigError, RefusedError])
def test_errors_have_their_exit_codes(
    error: type[DevenvError], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever a workflow raises becomes text, hint and code, without a traceback."""
    fail(monkeypatch, error("what failed", hint="what to type"))
    assert main.run(["down"]) == error.exit_code
    assert capfd.readouterr() == ("", "error: what failed\n  hint: what to type\n")


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a command without a way down of its own."""
    fail(monkeypatch, KeyboardInterrupt())
    assert main.run(["down"]) == 130


@pytest.mark.parametrize("line", ["", "-f a.yml -p n --profile x --output json", "--output=text", "-h", "--file=a"])
def test_options_of_all_commands_are_shared(line: str) -> None:
    """With nothing but these, `config` is ours."""
    assert options.are_shared(line.split())


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `down` raise."""

    async def down(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr("devenv.run.cleanup.down.down", down)


@pytest.mark.parametrize(
    ("line", "code"), [("--help", 0), ("up --help", 0), ("up --nonsense", 2), ("up --timeout x", 2)]
)
def test_usage(line: str, code: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Help is 0 and on stdout, a wrong option 2 and on stderr; the first page of help names `--version`."""
    assert main.run(line.split()) == code
    out, err = capfd.readouterr()
    assert bool(out) is (code == 0)
    assert bool(err) is (code != 0)
    assert ("--version" in out) is (line == "--help")


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
    """They may stand before it, before its group, or after it; `images` alone lists."""
    seen: list[str] = []
    monkeypatch.setattr(parser, "invoke", lambda name, arguments: seen.append(" ".join([name, *arguments])))
    monkeypatch.setattr(parser, "print_help", lambda words: seen.append(" ".join([*words, "--help"])))
    main.run(line.split())
    assert seen == [expected]
    assert options.asked.verbosity == {"-v": 1, "-vv": 3}.get(line.split(maxsplit=1)[0], 0)
