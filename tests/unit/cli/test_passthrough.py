"""Command lines in Compose's style."""

from __future__ import annotations

import pytest

from devenv.cli import passthrough


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
def test_prepared(verb: str | None, before: str, after: str, expected: str) -> None:
    """A file before `logs` stays a file, and `shell` finds its command."""
    own, rest = passthrough.prepared(verb, before.split(), after.split())
    assert [*own, *rest] == expected.split()


@pytest.mark.parametrize(
    ("verb", "before", "after", "ours"),
    [
        ("up", "", "--whatever", True),
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
def test_options_of_compose_make_it_composes_command(verb: str, before: str, after: str, ours: bool) -> None:
    """`ps` and `logs` with an option of Compose are Compose's."""
    assert passthrough.is_ours(verb, before.split(), after.split()) is ours
