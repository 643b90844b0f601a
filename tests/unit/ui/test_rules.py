"""What the watch rules say, as lines."""

from __future__ import annotations

import pytest

from devenv.model.finding import Explained, Shown, ShownRule, ShownService, Verdict
from devenv.ui.rules import explained, shown


def verdict(**more: object) -> Verdict:
    """What rule 1 of `web` says, with these fields."""
    fields = {"service": "web", "index": 0, "action": "sync", "place": "compose.yml:9", "matches": False, **more}
    return Verdict(**fields)  # type: ignore[arg-type] # the fields are keyword arguments


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"matches": True, "effects": ("sync",), "target": "/app/x"}, "sync to /app/x"),
        (
            {"matches": True, "effects": ("sync", "exec"), "target": "/x", "decided_by": "ignore", "pattern": "!x"},
            "sync to /x, then run its command (`!x` in `ignore`)",
        ),
        ({"matches": True, "effects": ("restart",)}, "restart"),
        ({"matches": True, "reason": "a bind mount has it already"}, "nothing: a bind mount has it already"),
        ({"decided_by": "built-in", "pattern": "**/.git"}, "nothing: git's own (`**/.git`, built in)"),
        ({"decided_by": "built-in", "pattern": "**/*~"}, "nothing: a temporary file (`**/*~`, built in)"),
        ({"decided_by": "own file"}, "nothing: a compose file or Dockerfile is not copied"),
        ({"decided_by": "ignore", "pattern": "*.md"}, "nothing: ignored (`*.md` in `ignore`)"),
        (
            {"decided_by": ".dockerignore", "pattern": "dist/", "file": "web/.dockerignore:3"},
            "nothing: ignored (`dist/` in web/.dockerignore:3)",
        ),
        ({"decided_by": "include"}, "nothing: `include` does not name it"),
        ({"decided_by": "include", "pattern": "!a"}, "nothing: ignored (`!a` in `include`)"),
    ],
)
def test_a_verdict(fields: dict[str, object], said: str) -> None:
    """What happens or why nothing does, and where the rule is."""
    assert explained([Explained("src/x", "file", (verdict(**fields),))]) == ["src/x", f"  web  {said}  compose.yml:9"]


def test_paths_are_blocks_with_one_set_of_columns() -> None:
    """Columns hold over all paths; what is no plain file says so; a name cannot move the cursor."""
    one = verdict(service="a", matches=True, effects=("restart",), place="x:1")
    two = verdict(service="long", matches=True, effects=("rebuild",), place="y:22")
    assert explained([Explained("d", "dir", (one, two)), Explained("\x1b[2Jn", "absent")]) == [
        "d (a folder: what is saved in it)",
        "  a     restart  x:1",
        "  long  rebuild  y:22",
        "n (not there)",
        "  no rule covers it",
    ]


def test_a_project() -> None:
    """Services with rules, each rule's lists below it, notes, and services without rules."""
    sync = ShownRule("sync+exec", "src", "/app", ("a", "*.md"), ("b",), True, ("make", "it"), "c.yml:7", "a note")
    plain = ShownRule("rebuild", "package.json", None, (), (), False, (), "c.yml:9")
    services = (ShownService("web", "web/.dockerignore", (sync, plain)), ShownService("db", None, ()))
    settings = {"ports": "as-written", "hooks": {"before_up": ["ü", 1]}}
    assert shown(Shown("demo", "/p", ("c.yml", "d.yml"), services, settings, ("c.yml:7: far",))) == [
        "demo in /p",
        "  files: c.yml, d.yml",
        "  x-devenv: ports: as-written",
        '  x-devenv: hooks: {"before_up": ["ü", 1]}',
        "web, with web/.dockerignore",
        "  sync+exec  src -> /app   c.yml:7",
        "             ignore: a, *.md",
        "             include: b",
        "             exec: make it",
        "             initial_sync: true",
        "             a note",
        "  rebuild    package.json  c.yml:9",
        "no rules: db",
        "warning: c.yml:7: far",
    ]
