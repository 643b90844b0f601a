"""`devenv images`: every image that a project needs, who needs it, and where it would come from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import anyio

from devenv.concurrent import each
from devenv.config import load
from devenv.engine import images
from devenv.engine.api import CallError, Engine
from devenv.engine.docker import LocalImage
from devenv.images.credentials import credentials
from devenv.images.outcomes import Failure, cause, read_failure
from devenv.images.pantry import present, recipes_for, to_pull, wanted_by
from devenv.images.recipes import Recipe
from devenv.images.references import Need, registry
from devenv.images.standins import INSIDE

PATIENCE = 5.0  # seconds for a registry to say whether it has an image


async def survey(selection: load.Selection) -> list[dict[str, str]]:
    """A row for each image: image, needed by, from, detail.

    Registries are asked for those that are not here, all at once.
    """
    project = (await load.load(selection)).project
    async with Engine.connect() as engine:
        wanted = await wanted_by(engine, project)
        recipes = recipes_for(wanted)
        here = await present(
            engine, [*(need.reference for need in wanted), *(recipe.image for recipe in recipes.values())]
        )
        asked = [need.reference for need in wanted if to_pull(need, here)]
        failures = dict(zip(asked, await each(partial(_ask, engine), asked), strict=True))
    return [_row(need, here, recipes.get(need.reference), failures.get(need.reference)) for need in wanted]


async def _ask(engine: Engine, reference: str) -> Failure | None:
    with anyio.move_on_after(PATIENCE):
        try:
            await images.distribution(engine, reference, await credentials(registry(reference)))
        except CallError as error:
            return read_failure(error.reason, reference)
        return None
    return Failure(f"no answer within {PATIENCE:.0f} seconds", impossible=True)


def _row(
    need: Need, here: Mapping[str, LocalImage], recipe: Recipe | None, failure: Failure | None
) -> dict[str, str]:
    source, detail = _origin(need, here, recipe, failure)
    return {"image": need.reference, "needed by": ", ".join(need.users), "from": source, "detail": detail}


def _origin(
    need: Need, here: Mapping[str, LocalImage], recipe: Recipe | None, failure: Failure | None
) -> tuple[str, str]:
    """Where the image would come from (present, pull, stand-in, nowhere), and what is to be said of that."""
    image, pull = here.get(need.reference), to_pull(need, here)
    if image and (failure or not pull):
        return "present", f"{image.id.removeprefix('sha256:')[:12]}, {_size(image)}, of {image.created[:10]}"
    if pull and failure is None:
        return "pull", registry(need.reference)
    if failure and failure.impossible and recipe:
        made = here.get(recipe.image)
        state = f"{made.labels.get(INSIDE)}, {_size(made)}" if made else "can be made"
        return "stand-in", f"{recipe.image}: {state}; up --stand-ins"
    return "nowhere", cause(need.reference, failure) if failure else "its pull_policy is never"


def _size(image: LocalImage) -> str:
    return f"{image.size / 1e6:.0f} MB"
