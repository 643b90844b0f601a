"""The rules that follow from what a Dockerfile copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.model.project import Action
from devenv.scaffold.add import rules
from devenv.scaffold.add.rules import Rule


@pytest.mark.parametrize(
    ("manifest", "command", "action"),
    [
        ("package.json", "node app.js", "sync+restart"),
        ("package.json", "node --watch app.js", "sync+restart"),
        ("package.json", '["node", "--watch", "app.js"]', "sync+restart"),
        ("package.json", "tsc --watch", "sync"),
        ("package.json", "npm run dev", "sync"),
        ("requirements.txt", "uvicorn --reload", "sync"),
        ("go.mod", "./app", "rebuild"),
        ("index.html", "", "sync"),
    ],
)
def test_a_folder_gets_what_its_language_needs(manifest: str, command: str, action: str, tmp_path: Path) -> None:
    """Compiled: rebuilt; interpreted: restarted, unless its command reloads; anything else is just synced."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / manifest).touch()
    (tmp_path / "src" / "node_modules").mkdir()
    found = list(rules._copied(str(tmp_path), ["src"], "/srv/src", "Dockerfile:1", command))

    assert found[0].action == action
    assert "node_modules/" in found[0].ignore
    more = [rule for rule in found if rule.path.endswith(manifest)]
    assert [str(rule.action) for rule in more] == (
        ["rebuild"] if action != "rebuild" and manifest != "index.html" else []
    )
    assert (manifest in found[0].ignore) == bool(more)


def test_single_files_go_into_a_folder_or_take_its_name(tmp_path: Path) -> None:
    """As COPY does it."""
    for name in ("a.conf", "b.conf", "package.json"):
        (tmp_path / name).touch()
    into = list(rules._copied(str(tmp_path), ["*.conf"], "/etc/", "D:1", ""))
    as_it = list(rules._copied(str(tmp_path), ["a.conf", "package.json", "gone"], "/etc/x.conf", "D:1", "nodemon"))

    assert [rule.target for rule in into] == ["/etc/a.conf", "/etc/b.conf"]
    assert [(str(rule.action), rule.target) for rule in as_it] == [
        ("sync+restart", "/etc/x.conf"),
        ("rebuild", ""),
    ]
    assert "settings are read at the start" in as_it[0].why


def test_a_rule_is_written_as_people_write_it() -> None:
    """Relative to the project, quoted where YAML needs that."""
    rule = Rule("/p/my app", Action.SYNC, "", "/srv", ("a/",))

    assert rule.entry("/p").split("\n") == [
        '- path: "./my app"',
        "  action: sync",
        "  target: /srv",
        '  ignore: ["a/"]',
    ]
    assert Rule("/p", Action.REBUILD, "").entry("/p") == "- path: .\n  action: rebuild"
