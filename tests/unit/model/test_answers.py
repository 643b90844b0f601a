"""The commands that make sense in each state of a project."""

from __future__ import annotations

import pytest

from devenv.model.answers import STATES, Here


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_commands(state: str) -> None:
    """The last command lists all commands; `gc` is before it if other projects have remains."""
    commands = [suggestion.command for suggestion in Here(state, "said", others=("shop",)).commands]
    assert commands[-2:] == ["devenv gc", "devenv --help"]
    assert "devenv gc" not in [suggestion.command for suggestion in Here(state, "said").commands]
