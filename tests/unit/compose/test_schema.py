"""The schema of `x-devenv`: the parser, editors and the examples agree with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from devenv.compose import yaml12
from devenv.compose.schema import COMPOSE_SCHEMA, DEVELOP, LATER, MODEL, RULE, X_DEVENV, mistakes
from devenv.model.project import Action, Condition, Moment

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/**/*.md")]
FILES = [path for folder in ("templates", "sample-todo-app") for path in (ROOT / folder).rglob("*compose*.y*ml*")]
# The mistakes that Compose itself reports, as far as they matter here.
COMPOSE = {"properties": {"services": {}}, "patternProperties": {"^x-": {}}, "additionalProperties": False}
COMPOSED = json.loads((ROOT / "docs/schemas/compose.json").read_text(encoding="utf-8"))
EDITOR = Draft7Validator(COMPOSED, registry=Registry().with_resource(COMPOSE_SCHEMA, DRAFT7.create_resource(COMPOSE)))


def value(text: str) -> Any:
    """The value of the YAML."""
    return yaml12.construct(text, file="m")


def examples() -> list[tuple[str, str]]:
    """Every block of YAML with `x-devenv` in the pages and templates."""
    blocks = [
        (str(page.relative_to(ROOT)), block)
        for page in dict.fromkeys(PAGES)
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]
    files = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in FILES if path.is_file()]
    return [(name, text) for name, text in (*blocks, *files) if re.search(r"^x-devenv:", text, re.MULTILINE)]


@pytest.mark.parametrize(("name", "text"), examples())
def test_every_example_is_right(name: str, text: str) -> None:
    """The schema and the parser accept all examples in the pages and templates."""
    written = value(text)["x-devenv"]
    assert list(Draft7Validator(X_DEVENV).iter_errors(written)) == []
    assert list(mistakes(written, X_DEVENV, (), {})) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{ports: auto, keep: [data], x-mine: {a: 1}, images: {mirrors: [m.example/x]}, deletes: recreate}", None),
        ("{hooks: {before_up: [a, [b, c]], after_healthy: {service: s, command: [x], user: 0}}}", None),
        ("{hooks: {after_healthy: {service: s, command: x, environment: [A=1], privileged: true}}}", None),
        ("{port: auto}", "port"),
        ("{ports: 5}", "ports"),
        ("{ports: atuo}", "ports"),
        ("{keep: data}", "keep"),
        ("{keep: [1]}", "keep[0]"),
        ("{hooks: {before_up: {service: s, command: x}}}", "hooks.before_up"),
        ("{hooks: {after_healthy: {service: s}}}", "hooks.after_healthy.command"),
        ("{hooks: {after_healthy: {service: s, command: x, privileged: 5}}}", "hooks.after_healthy.privileged"),
        ("{hooks: {after_healthy: {service: s, command: x, environment: 5}}}", "hooks.after_healthy.environment"),
        ("{hooks: {after_healthy: {service: s, command: x, user: [r]}}}", "hooks.after_healthy.user"),
        ("{hooks: {before_down: ['']}}", "hooks.before_down[0]"),
        ("{hooks: {before_down: [[]]}}", "hooks.before_down[0]"),
        ("{images: {mirrors: ['u:p@m.example']}}", "images.mirrors[0]"),
        ("{images: {mirrors: m}}", "images.mirrors"),
        ("7", ""),
    ],
)
def test_the_parser_and_the_schema_agree(text: str, path: str | None) -> None:
    """The schema refuses the same values as the parser."""
    errors = list(mistakes(value(text), X_DEVENV, (), {}))
    whole = {"services": {}, "x-devenv": value(text)}
    assert [str(mistake).partition(": ")[0] if mistake.path else "" for mistake in errors] == (
        [] if path is None else [path]
    )
    assert [error.absolute_path[0] for error in EDITOR.iter_errors(whole)] == ["x-devenv"] * len(errors)


def test_the_schema_has_every_action_condition_and_moment() -> None:
    """They are written in the table, and as enumerations in the code."""
    assert RULE["properties"]["action"]["enum"] == [action.value for action in Action]
    needs = MODEL["properties"]["services"]["additionalProperties"]["properties"]["depends_on"][
        "additionalProperties"
    ]
    assert needs["properties"]["condition"]["enum"] == [condition.value for condition in Condition]
    assert list(X_DEVENV["properties"]["hooks"]["properties"]) == [moment.value for moment in Moment]


def test_unresolved_values_are_accepted() -> None:
    """A value that Compose fills in later may be anything, booleans may be text, names are checked if known."""
    rule = {"path": LATER, "action": LATER, "target": LATER, "initial_sync": "TRUE", "ignore": ["a"], "x-mine": 1}
    assert list(mistakes({"watch": [rule]}, DEVELOP, (), {})) == []
    rule |= {"initial_sync": "perhaps", "exec": {"command": "echo 'x"}}
    assert [str(mistake) for mistake in mistakes({"watch": [rule]}, DEVELOP, (), {})] == [
        "watch[0].initial_sync: must be true or false",
        "watch[0].exec.command: a quote is not closed",
    ]
    wrong = list(mistakes({"keep": ["dta"]}, X_DEVENV, (), {"volume": ["data"]}))
    assert [(str(mistake), mistake.hint) for mistake in wrong] == [
        ("keep[0]: there is no volume `dta`", "Did you mean `data`?")
    ]
