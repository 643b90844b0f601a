"""Provide every image that a project needs on the engine: present, pulled, from a mirror, or a stand-in."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING

import anyio

from devenv.compose import files, positions
from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.docker.images import LocalImage
from devenv.errors import ConfigError, DevenvError, closest
from devenv.events import Emit, ImageState, Notice
from devenv.host.proxies import child_environment
from devenv.images.failures import Failure, explain, substitute
from devenv.images.needs import DockerfileText, Need, candidates, exact, loaded, needs, others, prefixes
from devenv.images.pull import pull_all
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.images import canonical, familiar
from devenv.model.project import Build, Project
from devenv.paths import is_within

if TYPE_CHECKING:
    from devenv.images.standins.recipes import Recipe

with LazyImports():  # needed only if no registry answers
    from devenv.images.standins import build as standins
    from devenv.images.standins import recipes as standin_recipes

_LINE = re.compile(r"(?P<file>.+):(?P<line>\d+)\b")
LocalMatch = tuple[str, LocalImage]  # the name on the engine of the image for a reference, and the image


@dataclass(frozen=True, slots=True)
class AcquiredImages:
    """The images of the engine that are used in place of others.

    `swaps`: a reference as written -> the name of its image on the engine: loaded, from a mirror, or a stand-in.
    `frontends`: a `# syntax=` image that the engine does not have under its own name -> its name there, or None if it
    is not available. Both are empty if every image was present or pulled. `wanted` are all needs, `texts` the
    Dockerfiles by service. `available` are the references that the engine has, under their own or another name.
    """

    swaps: Mapping[str, str] = field(default_factory=dict)
    frontends: Mapping[str, str | None] = field(default_factory=dict)
    wanted: tuple[Need, ...] = field(default=(), compare=False)
    texts: Mapping[str, DockerfileText] = field(default_factory=dict, compare=False)
    available: frozenset[str] = field(default=frozenset(), compare=False)


async def acquire_images(
    engine: Engine,
    project: Project,
    *,
    mirrors: Sequence[str],
    stand_ins: bool,
    emit: Emit,
    on_images: Callable[[AcquiredImages], object] = lambda _: None,
) -> AcquiredImages:
    """Provide all images; those that could not be pulled get stand-ins, if `stand_ins` allows that.

    `mirrors` are entries as written. `on_images` gets the images that the engine has before the first pull, and after
    each as long as others are being pulled. Raises EngineError that lists every image that is not available, or
    ConfigError if only the files are wrong; also for a missing Dockerfile, an invalid mirror or an invalid proxy.
    """
    os.environ.update(child_environment())  # all later child processes use the proxies of this machine
    at_mirrors = prefixes(mirrors)
    texts = await anyio.to_thread.run_sync(dockerfiles, project)
    wanted = needs(project, texts, engine.platform)
    present = {reference: name for reference, (name, _) in (await local_matches(engine, wanted, at_mirrors)).items()}
    _report_present(wanted, present, emit)
    missing = [need for need in wanted if to_pull(need, present)]
    hurry = stand_ins and await _have_stand_ins(engine, missing)
    awaited = [*missing]

    def acquired(names: Mapping[str, str], spare: Iterable[str] = ()) -> AcquiredImages:
        swaps = {reference: name for reference, name in names.items() if name != reference}
        frontends = {n.reference: swaps[n.reference] for n in wanted if n.kind == "frontend" and n.reference in swaps}
        available = frozenset(names) - {need.reference for need in awaited}
        return AcquiredImages(swaps, frontends | dict.fromkeys(spare), wanted, texts, available)

    def on_pulled(need: Need, name: str) -> None:
        awaited.remove(need)
        names[need.reference] = name
        if awaited:
            on_images(acquired(names))

    names = dict(present)
    if missing:
        on_images(acquired(names))
    unpulled = await pull_all(engine, missing, at_mirrors, emit, hurry=hurry, on_pulled=on_pulled)
    spare, failures = _failures(wanted, present, unpulled)
    stood_in = await _stand_ins(project, wanted, present, failures, emit, consent=stand_ins)
    if stood_in:
        await standins.make(engine, stood_in.values(), emit)
    names |= {reference: recipe.image for reference, recipe in stood_in.items()}
    awaited.clear()
    return acquired(names, spare)


def _report_present(wanted: Iterable[Need], present: Mapping[str, str], emit: Emit) -> None:
    for need in wanted:
        if name := present.get(need.reference):
            emit(ImageState(need.reference, "present", "" if name == need.reference else name))


async def _have_stand_ins(engine: Engine, wanted: Sequence[Need]) -> bool:
    """Whether stand-ins for all of them exist: then registries get less time to answer."""
    made = [recipe.image for recipe in recipes_for(wanted).values()]
    return len(made) == len(wanted) and len(await local_images(engine, made)) == len(set(made))


def _failures(
    wanted: Sequence[Need], present: Collection[str], unpulled: Mapping[str, Failure]
) -> tuple[list[str], dict[str, Failure]]:
    """The images of `# syntax=` that are not available (the engine's own builder is used), and all other failures."""
    never = Failure("it is not here, and its pull_policy is never")
    failures = {n.reference: never for n in wanted if n.policy == "never" and n.reference not in present} | dict(
        unpulled
    )
    missing = [n.reference for n in wanted if n.kind == "frontend" and n.reference not in present]
    spare = [reference for reference in missing if reference in failures and failures[reference].impossible]
    return spare, {reference: failure for reference, failure in failures.items() if reference not in spare}


def _unavailable(
    project: Project, lacking: Sequence[Need], failed: Mapping[str, Failure], *, consent: bool
) -> DevenvError:
    """The error for images that have no substitute, with the lines that name them. Blocking."""
    lines = {need.reference: [_line(project, user) for user in need.users] for need in lacking}
    recipes = recipes_for(lacking)
    advice = {
        need.reference: standin_recipes.instead(need.reference, lines[need.reference], plain=need.kind == "service")
        for need in lacking
        if need.reference not in recipes
    }
    error = explain(failed, lines, instead=advice, consent=consent)
    silent = all(failure.impossible for failure in failed.values())
    if silent and (names := others(project, dockerfiles(project), lacking)):
        command = " ".join(["devenv up", *(["--stand-ins"] if consent else []), *names])
        error.hint = f"{error.hint}\n  or start only services that need none of these: {command}"
    if isinstance(error, ConfigError) and (match := _LINE.match(lines[lacking[0].reference][0])):
        error.file, error.line = match["file"], int(match["line"])
    return error


async def _stand_ins(
    project: Project,
    wanted: Sequence[Need],
    present: Mapping[str, str],
    failures: Mapping[str, Failure],
    emit: Emit,
    *,
    consent: bool,
) -> dict[str, Recipe]:
    """The images that get stand-ins. Report what is used instead; raise EngineError if an image has no substitute."""
    recipes = recipes_for(wanted) if failures else {}  # the files of all recipes would be read
    used = {
        name: substitute(failure, local=name in present, recipe=name in recipes, consent=consent)
        for name, failure in failures.items()
    }
    if failed := {name: failure for name, failure in failures.items() if used[name] is None}:
        lacking = [need for need in wanted if need.reference in failed]
        raise await anyio.to_thread.run_sync(partial(_unavailable, project, lacking, failed, consent=consent))
    if local := [name for name in used if used[name] == "local"]:
        emit(Notice(f"no registry answers: {', '.join(map(familiar, local))} not renewed"))
    if made := {name: recipes[name] for name in used if used[name] == "stand-in"}:
        notes = {name: standin_recipes.ALPINE_NOTE if recipe.is_alpine else "" for name, recipe in made.items()}
        names = (f"{familiar(name)}{note}" for name, note in notes.items())
        emit(Notice(f"no registry answers: using stand-ins for {', '.join(names)}"))
    return made


def mirrors_of(project: Project) -> tuple[str, ...]:
    """The mirrors as written: the user's, then the project's."""
    return (*user_settings().mirrors, *project.settings.mirrors)


async def wanted_by(engine: Engine, project: Project) -> tuple[Need, ...]:
    """The needs of the project, with its Dockerfiles read from disk."""
    return needs(project, await anyio.to_thread.run_sync(dockerfiles, project), engine.platform)


def dockerfiles(project: Project) -> dict[str, DockerfileText]:
    """Service -> the Dockerfile of its build; services built from a URL are left out."""
    texts = {s.name: _dockerfile(project, s.name, s.build) for s in project.services if s.build}
    return {name: text for name, text in texts.items() if text}


def _dockerfile(project: Project, service: str, build: Build) -> DockerfileText | None:
    if build.dockerfile_inline is not None:
        return DockerfileText(f"dockerfile_inline of {service}", build.dockerfile_inline)
    if not os.path.isabs(build.context):
        return None
    path = build.path
    if os.path.basename(path) == "Dockerfile" and not os.path.exists(path):
        small = os.path.join(os.path.dirname(path), "dockerfile")  # builders accept this name as well
        path = small if os.path.exists(small) else path
    name = os.path.relpath(path, project.directory)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, "it is not a regular file")  # noqa: TRY301 - reading a pipe would never end
        with open(path, encoding="utf-8", errors="replace") as file:
            return DockerfileText(path if name.startswith("..") else name, file.read())
    except OSError as error:
        raise _unreadable(project, service, build, name, error) from error


def _unreadable(project: Project, service: str, build: Build, name: str, error: OSError) -> ConfigError:
    """The error for a Dockerfile that cannot be read, at the line of `build`."""
    key, is_missing = "dockerfile", isinstance(error, FileNotFoundError)
    why = "which does not exist" if is_missing else f"which cannot be read: {error.strerror}"
    message = f"service {service} is built from {name}, {why}"
    if is_missing and not os.path.isdir(build.context):
        key, shown = "context", os.path.relpath(build.context, project.directory)
        message = f"the build context of {service} does not exist: {shown}"
        value = _similar(build.context, project.directory)
    else:
        value = _similar(build.path, build.context, kind=key)
    hint = f"Did you mean `{key}: {value}`?" if value else f"Correct `build.{key}` of {service}."
    if key == "dockerfile" and is_missing and not value:
        hint = f"{hint[:-1]}, or create it; in a folder with code and no Compose file, `devenv new` proposes one."
    if _is_submodule(project, build.context):
        hint = "git submodule update --init"
    file, line = _place_of(project, service, "build", key)
    return ConfigError(message, hint=hint, file=file, line=line)


def _similar(path: str, base: str, kind: str = "") -> str | None:
    """The path relative to `base` of what was probably meant by `path`: an entry with `kind` in its name."""
    folder = os.path.dirname(path) if os.path.isdir(os.path.dirname(path)) else base
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = [other for other in sorted(os.listdir(folder)) if kind in other.lower()]
    close = closest(os.path.basename(path), names) or (names[0] if kind and len(names) == 1 else None)
    return os.path.relpath(os.path.join(folder, close), base) if close else None


def _is_submodule(project: Project, context: str) -> bool:
    """Whether .gitmodules of the project says that a repository belongs at the context, which is empty or missing."""
    try:
        with open(os.path.join(project.directory, ".gitmodules"), encoding="utf-8", errors="replace") as file:
            paths = re.findall(r"^\s*path\s*=\s*(.+?)\s*$", file.read(), re.MULTILINE)
    except OSError:
        return False
    modules = (os.path.join(project.directory, path) for path in paths)
    module = next((path for path in modules if is_within(context, path)), None)
    return module is not None and not (os.path.isdir(module) and os.listdir(module))


def _line(project: Project, user: str) -> str:
    """A user of an image as FILE:LINE; a service whose line is not found as it is."""
    if not user.startswith("service "):
        return user
    service, _, key = user.removeprefix("service ").partition(" ")
    file, line = _place_of(project, service, key or "image")
    return f"{file}:{line}" if line else user


def _place_of(project: Project, service: str, *path: str) -> files.Place:
    with contextlib.suppress(DevenvError):  # the files were edited meanwhile
        return positions.place(files.read(project.files, base=os.getcwd()), ("services", service, *path))
    return next(iter(project.files), None), None


def to_pull(need: Need, present: Collection[str]) -> bool:
    """Whether to pull the image, according to its pull_policy and to the engine's images."""
    return need.policy == "always" or (need.policy != "never" and need.reference not in present)


def recipes_for(wanted: Iterable[Need]) -> dict[str, Recipe]:
    """Reference -> the recipe of its stand-in; references without a recipe are left out."""
    needed = [(need.reference, need.kind) for need in wanted if need.kind in ("service", "base")]
    recipes = {name: standin_recipes.find(name, plain=(name, "base") not in needed) for name, _ in needed}
    return {reference: recipe for reference, recipe in recipes.items() if recipe}


async def local_images(engine: Engine, references: Collection[str]) -> dict[str, LocalImage]:
    """Map each reference (a name or an id) to the engine's image with that name; missing images are left out."""
    matches: dict[str, LocalImage] = {}
    for image in await engine.images.local_images(references) if references else ():
        digits = image.id.removeprefix("sha256:")
        names, ids = {canonical(name) for name in image.names}, (image.id, digits, digits[:12])  # as engines show ids
        matches |= {reference: image for reference in references if exact(reference) in names or reference in ids}
    return matches


async def local_matches(engine: Engine, needs: Sequence[Need], mirrors: Sequence[str]) -> dict[str, LocalMatch]:
    """Map each reference as written to the engine's image and its name: its own, a loaded one, or a mirror's.

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
        fitting = ((name, known[name]) for name in names[need.reference] if _fits(need, known.get(name)))
        if match := next(fitting, None):
            matches[need.reference] = match
    return matches


def _fits(need: Need, image: LocalImage | None) -> bool:
    wanted = "/".join((need.platform or "").split("/")[:2])  # the variant differs between a reference and its image
    return image is not None and (not wanted or not image.platform or image.platform == wanted)
