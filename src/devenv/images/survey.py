"""`devenv images`: every image that a project needs, who needs it, and where it would come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from devenv.concurrent import each
from devenv.config import load
from devenv.engine import docker
from devenv.engine.docker import LocalImage
from devenv.images.outcomes import Failure, read_failure
from devenv.images.pantry import present, recipes_for, to_pull, wanted_by
from devenv.images.recipes import Recipe
from devenv.images.references import Need, registry
from devenv.images.standins import INSIDE
from devenv.model.project import Project

PATIENCE = 5.0  # seconds for a registry to say whether it has an image


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """One image that the project needs, and where it would come from.

    `source` is "present" (`image` says what it is), "pull", "stand-in" (no registry answers, and there is a
    recipe; `made` is the stand-in if it is here) or "nowhere" (`failure` says why).
    """

    need: Need
    source: str
    image: LocalImage | None = None
    recipe: Recipe | None = None
    made: LocalImage | None = None
    failure: Failure | None = None


async def survey(selection: load.Selection) -> list[dict[str, str]]:
    """A row for each image: image, needed by, from, detail."""
    project = (await load.load(selection)).project
    return [row(plan) for plan in await plans(project)]


async def plans(project: Project) -> list[ImagePlan]:
    """Where each image would come from; registries are asked for those that are not here, all at once."""
    wanted = await wanted_by(project)
    recipes = recipes_for(wanted)
    here = await present([*(need.reference for need in wanted), *(recipe.image for recipe in recipes.values())])
    absent = [need for need in wanted if to_pull(need, here)]
    asked = [need.reference for need in absent] if absent and not await docker.has_mirrors() else []
    failures = dict(zip(asked, await each(_ask, asked), strict=True))
    return [_plan(need, here, recipes.get(need.reference), failures.get(need.reference)) for need in wanted]


def row(plan: ImagePlan) -> dict[str, str]:
    """The plan as cells of text."""
    return {
        "image": plan.need.reference,
        "needed by": ", ".join(plan.need.users),
        "from": plan.source,
        "detail": _detail(plan),
    }


async def _ask(reference: str) -> Failure | None:
    with anyio.move_on_after(PATIENCE):
        done = await docker.manifest(reference)
        return read_failure(done.error_text) if done.returncode else None
    return Failure(f"no answer within {PATIENCE:.0f} seconds", impossible=True)


def _plan(need: Need, here: Mapping[str, LocalImage], recipe: Recipe | None, failure: Failure | None) -> ImagePlan:
    image = here.get(need.reference)
    made = here.get(recipe.image) if recipe else None
    if image and (failure or not to_pull(need, here)):
        return ImagePlan(need, "present", image=image)
    if failure is None and to_pull(need, here):
        return ImagePlan(need, "pull", recipe=recipe, made=made)
    if failure and failure.impossible and recipe:
        return ImagePlan(need, "stand-in", recipe=recipe, made=made, failure=failure)
    return ImagePlan(need, "nowhere", failure=failure or Failure("its pull_policy is never"))


def _detail(plan: ImagePlan) -> str:
    if plan.image:
        return f"{plan.image.id.removeprefix('sha256:')[:12]}, {_size(plan.image)}, of {plan.image.created[:10]}"
    if plan.source == "stand-in" and plan.recipe:
        state = f"{plan.made.labels.get(INSIDE)}, {_size(plan.made)}" if plan.made else "can be made"
        return f"{plan.recipe.image}: {state}; up --stand-ins"
    if plan.failure is None:
        return registry(plan.need.reference)
    host = f"{registry(plan.need.reference)} does not answer: " if plan.failure.impossible else ""
    return f"{host}{plan.failure.cause}"


def _size(image: LocalImage) -> str:
    return f"{image.size / 1e6:.0f} MB"
