"""`devenv build` and `devenv push`: build and tag the project's own images, and push them to a registry."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace

import anyio

from devenv.compose import resolve, run_model
from devenv.compose.outline import Selection
from devenv.compose.parse import is_image
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import Choices, Existing
from devenv.docker import process
from devenv.docker.cli import Compose
from devenv.docker.client import Engine
from devenv.docker.images import TransferProgress
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError, RefusedError, UsageError, unknown
from devenv.events import Emit, ImageState, Notice
from devenv.host.registry_auth import credentials
from devenv.images.early_builds import EarlyBuilds
from devenv.images.failures import read_failure
from devenv.images.needs import bases
from devenv.images.prepare import PreparedImages, build, prepare_images
from devenv.lazy_dataclass import dataclass
from devenv.model.images import MARKS, ImageOptions, canonical, split
from devenv.model.images import registry as registry_of
from devenv.model.project import Project, Service
from devenv.redact import masked
from devenv.tasks import each, task_group

WORK = "release.devenv"  # temporary names of images built with --target, so that `up` keeps its images
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
PROXY = re.compile(r"(?i)\b(?:npm_config_|(?:npm_config_)?(?:https?|ftp|all)_)proxy=\S")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line; `target` replaces the stage in the file, `tags` replace the default tags."""

    selection: Selection
    images: ImageOptions = field(default_factory=ImageOptions)
    registry: str | None = None
    tags: tuple[str, ...] = ()
    target: str | None = None
    push: bool = False
    no_cache: bool = False


async def release(options: Options, emit: Emit, weigh: Callable[[Loaded, Collection[str], Emit], None]) -> None:
    """Build and tag the images of the services (all or the named ones); push them if requested.

    `weigh` shows or refuses dangers of these builds. Raises UsageError if there is nothing to build or no registry to
    push to, RefusedError for an image that is only valid on this machine, EngineError if a build or push failed.
    """
    loaded = await resolve.load(options.selection, has_own_images=False)
    project = _chosen(loaded.project, options)
    weigh(loaded, {service.name for service in project.services}, emit)
    for service in project.services:
        stage = service.build and service.build.target
        if options.push and stage and not options.target:
            emit(
                Notice(
                    f"{service.name}: its stage `{stage}` is pushed, as build.target says", "--target pushes another"
                )
            )
    revision = None if options.tags else await _revision(project.directory)
    all_names = {service.name: await _names(service, project, options, revision) for service in project.services}
    async with Engine.connect() as engine:
        prepared = await _build(engine, loaded, project, options, emit)
        if options.push:
            await _check(engine, project, prepared, options)
        for service in project.services:
            await _publish(engine, all_names[service.name], _own(service, project), options, emit)


def _chosen(project: Project, options: Options) -> Project:
    """The project with the services to build, and the requested stage as their target."""
    wanted = options.selection.services or tuple(s.name for s in project.services if s.build)
    known = {service.name: service for service in project.services}
    for name in wanted:
        if name not in known:
            raise unknown("service", name, known)
        if known[name].build is None:
            message = f"`{name}` is not built here: it has no build section"
            raise UsageError(message, hint=f"devenv images pull {name}")
    if not wanted:
        raise UsageError("there is nothing to build: no service has a build section", hint="devenv images")
    services = tuple(known[name] for name in wanted)
    if options.target:
        services = tuple(replace(s, build=s.build and replace(s.build, target=options.target)) for s in services)
    return replace(project, services=services)


async def _names(service: Service, project: Project, options: Options, revision: str | None) -> tuple[str, ...]:
    place = repository(service.image, service.name, project=project.name, registry=options.registry)
    if options.push and canonical(place).startswith("docker.io/library/"):
        message = f"`{place}` says no registry to push to"
        raise UsageError(message, hint="devenv push --registry registry.example/team")
    if options.tags:
        return names(place, options.tags)
    folder = service.build.context if service.build else ""
    manifest = await anyio.to_thread.run_sync(_manifest_version, folder)
    return names(place, versions(image=service.image, manifest=manifest, revision=revision))


def _manifest_version(folder: str) -> str | None:
    """The version in the package manifest of the build context."""
    for name, read in (("package.json", json.load), ("pyproject.toml", tomllib.load)):
        with contextlib.suppress(OSError, ValueError, AttributeError), open(os.path.join(folder, name), "rb") as file:
            data = read(file)
            version = (data if name == "package.json" else data.get("project", {})).get("version")
            if isinstance(version, str) and version:
                return version
    return None


async def _revision(folder: str) -> str | None:
    """The checked-out commit, with `-dirty` if the tree has changes; None outside of git."""
    commands = (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain"])
    commit, changes = await each(lambda question: process.git(folder, *question), commands)
    return None if commit is None else commit.decode().strip() + ("-dirty" if changes else "")


def _own(service: Service, project: Project) -> str:
    """The name that Compose, and so `up`, gives to the image of the service."""
    return service.image or f"{project.name}-{service.name}"


def _work_name(own: str, options: Options) -> str:
    """The name that the build gives to the image."""
    return f"{WORK}/{hashlib.sha256(own.encode()).hexdigest()[:12]}" if options.target else own


async def _build(engine: Engine, loaded: Loaded, project: Project, options: Options, emit: Emit) -> PreparedImages:
    """Get the images that the builds need, and build; what may not be pushed is refused before anything is built."""

    async def build_some(services: Sequence[str], prepared: PreparedImages, number: int = 0) -> None:
        if services:
            compose = _compose(loaded, project, prepared, options)
            await build(compose, services, emit, project, prepared, number=number)

    async with task_group() as tasks:
        early = EarlyBuilds(tasks, build_some, emit)
        try:
            prepared = await prepare_images(
                engine, project, options.images, emit, early=None if options.push else early
            )
        except DevenvError:
            early.report_failures()
            raise
        if options.push:
            _refuse({name: change.labels for name, change in prepared.builds.items()})
        await build_some(await early.left([service.name for service in project.services]), prepared)
        await early.finish()
    return prepared


def _compose(loaded: Loaded, project: Project, prepared: PreparedImages, options: Options) -> Compose:
    """Compose with the names and the stage of the images to build."""
    choices = Choices(images=prepared.images, builds=prepared.builds)
    model = run_model.run_model(loaded.model, existing=Existing(), choices=choices)
    for service in project.services:
        entry = model["services"][service.name]
        entry["image"] = _work_name(_own(service, project), options)
        if options.target:
            entry["build"]["target"] = options.target
            entry["build"].pop("tags", None)  # names in the file are for the file's own stage
        if options.no_cache:
            entry["build"]["no_cache"] = True
    return Compose(project.name, project.directory, run_model.dump(model))


async def _check(engine: Engine, project: Project, prepared: PreparedImages, options: Options) -> None:
    """Raise RefusedError if an image, or one that it uses, is only valid on this machine."""
    bases_by_service = bases(project, prepared.texts, engine.platform)
    for service in project.services:
        image = _work_name(_own(service, project), options)
        others = (*bases_by_service.get(service.name, ()), *_contexts(service, project))
        for source in await engine.images.local_images([image, *(prepared.images.get(o, o) for o in others)]):
            _refuse({service.name: source.labels})
        if any(PROXY.search(line) for line in await engine.images.recorded_texts(image)):
            message = f"the image of `{service.name}` has a proxy in it, which it would use on other machines, too"
            hint = "Remove HTTP_PROXY and the like from ENV and ARG: builds get them anyway."
            raise RefusedError(message, hint=hint)


def _contexts(service: Service, project: Project) -> Iterator[str]:
    """The images that the build gets as additional contexts."""
    own = {f"service:{other.name}": _own(other, project) for other in project.services}
    for _, value in service.build.additional_contexts if service.build else ():
        if value.startswith("docker-image://") or value in own:
            yield own.get(value, value.removeprefix("docker-image://"))


def _refuse(labels_by_service: Mapping[str, Mapping[str, str]]) -> None:
    """Raise RefusedError if a service's image has a label of this machine."""
    for service, labels in labels_by_service.items():
        if marks := [f"{MARKS[label]} ({value})" for label, value in labels.items() if label in MARKS]:
            message = f"the image of `{service}` is not pushed, it belongs to this machine alone: {', '.join(marks)}"
            hint = "Push from where the registries and packages can be reached: CI, for example."
            raise RefusedError(message, hint=hint)


async def _publish(engine: Engine, names_: Sequence[str], own: str, options: Options, emit: Emit) -> None:
    """Tag the image with its names, and push it to their registries.

    `own` is the name that `up` uses for the service; it keeps its image if another stage was built.
    """
    image = _work_name(own, options)
    if options.target and not options.push:
        names_ = [name for name in names_ if canonical(name) != canonical(own)]
    former = await engine.images.local_images([own]) if options.target else ()
    try:
        for name in names_:
            if canonical(name) != canonical(image):
                await engine.images.tag(image, name)
            emit(ImageState(name, "built"))
        for name in names_ if options.push else ():
            emit(ImageState(name, "pushed", await _push(engine, name, emit)))
    finally:
        with anyio.CancelScope(shield=True):
            for image_before in former:
                await engine.images.tag(image_before.id, own)
            if options.target:
                await engine.images.untag(image)


async def _push(engine: Engine, name: str, emit: Emit) -> str:
    """Push the image and return its digest, which is then compared with the registry's answer."""
    host = registry_of(name)
    auth = await credentials(host)
    emit(ImageState(name, "pushing"))

    def report(progress: TransferProgress) -> None:
        emit(ImageState(name, "pushing", str(progress)))

    try:
        pushed = await engine.images.push(name, auth=auth, on_progress=report)
        actual = await engine.images.distribution(name, auth)
    except CallError as error:
        failure = read_failure(error.reason, name, "push")
        raise EngineError(f"{name} could not be pushed: {failure.cause}", hint=failure.hint) from error
    if actual == pushed:
        return pushed
    raise EngineError(f"{host} says that {name} is {actual}, but what was pushed is {pushed}: pushed over meanwhile?")


def names(repository: str, tags: Sequence[str]) -> tuple[str, ...]:
    """The repository with each tag, without duplicates. Raises UsageError for an invalid tag."""
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise UsageError(
                f"`{tag}` cannot be a tag", hint="letters, digits, `_`, `.` and `-`, at most 128 of them"
            )
    return tuple(dict.fromkeys(f"{repository}:{tag}" for tag in tags))


def repository(image: str | None, service: str, *, project: str, registry: str | None = None) -> str:
    """The repository of a service's image, in `registry` if given. Raises UsageError for an invalid registry."""
    name = split(image)[0] if image else f"{project}-{service}"
    if registry is None:
        return name
    place = registry.rstrip("/")
    if not is_image(f"{place}/x"):
        hint = "a host and perhaps a path, such as registry.example:5000/team"
        raise UsageError(f"`{masked(registry)}` is not a registry", hint=hint)
    return f"{place}/{name.removeprefix(f'{registry_of(name)}/')}"


def versions(*, image: str | None, manifest: str | None, revision: str | None) -> tuple[str, ...]:
    """The tags of a release: its version (of `image:`, else of the package manifest), `latest`, its revision."""
    tag_ = split(image)[1] if image else None
    version = tag_ if tag_ not in (None, "latest") else manifest
    tags = (version and version.replace("+", "-"), "latest", revision)
    return tuple(tag for tag in tags if tag)
