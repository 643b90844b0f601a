"""Text for an older Compose, changed in the fewest characters."""

from __future__ import annotations

import pytest

from devenv.compose import yaml12
from devenv.compose.config import newer_keys, restore, sanitised
from devenv.compose.files import ComposeFile, Include


def source(text: str, path: str = "/p/compose.yml", includes: tuple[Include, ...] = ()) -> ComposeFile:
    """A source without a file on disk."""
    folder, _, name = path.rpartition("/")
    return ComposeFile(path, name, folder, text, yaml12.check(text.encode(), file=name), includes)


def rules(text: str) -> str:
    """A compose file around the rules of one service."""
    return f"# 💥 first\nservices:\n  web:\n    image: a\n    develop:\n      watch:\n{text}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "        - {path: ., action: sync, target: /a, include: [a], initial_sync: true}  # kept\n",
            '        - {path: ., action: sync, target: /a, "x-include": [a], "x-initial_sync": true}  # kept\n',
        ),
        (
            "        - path: .\n          include:\n            - '*.js'\n          ignore: node_modules\n",
            '        - path: .\n          "x-include":\n            - \'*.js\'\n          ignore: ["node_modules"]\n',
        ),
        (
            '        - {"path":".","include":["a"],"ignore":"b"}\n',
            '        - {"path":".","x-include":["a"],"ignore":["b"]}\n',
        ),
        (
            "        - {path: ., ignore: &i '*.md'}\n        - {ignore: *i}\n",
            '        - {path: ., ignore: [&i "*.md"]}\n        - {ignore: ["*.md"]}\n',
        ),
        (
            "        - path: .\n          ignore: |\n            a\n          target: /x\n",
            '        - path: .\n          ignore: ["a\\n"]\n          target: /x\n',
        ),
        (
            "        - &r {path: ., include: a}\n        - <<: *r\n        - *r\n",
            '        - &r {path: ., "x-include": a}\n        - <<: *r\n        - *r\n',
        ),
        ("        - ? include\n          : [a]\n", '        - ? "x-include"\n          : [a]\n'),
        ("        - {path: ., ignore: [a], x-include: [b], action: rebuild}\n", None),
    ],
)
def test_rules_are_spelled_for_an_older_compose(before: str, after: str | None) -> None:
    """Newer keys get an `x-`, a single pattern becomes a list; all other text stays, comments and anchors too."""
    assert sanitised(source(rules(before))) == rules(before if after is None else after)


def test_same_keys_elsewhere_are_not_changed() -> None:
    """`include` and `ignore` mean something else elsewhere in a file."""
    text = "include: [a.yml]\nx-a: {include: 1, ignore: b}\nservices:\n  include: {image: a, labels: {ignore: x}}\n"
    assert sanitised(source(text)) == text


def test_windows_line_ends_stay() -> None:
    """All characters except those of the key stay the same."""
    text = rules("        - path: .\n          include: a\n").replace("\n", "\r\n")
    assert sanitised(source(text)) == text.replace("include:", '"x-include":')


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        ("  - sub/a.yml\n", '  - {"path": "/t/0.yml", "project_directory": "/p/$$sub"}\n'),
        ("  - path: sub/a.yml\n", '  - "project_directory": "/p/$$sub"\n    path: "/t/0.yml"\n'),
        (
            "  - {env_file: x, path: sub/a.yml}\n",
            '  - {"project_directory": "/p/$$sub", env_file: x, path: "/t/0.yml"}\n',
        ),
        ("  - {path: sub/a.yml, project_directory: q}\n", '  - {path: "/t/0.yml", project_directory: q}\n'),
    ],
)
def test_an_entry_of_include_names_the_copy(entry: str, after: str) -> None:
    """The copy is in another folder, so the entry names the original folder for its paths."""
    text = f"include:\n{entry}services: {{}}\n"
    node = yaml12.check(text.encode(), file="f")
    item = yaml12.at(node, ["include", 0])
    assert item is not None
    (name,) = yaml12.strings(item) or yaml12.strings(yaml12.at(item, ["path"]))
    included = source("services: {}\n", "/p/$sub/a.yml")
    top = ComposeFile("/p/compose.yml", "compose.yml", "/p", text, node, (Include(name, item, included),))
    assert sanitised(top, {"/p/$sub/a.yml": "/t/0.yml"}) == f"include:\n{after}services: {{}}\n"
    assert sanitised(top) == text


def test_newer_keys_are_found_with_their_lines() -> None:
    """Their names and lines, which an error needs."""
    text = rules("        - path: .\n          include: a\n          initial_sync: true\n")
    assert newer_keys(source(text)) == [("include", 8), ("initial_sync", 9)]


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        ("2.26.1", {"x-include": "a", "x-initial_sync": "true"}),
        ("2.34.0", {"include": ["a"], "x-initial_sync": "true"}),
        ("2.40.3", {"include": ["a"], "initial_sync": True}),
    ],
)
def test_the_model_gets_back_what_its_compose_knows(version: str, rule: dict[str, object]) -> None:
    """A Compose version that knows a key includes it in the hash, with the type that it gives it."""
    model = {"services": {"a": {"develop": {"watch": [{"x-include": "a", "x-initial_sync": "true"}]}}, "b": {}}}
    restore(model, lambda needed: needed <= version)
    assert model["services"]["a"] == {"develop": {"watch": [rule]}}
