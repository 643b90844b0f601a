"""The documentation matches the code: options, events, fields and exit codes; and every link works."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from scripts import command_pages, completion_table, module_list, reference, schemas
from scripts.command_tree import command_tree

from devenv import errors, events
from devenv.cli import registry
from support.console import INTERRUPT, Typed, commands, typed

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*sorted(ROOT.glob("[A-Z]*.md")), *sorted((ROOT / ".github").rglob("*.md")), *DOCS]
LINK = re.compile(r"\]\((?P<link>[^)\s]+)\)|(?:src|srcset|href)=\"(?P<own>[^\"]+)\"")
INSTALL = "uv tool install ."
PAGES_MADE = schemas.pages() | command_pages.pages() | reference.pages() | completion_table.pages()


def options(command: str) -> set[str]:
    """Every spelling of every option that the command takes."""
    group: Any = command_tree()
    found = group.commands[command]
    parameters = [p for subcommand in getattr(found, "commands", {"": found}).values() for p in subcommand.params]
    spellings = {spelling for parameter in parameters for spelling in parameter.opts}
    return {spelling for spelling in spellings if spelling.startswith("-")}


@pytest.mark.parametrize("command", sorted(registry.names()))
def test_a_page_names_options_of_its_command_alone(command: str) -> None:
    """A list or a table of its part by hand describes no other option; it begins with examples of the command."""
    by_hand = (ROOT / f"docs/commands/{command}.md").read_text(encoding="utf-8").partition(command_pages.END)[2]

    assert by_hand.startswith("\n\n## Examples\n\n```sh\n")
    assert re.search(rf"^(?:echo.*)?devenv {command}\b", by_hand, re.MULTILINE)
    assert set(re.findall(r"^[-|] `(?:[a-z]+ )?(--[a-z-]+)", by_hand, re.MULTILINE)) <= options(command)


def test_every_command_has_a_page() -> None:
    """A page of a command that was removed is removed too; each command of a group is on the page of its group."""
    pages = {path.stem for path in (ROOT / "docs/commands").iterdir()}
    headings = {
        f"docs/commands/{name.split()[0]}.md": f"\n## devenv {name}\n" for name in registry.COMMANDS if " " in name
    }

    assert pages == set(registry.names())
    assert {path for path, heading in headings.items() if heading not in PAGES_MADE[path]} == set()
    assert set(command_pages.FAILURES) <= set(registry.names())


@pytest.mark.parametrize("path", sorted(PAGES_MADE))
def test_no_page_is_stale(path: str) -> None:
    """Generated pages are equal to what `scripts/write-pages` writes."""
    assert (ROOT / path).read_text(encoding="utf-8") == PAGES_MADE[path]


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r'exec: "(?P<program>[^"]+)": not found', ['exec: "‹program›": not found']),
        (r"(?i)\.*denied[^/]* at (?:line )?\d+$", ["denied… at"]),
        (r"no (?:room|space) left|ENOSPC", ["no room left", "no space left", "ENOSPC"]),
        (r'Get "https?://(?P<name>\S+?)/v\d/', ['Get "https://‹name›/v…/']),
        (r"(?P<program>\w+)(?:\\r|\r): bad", [r"‹program›\r: bad"]),
    ],
)
def test_a_pattern_is_shown_as_the_texts_that_it_is_made_for(pattern: str, texts: list[str]) -> None:
    """Names of groups, alternatives and wildcards are distinguished; parts that no terminal prints are left out."""
    assert reference.readable(pattern) == texts


def test_each_cause_has_a_text_to_search_for() -> None:
    """No row of the page on errors has an empty first cell."""
    assert "| `` " in PAGES_MADE["docs/reference/causes.md"]
    assert not re.search(r"^\|\s*\|", PAGES_MADE["docs/reference/causes.md"].split("\n## ", 1)[1], re.MULTILINE)


@pytest.mark.parametrize("kind", schemas.EVENTS, ids=lambda kind: str(kind.event))
def test_every_event_is_described(kind: type[events.Event]) -> None:
    """Each says what it is by a sentence of its own, not by its signature."""
    assert schemas.events_schema()["definitions"][kind.event]["description"].endswith(".")


def test_every_exit_code_is_described() -> None:
    """Each code that an error ends with has its row."""
    codes = {errors.DevenvError.exit_code, *(kind.exit_code for kind in errors.DevenvError.__subclasses__())}

    assert {f"| {code} |" for code in codes} <= set(
        re.findall(r"^\| \d \|", PAGES_MADE["docs/commands.md"], re.MULTILINE)
    )


def test_the_list_of_modules_is_that_of_the_code() -> None:
    """The generated part of ARCHITECTURE.md is equal to what `scripts/write-pages` writes."""
    assert module_list.pages(ROOT) == {"ARCHITECTURE.md": (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")}


def test_the_part_by_hand_is_a_page() -> None:
    """It is read from its beginning to its end."""
    by_helper = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition(module_list.HEADING)[0]
    assert len(by_helper.splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    """Every relative link of a page, pictures too, names something in this tree, and each `#part` a heading."""
    found = [entry["link"] or entry["own"] for entry in LINK.finditer(prose(page))]
    links = [link.partition("#") for link in found if not re.match(r"https?://|mailto:", link)]
    targets = [(page.parent / path if path else page, part) for path, _, part in links]

    assert [str(target) for target, _ in targets if not target.exists()] == []
    assert [(str(target), part) for target, part in targets if part and part not in anchors(target)] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_site_has_no_link_out_of_itself(page: Path) -> None:
    """Pages in docs/ link only to pages in docs/, since the site has no others."""
    links = [one["link"] or one["own"] for one in LINK.finditer(prose(page))]
    relative = [link.partition("#")[0] for link in links if "://" not in link]

    assert [link for link in relative if not (page.parent / link).resolve().is_relative_to(ROOT / "docs")] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_parts_of_a_list_item_are_indented_by_four_spaces(page: Path) -> None:
    """With fewer, GitHub shows lists, code and paragraphs inside an item, and the site shows them after the list."""
    text = re.sub(r"^( *)```.*?^ *```", r"\1```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)

    assert re.findall(r"^ {1,3}(?:[-*] |\d+\. |```).*|(?<=\n\n) {1,3}\S.*", text, re.MULTILINE) == []


def test_the_site_shows_every_page_once() -> None:
    """The navigation in mkdocs.yml names all pages under docs/, and no others."""
    shown = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(shown) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in DOCS)


def test_commands_are_the_lines_to_copy_with_the_output_below_them() -> None:
    """Each line of a `sh` block is a command; a `text` block is the output of the last, and may have Ctrl-C."""
    text = """\
```sh
devenv ps
devenv down
```

```text
removed 2
  containers
^C
ended
```

1. In a list:

   ```sh
   devenv up
   ```

```toml
stand_ins = true
```
"""

    assert commands(text) == [
        Typed("devenv ps"),
        Typed("devenv down", ("removed 2", "  containers")),
        Typed(INTERRUPT, ("ended",)),
        Typed("devenv up"),
    ]


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("```sh\n$ devenv up\n```\n", "cannot be copied and pasted: \\$ devenv up"),
        ("```sh\ndevenv up    # start\n```\n", "cannot be copied and pasted: devenv up"),
        ("```sh\n# start\ndevenv up\n```\n", "cannot be copied and pasted: # start"),
        ("```console\n$ devenv up\n```\n", "marked `console` is never run"),
        ("```\ndevenv up\n```\n", "marked `` is never run"),
        ('```sh title="one"\ndevenv up\n```\n', 'marked `sh title="one"` is never run'),
        ("```sh\ndevenv up\n", "a block does not end"),
        ("```text\nnotes is up\n```\n", "output without a command: notes is up"),
    ],
)
def test_a_block_that_is_not_run_or_cannot_be_copied_is_an_error(block: str, problem: str) -> None:
    """Prompts, comments and other marks cannot enter a page whose commands are tested."""
    with pytest.raises(ValueError, match=problem):
        commands(block)


@pytest.mark.parametrize(
    ("page", "translated"),
    [
        ("README.md", "README.zh-CN.md"),
        ("docs/getting-started.md", "docs/zh-CN/getting-started.md"),
        ("docs/guides/network.md", "docs/zh-CN/network.md"),
        ("docs/guides/remote.md", "docs/zh-CN/remote.md"),
    ],
)
def test_a_translated_page_has_the_same_parts(page: str, translated: str) -> None:
    """The commands and their output are equal, and so is the number of tables' rows; no part is missing."""
    original, translation = ((ROOT / path).read_text(encoding="utf-8") for path in (page, translated))
    rows, headings = re.compile(r"^\|", re.MULTILINE), re.compile(r"^##+ ", re.MULTILINE)

    assert typed(translated) == typed(page)
    assert len(rows.findall(translation)) == len(rows.findall(original))
    assert len(headings.findall(translation)) >= len(headings.findall(original))


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_a_readme_says_what_is_run_elsewhere(page: str) -> None:
    """Demo and tests are the scripts that CI runs; all else is part of getting started, which an e2e test types."""
    lines = [typed_line.command for typed_line in typed(page)]

    assert lines[:2] == ["scripts/demo", "scripts/test"]
    assert all(os.access(ROOT / line, os.X_OK) for line in lines[:2])
    assert "/../scripts/test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert set(lines[2:]) <= {typed_line.command for typed_line in typed("docs/getting-started.md")}


@pytest.mark.parametrize("page", ["docs/getting-started.md", "docs/zh-CN/getting-started.md"])
def test_getting_started_can_be_followed_block_by_block(page: str) -> None:
    """No block asks the server before it can have loaded the edit; the option for a missing registry is named."""
    text = (ROOT / page).read_text(encoding="utf-8")

    assert not re.search(r"^perl .*\ncurl", text, re.MULTILINE)
    assert "`--stand-ins`" in text


def measured(row: str) -> tuple[float, float]:
    """The values of devenv and of the older Compose in a row of docs/performance.md."""
    table = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    ours, theirs = re.findall(rf"^\| \d+ \| {re.escape(row)} \| (\S+)[^|]* \| (\S+)[^|]* \|", table, re.MULTILINE)[0]
    return float(ours), float(theirs.replace(",", ""))


def test_figures_in_words_are_those_that_were_measured() -> None:
    """Figures are in docs/performance.md. Elsewhere: a few milliseconds or half a second, none or many missed."""
    ours, theirs = measured("a save, p50")
    assert (ours < 6, 450 < theirs < 550) == (True, True)
    ours, theirs = measured("20,000 files modified while stopped: differences")
    assert (ours == 0, theirs > 1000) == (True, True)


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh-CN.md", "docs/getting-started.md", "docs/zh-CN/getting-started.md"]
)
def test_the_install_command_works_before_and_after_the_release(page: str) -> None:
    """It installs the checkout; the text has the command for the distribution that pyproject.toml builds."""
    name = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]

    assert INSTALL in [one.command for one in typed(page)]
    assert f"`uv tool install {name}`" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "docs/index.md"])
def test_the_first_paragraph_tells_this_devenv_from_the_other(page: str) -> None:
    """A reader who looks for devenv.sh sees at once that this is another tool."""
    first = next(part for part in (ROOT / page).read_text(encoding="utf-8").split("\n\n") if not part.startswith("#"))

    assert "Docker Compose" in first
    assert "[devenv.sh](https://devenv.sh)" in first


def prose(page: Path) -> str:
    """A page without what it quotes as code."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]+`", lambda quoted: quoted[0].replace("](", "] ("), text)


def anchors(page: Path) -> set[str]:
    """The targets of links to a page: headings as GitHub (and, in docs/, mkdocs too) names them, and ids."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    heads = [re.sub(r"<[^>]*>|\]\([^)]*\)", "", head) for head in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    bare = [re.sub(r"[^\w\s-]", "", head.lower()).strip() for head in heads]
    named = {re.sub(r"\s", "-", head) for head in bare}
    if page.is_relative_to(ROOT / "docs"):
        named &= {re.sub(r"[-\s]+", "-", head) for head in bare if head.isascii()}
    return named | set(re.findall(r"\bid=\"([^\"]+)\"", text))
