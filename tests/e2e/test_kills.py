"""Runs killed at any moment, with or without their guardian: nothing is left, and no volume loses its content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import docker_cli
from support.cli import StartDevenv
from support.kills import Campaign, planned
from support.stack import Stack, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

SEED = int(os.environ.get("DEVENV_TEST_SEED", "40"))
ROUNDS = int(os.environ.get("DEVENV_TEST_ROUNDS", "200"))


@pytest.mark.parametrize("rounds", [4, pytest.param(ROUNDS, marks=pytest.mark.long)])
def test_kill_leaves_nothing_and_loses_no_data(
    stack: Stack, devenv: StartDevenv, state_env: dict[str, str], rounds: int
) -> None:
    """After kill -9 of the process group, the guardian removes all, or the next command if the guardian was killed.

    The content of the volume is then in a verified snapshot, and the next start restores it.
    """
    campaign = Campaign(stack, devenv, Path(state_env["XDG_STATE_HOME"]))
    for number in range(rounds):
        plan = planned(SEED, number)
        print(f"seed {SEED} round {number}: {plan}", flush=True)  # noqa: T201 - shown on failure
        campaign.round(plan)
    campaign.finish()
    took = sorted(campaign.took)
    print(f"seed {SEED}: {rounds} rounds, guardian's time {took[len(took) // 2]:.1f} s, at most {took[-1]:.1f} s")  # noqa: T201


def test_next_up_starts_containers_that_a_dead_run_had_stopped(stack: Stack, up: Up) -> None:
    """If a run was killed during its teardown, the next `up` waits until the containers are up again."""
    stack.compose_file({"well": idle_service(), "badly": idle_service(init=True, command=["sleep", "infinity"])})
    run = up(stack, "-d")
    assert run.wait() == 0, run.report()
    ids = stack.containers()
    docker_cli.docker("stop", *ids)
    assert {docker_cli.inspect(container)["State"]["ExitCode"] for container in ids} == {0, 143}
    run = up.ready(stack)
    assert all(docker_cli.inspect(container)["State"]["Running"] for container in ids)
    assert run.stop() == 130
    assert stack.leftovers() == {}
