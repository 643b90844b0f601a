"""Many projects on one engine at once, started and ended at random: none disturbs another, and nothing is lost."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from support import many_stacks
from support.many_stacks import MARKER, Shared, Site

pytestmark = [pytest.mark.engine, pytest.mark.long]

SEED = os.environ.get("DEVENV_TEST_SEED", "40")
ROUNDS = int(os.environ.get("DEVENV_TEST_ROUNDS", "300"))


def test_ten_stacks_at_once_do_not_clash(
    engine: str, base_image: str, tmp_path: Path, state_env: dict[str, str]
) -> None:
    """Five worktrees and five projects keep their ports and data, and at the end nothing is left."""
    token = secrets.token_hex(8)
    shared = Shared(tmp_path, {**state_env, MARKER: token}, ROUNDS)
    stacks = many_stacks.stacks(tmp_path, 5, 5)
    sites = [Site(stack, shared, f"{SEED}:{number}") for number, stack in enumerate(stacks)]
    try:
        many_stacks.run_all(sites, shared)
        print(f"seed {SEED}: {dict(shared.counts)}")  # noqa: T201 - figures to report
        many_stacks.end(sites, token)
    finally:
        many_stacks.kill_all(token)
        for stack in stacks:
            stack.remove()
