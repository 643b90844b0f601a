"""Bring every image that a project needs to the engine: present, pulled, from a mirror, or a stand-in."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.docker.images import LocalImage
from devenv.errors import ConfigError
from devenv.events import Emit, ImageState, Notice
from devenv.host.proxies import child_environment
from devenv.images.failures import Decision, Failure, decide, explain
from devenv.images.needs import DockerfileText, Need, candidates, exact, loaded, needs, prefixes
from devenv.images.pull import pull_all
from devenv.images.standins import build as standins
from devenv.images.standins.recipes import Recipe, find
from devenv.model.image_ref import canonical, familiar
from devenv.model.project import Build, Project

NEVER = Failure("it is not here, and its pull_policy is never")


@dataclass(frozen=True, slots=True)
class AcquiredImages:
    """Which images of the engine are used in place of others.

    `swaps`: a reference as written -> the name of its image on the engine: loaded, a mirror's or a stand-in's.
    `frontends`: a `# syntax=` image that the engine does not have under its own name -> its name there, or None if it
    cannot be had. Both are empty if every image was present or pulled. `wanted` are all needs, `texts` the
    Dockerfiles by service.
    """

    swaps: Mapping[str, str] = field(default_factory=dict)
    frontends: Mapping[str, str | None] = field(default_factory=dict)
    wanted: tuple[Need, ...] = field(default=(), compare=False)
    texts: Mapping[str, DockerfileText] = field(default_factory=dict, compare=False)


async def acquire_images(
    engine: Engine, project: Project, *, mirrors: Sequence[str], stand_ins: bool, emit: Emit
) -> AcquiredImages:
    """Bring all images to the engine; those that could not be pulled get stand-ins, if `stand_ins` allows it.

    `mirrors` are entries as written. Raises EngineError that names every image that cannot be had, and ConfigError
    for a missing Dockerfile, an invalid mirror or an invalid proxy.
    """
    os.environ.update(child_environment())  # every child from now on uses the proxies of this machine
    asked = prefixes(mirrors)
    texts = await anyio.to_thread.run_sync(dockerfiles, project)
    wanted = needs(project, texts, engine.platform)
    here = {reference: match.name for reference, match in (await local_matches(engine, wanted, asked)).items()}
    for need in wanted:
        if name := here.get(need.reference):
            emit(ImageState(need.reference, "present", "" if name == need.reference else name))
    missing = [need for need in wanted if to_pull(need, here)]
    stood_in = [recipe.image for recipe in recipes_for(missing).values()] if stand_ins else []
    # If all have stand-ins already, their silent registries are waited for less long.
    hurry = 0 < len(stood_in) == len(missing) and len(await local_images(engine, stood_in)) == len(set(stood_in))
    mirrored, unpulled = await pull_all(engine, missing, asked, emit, hurry=hurry)
    forbidden = [n.reference for n in wanted if n.policy == "never" and n.reference not in here]
    failures = {**dict.fromkeys(forbidden, NEVER), **unpulled}
    spare = [need.reference for need in wanted if _dispensable(need, here, failures)]
    pressing = {reference: failure for reference, failure in failures.items() if reference not in spare}
    decision = _decide(wanted, here, pressing, emit, stand_ins=stand_ins)
    made = await standins.make(engine, decision.stand_ins, emit) if decision.stand_ins else {}
    own = {need.reference: need.reference for need in missing if need.reference not in failures}
    names = {**here, **own, **mirrored, **made}
    swaps = {reference: name for reference, name in names.items() if name != reference}
    frontends = {n.reference: swaps[n.reference] for n in wanted if n.kind == "frontend" and n.reference in swaps}
    return AcquiredImages(swaps, frontends | dict.fromkeys(spare), wanted, texts)


def _decide(
    wanted: Sequence[Need], here: Mapping[str, str], failures: Mapping[str, Failure], emit: Emit, *, stand_ins: bool
) -> Decision:
    """Decide on and report the images that could not be pulled. Raises EngineError if one has no substitute."""
    recipes = recipes_for(need for need in wanted if need.reference in failures)
    decision = decide(failures, here=here, recipes=recipes, consent=stand_ins)
    if decision.failed:
        raise explain(decision.failed, wanted, recipes=recipes, consent=stand_ins)
    if decision.stale:
        emit(Notice(f"no registry answers: {_list(decision.stale)} not renewed"))
    if decision.stand_ins:
        emit(Notice(f"no registry answers: using stand-ins for {_list(decision.stand_ins)}"))
    return decision


def mirrors_of(project: Project) -> tuple[str, ...]:
    """The mirrors as written: the user's own, then the project's."""
    return (*user_settings().mirrors, *project.settings.mirrors)


async def wanted_by(engine: Engine, project: Project) -> tuple[Need, ...]:
    """The needs of the project, its Dockerfiles read from disk."""
    return needs(project, await anyio.to_thread.run_sync(dockerfiles, project), engine.platform)


def dockerfiles(project: Project) -> dict[str, DockerfileText]:
    """Service -> the Dockerfile of its build; services that are built from a URL are left out."""
    texts = {s.name: _dockerfile(project, s.name, s.build) for s in project.services if s.build}
    return {name: text for name, text in texts.items() if text}


def _dockerfile(project: Project, service: str, build: Build) -> DockerfileText | None:
    if build.dockerfile_inline is not None:
        return DockerfileText(f"dockerfile_inline of {service}", build.dockerfile_inline)
    if not os.path.isabs(build.context):
        return None
    path = os.path.normpath(os.path.join(build.context, build.dockerfile))
    if os.path.basename(path) == "Dockerfile" and not os.path.exists(path):
        small = os.path.join(os.path.dirname(path), "dockerfile")  # builders accept this name as well
        path = small if os.path.exists(small) else path
    name = os.path.relpath(path, project.directory)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "it is no plain file")  # noqa: TRY301 - reading a pipe would never end
        with open(path, encoding="utf-8", errors="replace") as file:
            return DockerfileText(path if name.startswith("..") else name, file.read())
    except OSError as error:
        message = f"service {service} is built from {name}, which cannot be read: {error.strerror}"
        hint, file_ = "correct `build.context` or `build.dockerfile` of the service", next(iter(project.files), None)
        raise ConfigError(message, hint=hint, file=file_) from error


def to_pull(need: Need, here: Collection[str]) -> bool:
    """Return whether to ask a registry for the image, by its pull_policy and by what the engine has."""
    return need.policy == "always" or (need.policy != "never" and need.reference not in here)


def recipes_for(wanted: Iterable[Need]) -> dict[str, Recipe]:
    """Reference -> the recipe of its stand-in; references without a recipe are left out."""
    recipes = {need.reference: find(need.reference) for need in wanted if need.kind in ("service", "base")}
    return {reference: recipe for reference, recipe in recipes.items() if recipe}


def _dispensable(need: Need, here: Collection[str], failures: Mapping[str, Failure]) -> bool:
    """Return whether it is the image of a `# syntax=` line that cannot be had: the engine's own builder will do."""
    failure = failures.get(need.reference)
    return need.kind == "frontend" and need.reference not in here and failure is not None and failure.impossible


def _list(references: Sequence[str]) -> str:
    return ", ".join(familiar(reference) for reference in references)


@dataclass(frozen=True, slots=True)
class LocalMatch:
    """An image of the engine, and the name under which it serves a reference."""

    name: str
    image: LocalImage


async def local_images(engine: Engine, references: Collection[str]) -> dict[str, LocalImage]:
    """Map each reference (a name or an id) to the engine's image of that name; what is missing is left out."""
    matches: dict[str, LocalImage] = {}
    for image in await engine.images.local_images(references) if references else ():
        digits = image.id.removeprefix("sha256:")
        names, ids = {canonical(name) for name in image.names}, (image.id, digits, digits[:12])  # as engines show ids
        matches |= {reference: image for reference in references if exact(reference) in names or reference in ids}
    return matches


async def local_matches(engine: Engine, needs: Sequence[Need], mirrors: Sequence[str]) -> dict[str, LocalMatch]:
    """Map each reference as written to what the engine has for it: its own image, a loaded one, or a mirror's.

    An image for another platform than the needed one does not count.
    """
    known = await local_images(engine, [need.reference for need in needs])
    names: dict[str, tuple[str, ...]] = {need.reference: (need.reference,) for need in needs}
    for need in needs:
        if not _fits(need, known.get(need.reference)):
            at_mirrors = (name for mirror in mirrors for name in candidates(need.reference, mirror))
            names[need.reference] += (loaded(need.reference), *at_mirrors)
    known = await local_images(engine, {name for others in names.values() for name in others[1:]}) | known
    matches = {}
    for need in needs:
        fitting = (LocalMatch(name, known[name]) for name in names[need.reference] if _fits(need, known.get(name)))
        if match := next(fitting, None):
            matches[need.reference] = match
    return matches


def _fits(need: Need, image: LocalImage | None) -> bool:
    wanted = "/".join((need.platform or "").split("/")[:2])  # the variant differs between a reference and its image
    return image is not None and (not wanted or not image.platform or image.platform == wanted)
