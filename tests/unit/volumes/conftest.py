"""Fixtures for the tests of volumes: a project in the main worktree and in a linked one, on an engine in memory."""

from __future__ import annotations

import pytest

from support.memory.machine import Machine, Site, mounted


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
