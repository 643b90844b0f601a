"""A proposed rule as it is written into the Compose file."""

from __future__ import annotations

from devenv.model.project import Action
from devenv.scaffold.add.copied_rules import Rule


def test_a_rule_is_written_as_people_write_it() -> None:
    """Paths are relative to the project, and quoted if YAML needs that."""
    rule = Rule("/p/my app", Action.SYNC, "", "/srv", ("a/",))

    assert rule.entry("/p").split("\n") == [
        '- path: "./my app"',
        "  action: sync",
        "  target: /srv",
        '  ignore: ["a/"]',
    ]
    assert Rule("/p", Action.REBUILD, "").entry("/p") == "- path: .\n  action: rebuild"
