"""The images of services that are created: present, pulled, substituted or built."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from devenv.docker.client import Engine
from devenv.events import Emit
from devenv.images import prepare
from devenv.run.desired import DesiredState
from devenv.run.options import Options


async def supplied(
    engine: Engine, desired: DesiredState, names: Iterable[str], options: Options, emit: Emit
) -> DesiredState:
    """The desired state with every image that these services and their Dockerfiles need: present, pulled or made."""
    project, reported = desired.only(names), desired.supply.reported
    prepared = await prepare.prepare_images(engine, project, options.images, emit, reported=reported)
    return replace(desired, supply=prepared.merged_over(desired.supply))


async def build(desired: DesiredState, names: Sequence[str], emit: Emit) -> None:
    """Build the images of these services."""
    if names:
        await prepare.build(desired.making, names, emit, host_settings=desired.supply.host_settings)
