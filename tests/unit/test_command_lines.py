"""Every `devenv ...` in the documentation is a command line that devenv accepts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from scripts.command_tree import command_tree

from devenv.cli import main, parser, passthrough, registry
from devenv.errors import UsageError
from support import guide_lines
from support.console import typed

ROOT = Path(__file__).parents[2]
GENERATED = {"docs/json.md", "docs/troubleshooting.md"}
PAGES = [
    page
    for page in sorted([*ROOT.glob("README*.md"), *(ROOT / "docs").rglob("*.md")])
    if str(page.relative_to(ROOT)) not in GENERATED
]
LINE = re.compile(
    r"^ *(?:- |- run: |\$ )?(?:[A-Z_]+=\S+ )?(devenv .*)$"
)  # in a block: a command, a step of a CI job, after a prompt
QUOTED = re.compile(r"(?<!`)`(devenv(?: [^`\n]+)?)`(?!`)")
OPERATORS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"})
MISTAKES = {"devenv upp"}  # examples of what devenv corrects
SYNOPSIS = re.compile(r"\[[A-Z]|\bCOMMAND\b|\w\|\w")  # stands for several command lines
Parse = Callable[[str], list[int]]


def command_lines(text: str) -> Iterator[str]:
    """The command lines of a Markdown text: those of its blocks of commands, and those quoted in sentences."""
    parts = re.split(r"^ *```(.*)$", text, flags=re.MULTILINE)
    for prose in parts[::4]:
        yield from QUOTED.findall(prose)
    for mark, block in zip(parts[1::4], parts[2::4], strict=True):
        if mark in {"sh", "console", "yaml"}:
            yield from (found[1] for line in block.splitlines() if (found := LINE.match(line)))


def words(line: str) -> list[list[str]]:
    """The arguments of each devenv command in a line of a shell."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word.rstrip(";") != word or word in OPERATORS:
            commands += [[]] if word in OPERATORS else [[*commands.pop(), word[:-1]], []]
        else:
            commands[-1].append(word)
    return [arguments for name, *arguments in filter(None, commands) if name == "devenv"]


@pytest.fixture(scope="module")
def tree() -> Any:
    """All commands with their options."""
    return command_tree()


@pytest.fixture
def parse(tree: Any, monkeypatch: pytest.MonkeyPatch) -> Parse:
    """Take a command line apart as devenv does, and run nothing. Raises UsageError if devenv does not accept it."""

    def invoke(name: str, arguments: list[str]) -> int:
        command = tree
        for word in name.split():
            command = command.commands[word]
        try:
            if name:
                command.make_context(name, list(arguments))
        except typer.TyperException as error:
            raise parser._explained(error, f"devenv {name}") from None
        return 0

    monkeypatch.setattr(parser, "invoke", invoke)
    monkeypatch.setattr(parser, "print_help", lambda _: 0)
    monkeypatch.setattr(main, "_report_earlier_runs", lambda *_, **__: None)
    monkeypatch.setattr(main, "_pass_through", lambda *_: 0)
    monkeypatch.setattr(passthrough, "require_project", lambda *_: None)
    return lambda line: [main._run(arguments) for arguments in words(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_is_one_that_devenv_accepts(page: Path, parse: Parse) -> None:
    """Commands exist, have the options, and get the arguments that they need."""
    rejected = {}
    lines = {line for line in command_lines(page.read_text(encoding="utf-8")) if not SYNOPSIS.search(line)}
    for line in (
        lines - MISTAKES - {f"devenv {name}" for name in (*registry.COMMANDS, *registry.GROUPS)}
    ):  # names of commands
        try:
            parse(line)
        except UsageError as error:
            rejected[line] = error.message
    assert rejected == {}


@pytest.mark.parametrize("line", ["devenv upp", "devenv up --fresher", "devenv snapshot rm", "devenv page --export"])
def test_a_wrong_command_line_is_noticed(line: str, parse: Parse) -> None:
    """The test above would fail for an unknown command or option, and for a missing argument."""
    with pytest.raises(UsageError):
        parse(line)


def test_command_lines_are_in_blocks_and_in_sentences() -> None:
    """Output and settings are no commands; prompts, steps of jobs and comments are left out, and chains divided."""
    text = (
        "Run `devenv up`.\n```console\n$ devenv ps   # all\nup 1\n```\n```yaml\n- run: devenv down\n```\nEnd `x`.\n"
    )

    assert list(command_lines(text)) == ["devenv up", "devenv ps   # all", "devenv down"]
    assert words("devenv logs --tail 5; devenv -p a ps && npm test   # all") == [
        ["logs", "--tail", "5"],
        ["-p", "a", "ps"],
    ]


def runnable_lines(page: Path) -> set[str]:
    """All command lines of a page: of its blocks, and those quoted in sentences, except for names of commands."""
    names = {"devenv", *(f"devenv {name}" for name in (*registry.COMMANDS, *registry.GROUPS, *registry.COMPOSE))}
    lines = {*guide_lines.shell_lines(page), *command_lines(page.read_text(encoding="utf-8"))}
    return {guide_lines.without_comment(line) for line in lines} - names


@pytest.mark.parametrize("page", guide_lines.PAGES, ids=lambda page: str(page.name))
def test_every_line_of_a_guide_is_run_or_says_why_not(page: Path) -> None:
    """tests/e2e/test_docs.py types getting started, tests/e2e/test_guides.py the others."""
    if page.name not in guide_lines.ANOTHER_MACHINE:
        started = {line.command for line in typed("docs/getting-started.md")}
        assert runnable_lines(page) - started <= {*guide_lines.RUN, *guide_lines.NOT_RUN}


def test_a_line_that_is_run_or_not_is_on_a_page() -> None:
    """No list keeps a line that left the pages, none is on both, and a test that is a reason has the option."""
    on_pages = set().union(*map(runnable_lines, guide_lines.PAGES))
    quoted = {f"devenv {name}" for name in registry.COMMANDS}
    options = {
        (option, text)
        for line, text in guide_lines.NOT_RUN.items()
        if text.endswith(".py")
        for option in re.findall(r" --([a-z-]+)", line)
    }

    assert {*guide_lines.RUN, *guide_lines.NOT_RUN} - on_pages - quoted == set()
    assert {*guide_lines.RUN} & {*guide_lines.NOT_RUN} == set()
    assert {
        (option, path) for option, path in options if option not in (ROOT / path).read_text(encoding="utf-8")
    } == set()
