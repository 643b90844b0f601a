"""Errors: their place, their exit codes, and hints with the closest known word."""

from __future__ import annotations

import pytest

from devenv.errors import (
    ConfigError,
    DevenvError,
    EngineError,
    PortError,
    RefusedError,
    StateError,
    UsageError,
    did_you_mean,
    excerpt,
    unknown,
)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, "wrong"),
        ({"file": "compose.yml"}, "compose.yml: wrong"),
        ({"file": "compose.yml", "line": 3, "column": 5}, "compose.yml:3: wrong"),
    ],
)
def test_the_place_is_before_the_message(place: dict[str, object], expected: str) -> None:
    assert DevenvError("wrong", **place).said == expected  # type: ignore[arg-type]


def test_each_kind_has_the_exit_code_of_the_documentation() -> None:
    kinds = (DevenvError, UsageError, StateError, EngineError, PortError, ConfigError, RefusedError)
    assert [kind.exit_code for kind in kinds] == [1, 2, 3, 4, 4, 5, 6]


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("servce", ("service", "volume"), "Did you mean `service`?"),
        ("xyz", ("service", "volume"), "Known here: service, volume."),
        ("xyz", (), "Known here: none."),
    ],
)
def test_a_hint_names_the_closest_word_or_all(word: str, known: tuple[str, ...], expected: str) -> None:
    assert did_you_mean(word, known) == expected


def test_an_unknown_name_is_an_error_of_usage() -> None:
    error = unknown("service", "wbe", iter(["web"]))
    assert (error.exit_code, error.message, error.hint) == (2, "there is no service `wbe`", "Did you mean `web`?")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A: b c", "A: ***"),
        ("- path: ./src", "- path: *****"),
        ("- A=b", "- A=*"),
        ("  - hunter2", "  - *******"),
        ("- postgres://u:p@h?a=b", "- " + "*" * 20),
        ("    MIIEpAIBAAKCAQEA7bq+==", "    " + "*" * 22),
        ("POSTGRES_HOST_AUTH_METHOD: x", "POSTGRES_HOST_AUTH_METHOD: *"),
        ("  web", "  web"),
    ],
)
def test_an_excerpt_shows_no_value(line: str, expected: str) -> None:
    """Neither items of a list nor possible lines of a key are shown; names are."""
    assert excerpt(line, 1, 1)[0] == f"   1 | {expected}"


def test_an_excerpt_of_a_long_line_and_of_none() -> None:
    """Long lines are cut, without the mark if it is behind the cut."""
    assert excerpt("a " * 150, 1, 200) == (f"   1 | {'a ' * 50}",)
    assert excerpt("a", 3, 1) == ()
