"""The process that holds a run in the background, killed at any moment: no save, no data and no truth is lost."""

from __future__ import annotations

import os

import pytest

from support.keeper_kills import KeeperCampaign, planned
from support.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.long]

SEED = int(os.environ.get("DEVENV_TEST_SEED", "40"))
ROUNDS = int(os.environ.get("DEVENV_TEST_ROUNDS", "120"))


def test_killed_keeper_loses_no_save(stack: Stack, state_env: dict[str, str]) -> None:
    """After kill -9, the guardian's next keeper or the next `up -d` syncs all saves, with what follows from them.

    Until then, `ps` and `ls` say since when files are not synced. At the end, no process and no container is left.
    """
    campaign = KeeperCampaign(stack, state_env, SEED)
    try:
        campaign.begin()
        for number in range(ROUNDS):
            plan = planned(SEED, number)
            print(f"seed {SEED} round {number}: {plan}", flush=True)  # noqa: T201 - shown on failure
            campaign.round(plan)
        campaign.end()
    finally:
        campaign.kill_all()
