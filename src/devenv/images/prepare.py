"""Prepare the images of services: overrides for the run model, choice of the builder, and builds."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from functools import partial

import anyio

from devenv.compose.run_model import BuildChange
from devenv.compose.user_config import user_settings
from devenv.docker.build_progress import MOST_STEPS, of_part
from devenv.docker.cli import Compose, EarlyCommand
from devenv.docker.client import Engine
from devenv.docker.compose_failures import BuildError
from devenv.events import Emit, Event, Notice, Step
from devenv.host.proxies import step_arguments
from devenv.images import acquire
from devenv.images.acquire import AcquiredImages
from devenv.images.builder import foreign_builder
from devenv.images.dockerfile import base_image
from devenv.images.dockerfile_parser import frontend, instructions, without_syntax
from devenv.images.early_builds import EarlyBuilds
from devenv.images.failures import BuildFacts, explain_build, secret_arguments_notice
from devenv.images.needs import DockerfileText, Need, bases, buildable
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.images import BUILT_ON, LOCAL, STAND_IN_REGISTRY, ImageOptions
from devenv.model.project import Build, Project, Service

with LazyImports():  # rarely needed; TLS and all is a tenth of what `up` imports
    import tempfile

    from devenv.images.host_settings import derive


@dataclass(frozen=True, slots=True)
class PreparedImages:
    """Overrides: `images` maps the `image` of a service, as written, to one on the engine; others are by service.

    `host_settings`: builds get this host's settings. `texts`: the Dockerfiles, by service, that this was made for.
    `reported`: the notices that were emitted.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    builds: Mapping[str, BuildChange] = field(default_factory=dict)
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    host_settings: bool = False
    texts: Mapping[str, DockerfileText] = field(default_factory=dict)
    reported: frozenset[Notice] = frozenset()

    def merged_over(self, other: PreparedImages) -> PreparedImages:
        """Both merged; this object wins if both have a key."""
        images, builds = {**other.images, **self.images}, {**other.builds, **self.builds}
        environment, texts = {**other.environment, **self.environment}, {**other.texts, **self.texts}
        reported = other.reported | self.reported
        return PreparedImages(images, builds, environment, self.host_settings, texts, reported)

    async def is_current(self, project: Project) -> bool:
        """Whether the Dockerfiles of these services are still those that this object was made for."""
        texts = await anyio.to_thread.run_sync(acquire.dockerfiles, project)
        return all(self.texts.get(name) == text for name, text in texts.items())


async def prepare_images(
    engine: Engine,
    project: Project,
    options: ImageOptions,
    emit: Emit,
    *,
    reported: frozenset[Notice] = frozenset(),
    early: EarlyBuilds | None = None,
) -> PreparedImages:
    """Provide every image that the services and their Dockerfiles need, and return the overrides.

    Notices in `reported` are not emitted again. While images are pulled, `early` builds the services whose images the
    engine has; builds that need settings of this machine wait for all images.
    """
    notices = set(reported)

    def once(event: Event) -> None:
        if isinstance(event, Notice):
            if event in notices:
                return
            notices.add(event)
        emit(event)

    settings = user_settings()
    built = {service.name: service.build for service in project.services if service.build}
    for warning in _warnings(engine, built):
        once(warning)
    mirrors, stand_ins = acquire.mirrors_of(project), options.stand_ins or settings.stand_ins
    host_settings = options.host_settings or settings.host_settings

    def offer(so_far: AcquiredImages) -> None:
        if early is not None and not host_settings:
            names = buildable(project, so_far.texts, engine.platform, so_far.available)
            early.offer(names, partial(_prepared, project, so_far, engine.platform, _HostSettings()))

    acquired = await acquire.acquire_images(
        engine, project, mirrors=mirrors, stand_ins=stand_ins, emit=once, on_images=offer
    )
    if early is not None:
        early.close(buildable(project, acquired.texts, engine.platform, acquired.available))
    host = await _derived(engine, acquired.wanted, acquired.swaps, once) if host_settings else _HostSettings()
    prepared = await _prepared(project, acquired, engine.platform, host)
    if without_frontend := [name for name, build in prepared.builds.items() if build.dockerfile is not None]:
        why = "the image of `# syntax=` cannot be pulled: the engine's own builder reads the Dockerfile of"
        once(Notice(f"{why} {', '.join(without_frontend)}"))
    environment = await _environments(engine, project, acquired.texts, host)
    return replace(prepared, environment=environment, host_settings=host_settings, reported=frozenset(notices))


def _warnings(engine: Engine, built: Mapping[str, Build]) -> Iterator[Notice]:
    if built and (foreign := foreign_builder(engine.endpoint)):
        yield foreign
    for name, build in built.items():
        if warning := secret_arguments_notice(name, build.args):
            yield warning


async def _prepared(project: Project, acquired: AcquiredImages, builder: str, host: _HostSettings) -> PreparedImages:
    """The overrides of images and builds, as far as the images were acquired."""
    swaps = {**acquired.swaps, **host.images}
    used = bases(project, acquired.texts, builder)
    builds = {}
    for service in project.services:
        if (build := service.build) is not None:
            own = {base: swaps[base] for base in used.get(service.name, ()) if base in swaps}
            change = BuildChange(own, _arguments(build, host.arguments))
            builds[service.name] = await _change(build, acquired.texts.get(service.name), change, acquired.frontends)
    return PreparedImages(swaps, builds, texts=acquired.texts)


def _arguments(build: Build, arguments: Mapping[str, str]) -> dict[str, str]:
    """The arguments that the build does not set itself; names are compared without regard to case."""
    own = {name.lower() for name, _ in build.args}
    return {name: value for name, value in arguments.items() if name.lower() not in own}


async def _environments(
    engine: Engine, project: Project, texts: Mapping[str, DockerfileText], host: _HostSettings
) -> dict[str, Mapping[str, str]]:
    """Service -> the variables of this host's settings that its image does not set, if its image is derived."""
    environment: dict[str, Mapping[str, str]] = {}
    for service in project.services:
        text = texts.get(service.name)
        if image := host.images.get(_base_image(service, text) or ""):
            written = " ".join(i.rest for i in instructions(text.text) if i.keyword == "ENV") if text else ""
            # Every word of an ENV may be a name.
            own = {*await engine.images.variables(image), *re.findall(r"\w+", written)}
            environment[service.name] = {name: to for name, to in host.environment.items() if name not in own}
    return environment


@dataclass(frozen=True, slots=True)
class _HostSettings:
    """Settings of this host: reference -> its derived image; and build arguments and variables by name."""

    images: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


async def _derived(engine: Engine, wanted: Iterable[Need], swaps: Mapping[str, str], emit: Emit) -> _HostSettings:
    settings = await derive.host_settings()
    for notice in derive.notices(settings):
        emit(notice)
    bare = {n.reference: swaps.get(n.reference, n.reference) for n in wanted if n.kind in ("service", "base")}
    derived = await derive.derive(engine, bare, settings, emit)
    variables = derive.environment(settings)
    # A step sees only the arguments that its stage declares with ARG.
    return _HostSettings(derived, {**variables, **await step_arguments(engine, emit)}, variables)


def _base_image(service: Service, text: DockerfileText | None) -> str | None:
    """The reference, as written, of the service's image or of the image that it is built on."""
    if service.build is None:
        return service.image
    return base_image(text.text, args=dict(service.build.args), target=service.build.target) if text else None


def _written(text: str, build: Build) -> str:
    """Write a Dockerfile and a copy of the `.dockerignore`, both removed at exit; return the Dockerfile's path."""
    folder = tempfile.mkdtemp(prefix="devenv-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, own = os.path.join(folder, "Dockerfile"), build.dockerignores[0]
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    if build.dockerfile_inline is None and os.path.exists(own):
        shutil.copyfile(own, f"{path}.dockerignore")
    return path


async def _change(
    build: Build, text: DockerfileText | None, change: BuildChange, frontends: Mapping[str, str | None]
) -> BuildChange:
    """The change with its label, and with another frontend if the frontend of the Dockerfile is missing.

    If no frontend is available, the engine's own builder reads a copy of the Dockerfile without that line.
    """
    local = sorted({image for image in change.bases.values() if image.startswith(LOCAL)})
    change = replace(change, labels={BUILT_ON: ", ".join(local)} if local else {})
    name = frontend(text.text)[0] if text else ""
    if text is None or name not in frontends:
        return change
    if image := frontends[name]:
        return replace(change, arguments={**change.arguments, "BUILDKIT_SYNTAX": image})
    path = await anyio.to_thread.run_sync(_written, without_syntax(text.text), build)
    return replace(change, dockerfile=path)


async def build(
    compose: Compose,
    services: Sequence[str],
    emit: Emit,
    project: Project,
    prepared: PreparedImages,
    *,
    number: int = 0,
    early: EarlyCommand | None = None,
) -> None:
    """Build the images of these services of the project; `number` tells apart builds that run at the same time.

    `early`: a command that builds all services of the model.

    Raises like `Compose.build`, with the errors of `explain_build`.
    """
    service = services[0] if number and len(services) == 1 else ""

    def report(line: str) -> None:
        emit(Step("build", "detail", of_part(line, MOST_STEPS * number, service) if number else line))

    try:
        await compose.build(services, report, early)
    except BuildError as error:
        facts = await anyio.to_thread.run_sync(_facts, error.service, project, prepared)
        raise explain_build(error, facts) from error


def _facts(name: str, project: Project, prepared: PreparedImages) -> BuildFacts:
    dockerfile = prepared.texts.get(name)
    build = next((service.build for service in project.services if service.name == name), None)
    bases = prepared.builds[name].bases if name in prepared.builds else {}
    if build is None:
        return BuildFacts(project.directory, host_settings=prepared.host_settings)

    def files(folder: str) -> Sequence[str]:
        try:
            return sorted(os.listdir(os.path.join(build.context, folder.lstrip("/"))))
        except OSError:
            return ()

    return BuildFacts(
        project.directory,
        dockerfile=dockerfile.name if dockerfile and build.dockerfile_inline is None else "",
        text=dockerfile.text if dockerfile else "",
        stand_in=", ".join(base for base, image in bases.items() if image.startswith(f"{STAND_IN_REGISTRY}/")),
        host_settings=prepared.host_settings,
        files=files,
        ignore_file=_ignore_file(build, project.directory),
    )


def _ignore_file(build: Build, directory: str) -> tuple[str, str]:
    """The .dockerignore that the build uses, with its name for messages, and its text."""
    for path in build.dockerignores:
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            return os.path.relpath(path, directory), file.read()
    return "", ""
