"""Every image that a project needs: where it comes from, and how it gets here."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.errors import ConfigError
from devenv.events import Emit, ImageState, Notice
from devenv.host.proxies import child_environment
from devenv.images.local import local_images, local_matches
from devenv.images.mirrors import prefixes
from devenv.images.needs import DockerfileText, Need, needs
from devenv.images.pull import pull_all
from devenv.images.pull_errors import Decision, Failure, decide, explain
from devenv.images.standins import build as standins
from devenv.images.standins.recipes import Recipe, find
from devenv.model.image_ref import familiar
from devenv.model.project import Build, Project


@dataclass(frozen=True, slots=True)
class AcquiredImages:
    """What takes the place of images, all of it on the engine.

    `swaps`: a reference as written -> the name that it is here under: loaded, a mirror's or a stand-in's.
    `frontends`: a `# syntax=` image that is not here under its own name -> the name that it is here under, or None
    where nobody has it. Both are empty where everything was here or was pulled. `wanted` and `texts` are what was
    looked for: all needs, and the Dockerfiles by service.
    """

    swaps: Mapping[str, str] = field(default_factory=dict)
    frontends: Mapping[str, str | None] = field(default_factory=dict)
    wanted: tuple[Need, ...] = field(default=(), compare=False)
    texts: Mapping[str, DockerfileText] = field(default_factory=dict, compare=False)


async def acquire_images(
    engine: Engine, project: Project, *, mirrors: Sequence[str], stand_ins: bool, emit: Emit
) -> AcquiredImages:
    """All images are here afterwards; those that could not be pulled have stand-ins, if `stand_ins` allows it.

    `mirrors` are entries as written. Raises EngineError, naming every image that cannot be had, and ConfigError for
    a missing Dockerfile, an entry that is no mirror or a proxy that is none.
    """
    os.environ.update(child_environment())  # every child from now on uses the proxies of this machine
    asked = prefixes(mirrors)
    texts = await anyio.to_thread.run_sync(dockerfiles, project)
    wanted = needs(project, texts, engine.platform)
    here = {reference: match.name for reference, match in (await local_matches(engine, wanted, asked)).items()}
    _report_present(wanted, here, emit)
    missing = [need for need in wanted if to_pull(need, here)]
    hurry = stand_ins and await _have_stand_ins(engine, missing)
    pulled = await pull_all(engine, missing, asked, emit, hurry=hurry)
    failures = {**_forbidden(wanted, here), **pulled.failures}
    spare = [need.reference for need in wanted if _dispensable(need, here, failures)]
    decision = _decide(wanted, here, {r: f for r, f in failures.items() if r not in spare}, stand_ins=stand_ins)
    if decision.stale:
        emit(Notice(f"no registry answers: {_list(decision.stale)} not renewed"))
    if decision.stand_ins:
        emit(Notice(f"no registry answers: using stand-ins for {_list(decision.stand_ins)}"))
    made = await standins.make(engine, decision.stand_ins, emit) if decision.stand_ins else {}
    own = {need.reference: need.reference for need in missing if need.reference not in failures}
    names = {**here, **own, **pulled.swaps, **made}
    swaps = {reference: name for reference, name in names.items() if name != reference}
    return AcquiredImages(swaps, _frontends(wanted, swaps, spare), wanted, texts)


def _report_present(wanted: Iterable[Need], here: Mapping[str, str], emit: Emit) -> None:
    for need in wanted:
        if name := here.get(need.reference):
            emit(ImageState(need.reference, "present", "" if name == need.reference else name))


def _decide(
    wanted: Sequence[Need], here: Mapping[str, str], failures: Mapping[str, Failure], *, stand_ins: bool
) -> Decision:
    """What becomes of the images that could not be pulled. Raises EngineError if one of them has no substitute."""
    recipes = recipes_for(need for need in wanted if need.reference in failures)
    decision = decide(failures, here=here, recipes=recipes, consent=stand_ins)
    if decision.failed:
        raise explain(decision.failed, wanted, recipes=recipes, consent=stand_ins)
    return decision


def _frontends(wanted: Iterable[Need], swaps: Mapping[str, str], spare: Iterable[str]) -> dict[str, str | None]:
    references = [need.reference for need in wanted if need.kind == "frontend"]
    return {name: swaps[name] for name in references if name in swaps} | dict.fromkeys(spare)


def mirrors_of(project: Project) -> tuple[str, ...]:
    """The mirrors as written: the user's own, then the project's."""
    return (*user_settings().mirrors, *project.settings.mirrors)


async def wanted_by(engine: Engine, project: Project) -> tuple[Need, ...]:
    """The needs of the project, its Dockerfiles read from disk."""
    return needs(project, await anyio.to_thread.run_sync(dockerfiles, project), engine.platform)


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
    if os.path.basename(path) == "Dockerfile" and not os.path.exists(path):
        small = os.path.join(os.path.dirname(path), "dockerfile")  # which builders take as well
        path = small if os.path.exists(small) else path
    name = os.path.relpath(path, project.directory)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "it is no plain file")  # noqa: TRY301 - a pipe would hold us
        with open(path, encoding="utf-8", errors="replace") as file:
            return DockerfileText(path if name.startswith("..") else name, file.read())
    except OSError as error:
        raise ConfigError(
            f"service {service} is built from {name}, which cannot be read: {error.strerror}",
            hint="correct `build.context` or `build.dockerfile` of the service",
            file=project.files[0] if project.files else None,
        ) from error


def to_pull(need: Need, here: Collection[str]) -> bool:
    """Whether a registry is to be asked for it, by its pull_policy and by what is here."""
    return need.policy == "always" or (need.policy != "never" and need.reference not in here)


def recipes_for(wanted: Iterable[Need]) -> dict[str, Recipe]:
    """Reference -> the recipe of its stand-in, where something can stand in at all."""
    found = {need.reference: find(need.reference) for need in wanted if need.kind in ("service", "base")}
    return {reference: recipe for reference, recipe in found.items() if recipe}


async def _have_stand_ins(engine: Engine, wanted: Sequence[Need]) -> bool:
    """Whether all have stand-ins here already: who was silent before is not waited for so long again."""
    made = [recipe.image for recipe in recipes_for(wanted).values()]
    return len(made) == len(wanted) and len(await local_images(engine, made)) == len(set(made))


def _dispensable(need: Need, here: Collection[str], failures: Mapping[str, Failure]) -> bool:
    """Whether it is the image of a `# syntax=` line that nobody has: the engine's own builder reads it, too."""
    failure = failures.get(need.reference)
    return need.kind == "frontend" and need.reference not in here and failure is not None and failure.impossible


def _forbidden(wanted: Iterable[Need], here: Collection[str]) -> dict[str, Failure]:
    failure = Failure("it is not here, and its pull_policy is never")
    return {need.reference: failure for need in wanted if need.policy == "never" and need.reference not in here}


def _list(references: Sequence[str]) -> str:
    return ", ".join(familiar(reference) for reference in references)
