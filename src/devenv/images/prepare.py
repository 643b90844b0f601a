"""What a run has to change so that its images are had: names, builds and environments."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import anyio

from devenv.compose.run_model import BuildChange
from devenv.compose.user_config import user_settings
from devenv.docker.client import Engine
from devenv.events import Emit, Event, Notice
from devenv.host.proxies import step_arguments
from devenv.images import acquire
from devenv.images.build import foreign_builder
from devenv.images.build_errors import baked
from devenv.images.dockerfile import base_image, frontend, instructions, without_syntax
from devenv.images.host_settings.overlay import INSIDE, INSIDE_REGISTRY
from devenv.images.needs import DockerfileText, Need, bases
from devenv.images.standins.build import FOR
from devenv.images.standins.recipes import STAND_IN_REGISTRY
from devenv.images.wishes import Wishes
from devenv.model.project import Build, Project, Service

BUILT_ON = "devenv.built-on"
LOCAL = (f"{STAND_IN_REGISTRY}/", f"{INSIDE_REGISTRY}/")
# What an image has in its labels that belongs to this machine alone, and in words.
MARKS = {FOR: "a stand-in", INSIDE: "settings of this machine", BUILT_ON: "built on an image made here"}


@dataclass(frozen=True, slots=True)
class PreparedImages:
    """`images`: the `image` of a service, as written -> what is on the engine; `builds`, `environment`: by service.

    `given`: builds know this host's settings. `texts`: the Dockerfiles, by service, for which it holds.
    `said`: what was worth a line, and needs none again.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    builds: Mapping[str, BuildChange] = field(default_factory=dict)
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    given: bool = False
    texts: Mapping[str, DockerfileText] = field(default_factory=dict)
    said: frozenset[Notice] = frozenset()

    def beside(self, other: PreparedImages) -> PreparedImages:
        """Both; where both have something to say, this one."""
        return PreparedImages(
            {**other.images, **self.images},
            {**other.builds, **self.builds},
            {**other.environment, **self.environment},
            self.given,
            {**other.texts, **self.texts},
            other.said | self.said,
        )

    async def holds(self, project: Project) -> bool:
        """Whether the Dockerfiles of these services are still the ones for which it was made."""
        texts = await anyio.to_thread.run_sync(acquire.dockerfiles, project)
        return all(self.texts.get(name) == text for name, text in texts.items())


async def supply(
    engine: Engine, project: Project, wishes: Wishes, emit: Emit, *, said: frozenset[Notice] = frozenset()
) -> PreparedImages:
    """Every image that the services and their Dockerfiles need is on the engine: present, pulled, or made.

    What is in `said` is not said again.
    """
    heard = set(said)

    def tell(event: Event) -> None:
        if isinstance(event, Notice) and event in heard:
            return
        if isinstance(event, Notice):
            heard.add(event)
        emit(event)

    settings = user_settings()
    built = {service.name: service.build for service in project.services if service.build}
    for notice in (
        foreign_builder(engine.endpoint) if built else None,
        *(baked(s, b.args) for s, b in built.items()),
    ):
        if notice:
            tell(notice)
    mirrors, stand_ins = acquire.mirrors_of(project), wishes.stand_ins or settings.stand_ins
    provided = await acquire.provide(engine, project, mirrors=mirrors, stand_ins=stand_ins, emit=tell)
    texts = provided.texts
    given = wishes.host_settings or settings.host_settings
    host = await _given(engine, provided.wanted, provided.swaps, tell) if given else _Given()
    swaps = {**provided.swaps, **host.images}
    used = bases(project, texts, engine.platform)
    builds = {}
    for name, build in built.items():
        own = {base: swaps[base] for base in used.get(name, ()) if base in swaps}
        set_here = {argument.lower() for argument, _ in build.args}
        arguments = {one: value for one, value in host.arguments.items() if one.lower() not in set_here}
        change = _change(texts.get(name), BuildChange(own, arguments), provided.frontends)
        if change.dockerfile is not None:
            change = replace(change, dockerfile=await anyio.to_thread.run_sync(_written, change.dockerfile, build))
        builds[name] = change
    if plain := [name for name, build in builds.items() if build.dockerfile is not None]:
        why = "nobody has what `# syntax=` names: the engine's own builder reads the Dockerfile of"
        tell(Notice(f"{why} {', '.join(plain)}"))
    environment: dict[str, Mapping[str, str]] = {}
    for service in project.services:
        text = texts.get(service.name)
        if image := host.images.get(_ground(service, text) or ""):
            taken = await _variables(engine, image, text)
            environment[service.name] = {name: to for name, to in host.environment.items() if name not in taken}
    return PreparedImages(swaps, builds, environment, given, texts, frozenset(heard))


async def _variables(engine: Engine, image: str, text: DockerfileText | None) -> set[str]:
    """Those that the image has, and all that may be a name in the Dockerfile's ENV."""
    shown = await engine.images.inspect(image)
    written = " ".join(one.rest for one in instructions(text.text) if one.keyword == "ENV") if text else ""
    return {one.partition("=")[0] for one in shown["Config"].get("Env") or ()} | {*re.findall(r"\w+", written)}


@dataclass(frozen=True, slots=True)
class _Given:
    """What this host's settings come to: reference -> the image that knows them, and the rest by name."""

    images: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


async def _given(engine: Engine, wanted: Iterable[Need], swaps: Mapping[str, str], emit: Emit) -> _Given:
    from devenv.images.host_settings import derive  # noqa: PLC0415 - TLS and all: a tenth of what `up` imports

    settings = await derive.host_settings()
    for notice in derive.told(settings):
        emit(notice)
    bare = {n.reference: swaps.get(n.reference, n.reference) for n in wanted if n.kind in ("service", "base")}
    derived = await derive.derive(engine, bare, settings, emit)
    variables = derive.environment(settings)
    # A step sees those that its stage declares by ARG; the others change nothing.
    return _Given(derived, {**variables, **await step_arguments(engine, emit)}, variables)


def _ground(service: Service, text: DockerfileText | None) -> str | None:
    """The reference that the service's file system begins with, as written."""
    if service.build is None:
        return service.image
    return base_image(text.text, args=dict(service.build.args), target=service.build.target) if text else None


def _written(text: str, build: Build) -> str:
    """The path of a Dockerfile of this text, beside it the project's `.dockerignore`; gone when this process ends."""
    folder = tempfile.mkdtemp(prefix="devenv-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, own = os.path.join(folder, "Dockerfile"), f"{os.path.join(build.context, build.dockerfile)}.dockerignore"
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    if build.dockerfile_inline is None and os.path.exists(own):
        shutil.copyfile(own, f"{path}.dockerignore")
    return path


def _change(text: DockerfileText | None, change: BuildChange, frontends: Mapping[str, str | None]) -> BuildChange:
    """What the build is given, with its label. A frontend that nobody has is left to the engine's own builder.

    `dockerfile` is the text of the Dockerfile then.
    """
    local = sorted({image for image in change.bases.values() if image.startswith(LOCAL)})
    change = replace(change, labels={BUILT_ON: ", ".join(local)} if local else {})
    name = frontend(text.text)[0] if text else ""
    if text is None or name not in frontends:
        return change
    if found := frontends[name]:
        return replace(change, arguments={**change.arguments, "BUILDKIT_SYNTAX": found})
    return replace(change, dockerfile=without_syntax(text.text))
