"""Command lines in Compose's style."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
import typer

from devenv.cli import main, options, passthrough
from devenv.compose.outline import Selection
from devenv.docker import process
from devenv.errors import StateError, UsageError
from devenv.inspect import one_off
from support import worktrees

Capture = pytest.CaptureFixture[str]
FILE = "services: {web: {image: x}, worker: {image: x, profiles: [off]}}\n"
UNKNOWN = "error: there is no service `wbe`\n  hint: Did you mean `web`?\n"


@pytest.mark.parametrize(
    ("verb", "before", "after", "expected"),
    [
        ("logs", "-f a.yml", "-f web", "--file a.yml -f web"),
        ("logs", "-fa.yml -p x", "", "--file=a.yml -p x"),
        ("logs", "-f=a.yml --file b.yml", "", "--file=a.yml --file b.yml"),
        ("up", "-f a.yml", "-- web", "-f a.yml -- web"),
        ("shell", "", "web -- ls -- -la", "web -- -- ls -- -la"),
        ("shell", "-f a.yml", "web", "-f a.yml web"),
        (None, "--help", "", "--help"),
    ],
)
def test_arguments_are_prepared_for_compose(verb: str | None, before: str, after: str, expected: str) -> None:
    """A file before `logs` stays a file, and `shell` finds its command."""
    own, rest = passthrough.prepared(verb, before.split(), after.split())
    assert [*own, *rest] == expected.split()


@pytest.mark.parametrize(
    ("verb", "before", "after", "ours"),
    [
        ("up", "", "--whatever --detch", True),
        ("ps", "", "", True),
        ("ps", "-f -a.yml", "web -w --output json", True),
        ("ps", "", "--output=json", True),
        ("ps", "", "--help", True),
        ("ps", "", "-q", False),
        ("ps", "--profile x", "-a", False),
        ("ps", "", "--format json", False),
        ("ps", "", "--output yaml", True),
        ("logs", "--file a.yml", "-f -n 5 -t --since=5m web --grep -x", True),
        ("logs", "--file=a.yml", "-n5 web", True),
        ("logs", "", "-ftn 5", True),
        ("logs", "", "-fn5 -pmine", True),
        ("logs", "", "-fx", False),
        ("logs", "", "-n", True),
        ("logs", "", "web -- --whatever", True),
        ("ps", "", "-aw", False),
        ("logs", "", "--no-log-prefix web", False),
        ("logs", "", "--until 5m", False),
        ("logs", "", "--folow", True),
        ("logs", "", "--tial 5", True),
        ("ps", "", "--wacht", True),
        ("ps", "", "--brand-new", False),
    ],
)
def test_options_of_compose_make_it_composes_command(
    passed: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch, verb: str, before: str, after: str, *, ours: bool
) -> None:
    """`ps` and `logs` with an option of Compose are Compose's."""

    def console() -> NoReturn:
        raise typer.Exit

    monkeypatch.setattr(options, "console", console)  # the beginning of the command
    with contextlib.suppress(UsageError):
        main._run([*before.split(), verb, *after.split()])
    assert bool(passed) is not ours


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Sequence[str]]:
    """The command that would have replaced this process, in a project of two services."""
    seen: list[Sequence[str]] = []
    monkeypatch.setattr(process, "exec_replace", seen.append)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yml").write_text(FILE)
    return seen


@pytest.mark.parametrize(
    "line",
    [
        "exec wbe ls",
        "exec -it wbe sh",
        "exec --env=A=B wbe sh",
        "run --rm wbe npm test",
        "port wbe 80",
        "stop wbe",
        "rm -f wbe",
        "stop -t 5 web wbe",
        "restart web wbe",
        "restart --no-deps wbe",
        "wait --down-project wbe",
        "scale wbe=2",
        "-p other kill wbe",
    ],
)
def test_a_typo_in_a_service(passed: list[Sequence[str]], capfd: Capture, line: str) -> None:
    """The error suggests the closest service."""
    assert main.run(line.split()) == 2
    assert (capfd.readouterr().err, passed) == (UNKNOWN, [])


@pytest.mark.parametrize(
    "line",
    [
        "exec web wbe",
        "exec -u wbe web ls",
        "exec --workdir /x web ls",
        "exec --help wbe",
        "stop worker",
        "stop -t 5 web",
        "kill -s INT web",
        "stop",
        "scale web=2 worker=1",
        "cp wbe:/x .",
        "--env-file x stop wbe",
    ],
)
def test_compose_checks_what_devenv_cannot(passed: list[Sequence[str]], line: str) -> None:
    """Known services and values of options."""
    main.run(line.split())
    assert passed == [["docker", "compose", *line.split()]]


def test_a_service_may_come_from_a_file_that_compose_fetches(passed: list[Sequence[str]], tmp_path: Path) -> None:
    """It is not reported as unknown."""
    (tmp_path / "compose.yml").write_text(f"include: [https://example.test/x.git]\n{FILE}")
    main.run(["stop", "wbe"])
    assert passed


@pytest.mark.parametrize(
    ("arguments", "code"), [(["attach"], StateError.exit_code), (["wait"], UsageError.exit_code)]
)
def test_a_verb_without_the_service_that_it_needs(
    passed: list[Sequence[str]], capfd: Capture, arguments: list[str], code: int
) -> None:
    """The error says what to type; Compose would print its usage. `attach` is the view of a run."""
    assert main.run(arguments) == code
    assert f"devenv {arguments[0]} SERVICE" in capfd.readouterr().err
    assert passed == []


def test_attach_with_a_service_is_that_of_compose(passed: list[Sequence[str]]) -> None:
    """Whatever options are before it."""
    for words in (["web"], ["--no-stdin", "web"], ["--index", "1", "web"]):
        assert passthrough.is_ours("attach", [], words) is False
    for words in ([], ["--no-ui"], ["--output", "json"]):
        assert passthrough.is_ours("attach", [], words) is True


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("up --isolated web", "up --isolated= web"),
        ("--isolated up --isolated=x", "--isolated= up --isolated=x"),
        ("--isolated", "--isolated="),
        ("shell web -- sh --isolated", "shell web -- sh --isolated"),
        ("--isolated exec web --isolated", "--isolated= exec web --isolated"),
    ],
)
def test_the_value_of_isolated_is_optional(line: str, expected: str) -> None:
    """The next word is never its value; words for a container stay as they are."""
    assert passthrough.with_value(line.split()) == expected.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("config --services", ["config", "--services"]),
        ("create web", ["create", "web"]),
        ("--isolated=x create", ["create"]),
    ],
)
def test_verbs_that_use_the_names_in_the_files_get_the_isolated_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]
) -> None:
    """In a worktree; the files have the names of the main worktree."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    tree = worktrees.linked(tmp_path / "there", tmp_path / "shop", "feature")
    (tree / "compose.yml").write_text(FILE)
    monkeypatch.chdir(tree)
    seen: list[tuple[str | None, bool, list[str]]] = []

    async def isolated(selection: Selection) -> SimpleNamespace:
        def exec_replace(*words: str) -> NoReturn:
            seen.append((selection.project_name, selection.isolated, [*words]))
            raise SystemExit

        return SimpleNamespace(exec_replace=exec_replace)

    monkeypatch.setattr(one_off, "isolated", isolated)
    main.run(line.split())
    name = "shop-feature-x" if "=x" in line else None
    assert seen == [(name, name is not None, expected)]
