"""The skill file for coding agents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from devenv.cli import overview, registry
from devenv.errors import RefusedError, StateError
from devenv.scaffold import agent

MOST = 60  # lines, with the header


def test_the_skill_is_short_and_names_only_what_exists() -> None:
    """Its header is YAML; each command is one of devenv's, and each page a topic of its help."""
    header, text = agent.skill().split("---\n", 2)[1:]
    about = yaml.safe_load(header)
    assert (about["name"], sorted(about)) == ("devenv", ["description", "name"])
    assert len(about["description"]) < 1024
    assert len(agent.skill().splitlines()) <= MOST
    commands = {match[1] for match in re.finditer(r"^\$ devenv (\w+)", text, re.MULTILINE)}
    assert commands <= {name.partition(" ")[0] for name in registry.COMMANDS}
    assert {*re.findall(r"`devenv help ([\w-]+)`", text)} <= overview.topics().keys()
    assert ".md" not in text


def test_it_is_written_for_each_tool_with_a_folder(tmp_path: Path) -> None:
    """Once: a second call changes nothing, and a missing file is added."""
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".cursor").write_text("no folder")
    both = [".agents/skills/devenv/SKILL.md", ".claude/skills/devenv/SKILL.md"]
    assert agent.init(str(tmp_path), overwrite=False) == both
    assert {(tmp_path / path).read_text() for path in both} == {agent.skill()}
    assert agent.init(str(tmp_path), overwrite=False) == []
    (tmp_path / both[0]).unlink()
    assert agent.init(str(tmp_path), overwrite=False) == both[:1]


def test_another_text_stays(tmp_path: Path) -> None:
    """Unless it is to be replaced; a link out of the folder is never followed."""
    path = tmp_path / ".agents/skills/devenv/SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(StateError, match=re.escape(".agents/skills/devenv/SKILL.md exists and has another text")):
        agent.init(str(tmp_path), overwrite=False)
    assert path.read_text() == "mine"
    assert agent.init(str(tmp_path), overwrite=True) == [".agents/skills/devenv/SKILL.md"]
    assert path.read_text() == agent.skill()
    (tmp_path / ".claude").symlink_to("/etc")
    with pytest.raises(RefusedError):
        agent.init(str(tmp_path), overwrite=True)
