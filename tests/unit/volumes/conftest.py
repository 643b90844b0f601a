"""Fixtures for the tests of volumes: a project in the main worktree and in a linked one, and a transfer."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.volumes.lineage import LiveVolume
from support.memory.machine import Machine, Site, mounted
from support.transfer import AT, LINE, WHOLE, Played


@pytest.fixture
def shop(machine: Machine) -> Site:
    """The project in the main worktree of a repository."""
    (machine.folder / "shop/.git/worktrees/feature").mkdir(parents=True)
    return machine.site("shop", db={"volumes": [mounted("data")]})


@pytest.fixture
def feature(machine: Machine, shop: Site) -> Site:
    """The project in a linked worktree."""
    site = machine.site("shop-feature", db={"volumes": [mounted("data")]})
    git = shop.folder / ".git/worktrees/feature"
    (git / "commondir").write_text("../..")
    (git / "gitdir").write_text(f"{site.folder}/.git")
    (site.folder / ".git").write_text(f"gitdir: {git}")
    return site


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """A volume that continues nothing, in a lineage that has begun."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    fake = Played(p_data=WHOLE)
    fake.volume_transfer.begins(LINE, LiveVolume("p_data", AT, 1.0))
    return fake
