"""Every image that a project needs: where it comes from, and how it gets here."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from devenv.engine import docker
from devenv.engine.docker import LocalImage
from devenv.errors import ConfigError
from devenv.images import standins
from devenv.images.outcomes import Failure, decide, explain
from devenv.images.pulls import pull_all
from devenv.images.recipes import Recipe, find
from devenv.images.references import DockerfileText, Need, bases, canonical, familiar, needs
from devenv.model.events import Emit, ImageState, Notice
from devenv.model.project import Build, Project


@dataclass(frozen=True, slots=True)
class Provided:
    """What takes the place of images that no registry gave.

    `images`: the `image` of a service, as written -> stand-in. `bases`: service that is built -> name in its
    Dockerfile, as written -> stand-in. Both are empty where everything was here or was pulled.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


async def provide(project: Project, *, stand_ins: bool, emit: Emit) -> Provided:
    """All images are here afterwards; those that could not be pulled have stand-ins, if `stand_ins` allows it.

    Raises EngineError, naming every image that cannot be had, and ConfigError for a missing Dockerfile.
    """
    texts = await anyio.to_thread.run_sync(dockerfiles, project)
    wanted = needs(project, texts)
    here = await present([need.reference for need in wanted])
    for need in wanted:
        if need.reference in here:
            emit(ImageState(need.reference, "present"))
    failures = _forbidden(wanted, here) | await pull_all([need for need in wanted if to_pull(need, here)], emit)
    recipes = recipes_for([need for need in wanted if need.reference in failures])
    decision = decide(failures, here=here, recipes=recipes, consent=stand_ins)
    if decision.failed:
        raise explain(decision.failed, wanted, recipes=recipes, consent=stand_ins)
    if decision.stale:
        emit(Notice(f"no registry answers: {_list(decision.stale)} not renewed"))
    if not decision.stand_ins:
        return Provided()
    emit(Notice(f"no registry answers: using stand-ins for {_list(decision.stand_ins)}"))
    made = await standins.make(decision.stand_ins, emit)
    named = bases(project, texts).items()
    swaps = {service: {name: made[name] for name in names if name in made} for service, names in named}
    return Provided(made, {service: images for service, images in swaps.items() if images})


async def wanted_by(project: Project) -> tuple[Need, ...]:
    """The needs of the project, its Dockerfiles read from disk."""
    return needs(project, await anyio.to_thread.run_sync(dockerfiles, project))


def dockerfiles(project: Project) -> dict[str, DockerfileText]:
    """The Dockerfile of each service that is built from this disk."""
    found = {}
    for service in project.services:
        if service.build and (text := _dockerfile(project, service.name, service.build)):
            found[service.name] = text
    return found


def _dockerfile(project: Project, service: str, build: Build) -> DockerfileText | None:
    if build.dockerfile_inline is not None:
        return DockerfileText(f"dockerfile_inline of {service}", build.dockerfile_inline)
    if not os.path.isabs(build.context):
        return None
    path = os.path.normpath(os.path.join(build.context, build.dockerfile))
    name = os.path.relpath(path, project.directory)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return DockerfileText(path if name.startswith("..") else name, file.read())
    except OSError as error:
        raise ConfigError(
            f"service {service} is built from {name}, which cannot be read: {error.strerror}",
            hint="correct `build.context` or `build.dockerfile` of the service",
            file=project.files[0] if project.files else None,
        ) from error


async def present(asked: Collection[str]) -> dict[str, LocalImage]:
    """Reference as asked for -> the engine's image of that name."""
    found: dict[str, LocalImage] = {}
    for image in await docker.local_images(asked):
        names = {canonical(name) for name in image.names}
        found |= {reference: image for reference in asked if _names(reference) in names}
    return found


def _names(reference: str) -> str:
    """The canonical name by which the engine lists it: a digest makes the tag void."""
    name, at, digest = canonical(reference).partition("@")
    return f"{name.rpartition(':')[0] if ':' in name.rsplit('/', 1)[-1] else name}@{digest}" if at else name


def to_pull(need: Need, here: Collection[str]) -> bool:
    """Whether a registry is to be asked for it, by its pull_policy and by what is here."""
    return need.policy == "always" or (need.policy != "never" and need.reference not in here)


def recipes_for(wanted: Iterable[Need]) -> dict[str, Recipe]:
    """Reference -> the recipe of its stand-in, where something can stand in at all."""
    found = {need.reference: find(need.reference) for need in wanted if need.kind in ("service", "base")}
    return {reference: recipe for reference, recipe in found.items() if recipe}


def _forbidden(wanted: Iterable[Need], here: Collection[str]) -> dict[str, Failure]:
    failure = Failure("it is not here, and its pull_policy is never")
    return {need.reference: failure for need in wanted if need.policy == "never" and need.reference not in here}


def _list(references: Sequence[str]) -> str:
    return ", ".join(familiar(reference) for reference in references)
