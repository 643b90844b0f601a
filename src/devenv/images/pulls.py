"""Pulls that run beside each other, and give up early where no registry answers."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from devenv.concurrent import each
from devenv.engine import docker
from devenv.images.outcomes import Failure, read_failure
from devenv.images.references import Need, registry
from devenv.model.events import Emit, ImageState

AT_ONCE = 4
FIRST_WORD = 20.0  # seconds for the registry's first word; after that a pull may take as long as it takes


async def pull_all(needs: Sequence[Need], emit: Emit) -> dict[str, Failure]:
    """Reference -> why it could not be pulled, in the order of the needs; empty when all are here now.

    A registry that did not answer is not asked for the images still waiting for their turn.
    """
    silent: dict[str, Failure] = {}
    failures: dict[str, Failure] = {}
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def one(need: Need) -> None:
        host = registry(need.reference)
        async with limit:
            failure = silent.get(host) or await _pull(need, emit)
        if failure is None:
            emit(ImageState(need.reference, "pulled"))
            return
        failures[need.reference] = failure
        if failure.impossible:
            silent[host] = failure

    await each(one, needs)
    return {need.reference: failures[need.reference] for need in needs if need.reference in failures}


async def _pull(need: Need, emit: Emit) -> Failure | None:
    emit(ImageState(need.reference, "pulling"))
    layers: dict[str, bool] = {}
    with anyio.CancelScope(deadline=anyio.current_time() + FIRST_WORD) as scope:

        def take(line: str) -> None:
            scope.deadline = float("inf")
            if detail := _layers(layers, line):
                emit(ImageState(need.reference, "pulling", detail))

        done = await docker.pull(need.reference, platform=need.platform, on_line=take)
        return read_failure(done.error_text) if done.returncode else None
    return Failure(f"no answer within {FIRST_WORD:.0f} seconds", impossible=True)


def _layers(done: dict[str, bool], line: str) -> str:
    """`3 of 8 layers` when this line of `docker pull` changed something, otherwise nothing."""
    layer, _, state = line.partition(": ")
    if not state.startswith(("Pulling fs layer", "Pull complete", "Already exists")):
        return ""
    done[layer] = not state.startswith("Pulling")
    return f"{sum(done.values())} of {len(done)} layers"
