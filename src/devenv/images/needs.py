"""The images that a project needs, collected from its services and Dockerfiles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from devenv.compose.parse import is_image
from devenv.compose.run_model import CONTEXT
from devenv.errors import ConfigError
from devenv.images.dockerfile import FROM, SYNTAX, Reference, references
from devenv.model.image_ref import canonical, split
from devenv.model.project import Build, Project, Service

DOCKERFILE_FRONTENDS = ("dockerfile", "dockerfile-upstream")  # in any registry
PATTERN = re.compile(r"\$\{\w+[#%/]")  # of a variable
KINDS = ("service", "base", "context", "frontend")  # the later kind of an image counts, which allows less


@dataclass(frozen=True, slots=True)
class DockerfileText:
    """A Dockerfile's text, and its name in messages, such as `client/Dockerfile`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Need:
    """One image that the project needs, as written, and who needs it.

    `users` are like `service backend`, `client/Dockerfile:3` or `client/Dockerfile:7 COPY --from`. `kind` is
    "service" (the `image` of a service that is not built), "base" (FROM, COPY --from, RUN --mount from=), or a kind
    without stand-ins: "context" (a docker-image:// context), "frontend" (the `# syntax=` line). `platform` is None
    for the engine's own; `policy` is the pull_policy.
    """

    reference: str
    users: tuple[str, ...]
    platform: str | None = None
    kind: str = "service"
    policy: str | None = None


def needs(project: Project, dockerfiles: Mapping[str, DockerfileText], builder: str) -> tuple[Need, ...]:
    """Every image the project needs, each reference and platform once, in the order of the services.

    `dockerfiles` is keyed by service; a service that is built from elsewhere (a Git address) has no entry. `builder`
    is the engine's own platform. Raises ConfigError, with file and line, for what cannot name an image.
    """
    built = {canonical(s.image or f"{project.name}-{s.name}") for s in project.services if s.build}
    merged: dict[tuple[str, str | None], Need] = {}
    for service in project.services:
        for need in _of_service(service, dockerfiles.get(service.name), builder):
            own = replace(need, platform=None) if need.platform == builder else need
            if canonical(own.reference) not in built:
                key = own.reference, own.platform
                merged[key] = _merged(merged.get(key, own), own)
    return tuple(merged.values())


def bases(project: Project, dockerfiles: Mapping[str, DockerfileText], builder: str) -> dict[str, tuple[str, ...]]:
    """Service -> the images, as written, that its Dockerfile takes something from. Raises as `needs`."""
    return {
        service.name: tuple({n.reference: None for n in _of_service(service, text, builder) if n.kind == "base"})
        for service in project.services
        if (text := dockerfiles.get(service.name)) and service.build
    }


def _merged(known: Need, need: Need) -> Need:
    return replace(
        known,
        users=tuple(dict.fromkeys((*known.users, *need.users))),
        kind=max(known.kind, need.kind, key=KINDS.index),
        policy=max(known.policy, need.policy, key=_eagerness),
    )


def _eagerness(policy: str | None) -> int:
    """Rank a policy: if services share an image, the one that wants it pulled decides."""
    return {"never": -1, "always": 1}.get(policy or "", 0)


def _of_service(service: Service, dockerfile: DockerfileText | None, builder: str) -> Iterator[Need]:
    user = f"service {service.name}"
    if service.build is None:
        if service.image:
            yield Need(service.image, (user,), service.platform, "service", service.pull_policy)
        return
    for name, value in service.build.additional_contexts:
        if value.startswith(CONTEXT):
            if not is_image(image := value.removeprefix(CONTEXT)):
                message = f"the context `{name}` of {user}: `{image[:80]}` is not a valid image reference"
                raise ConfigError(message, hint=f"{CONTEXT}NAME:TAG")
            yield Need(image, (user,), None, "context")
    if dockerfile:
        yield from _of_dockerfile(service, service.build, dockerfile, builder)


def _of_dockerfile(service: Service, build: Build, dockerfile: DockerfileText, builder: str) -> Iterator[Need]:
    contexts = dict(build.additional_contexts)
    replaced = {canonical(name) for name in contexts}
    platform = build.platforms[0] if len(build.platforms) == 1 else service.platform
    used = references(
        dockerfile.text,
        args=dict(build.args),
        target=build.target,
        platform=platform,
        builder=builder,
        contexts=contexts,
    )
    foreign = any(reference.how == SYNTAX and not reads_dockerfiles(reference.name) for reference in used)
    for reference in used:
        if not is_image(reference.name):
            if foreign and reference.how != SYNTAX:
                continue  # a frontend of another language may allow such names
            raise _no_image(reference, dockerfile)
        if canonical(reference.name) not in replaced:
            user = f"{dockerfile.name}:{reference.line}" + (f" {reference.how}" if reference.how != FROM else "")
            kind, policy = "frontend" if reference.how == SYNTAX else "base", "always" if build.pull else None
            yield Need(reference.name, (user,), reference.platform or platform, kind, policy)


def reads_dockerfiles(frontend: str) -> bool:
    """Return whether a `# syntax=` image is a Dockerfile frontend, whose files the engine's builder reads, too."""
    return split(frontend)[0].rpartition("/")[2] in DOCKERFILE_FRONTENDS


def _no_image(reference: Reference, dockerfile: DockerfileText) -> ConfigError:
    hint = "It is NAME, NAME:TAG or HOST/NAME:TAG; names are lower case."
    if PATTERN.search(reference.name):
        hint = "devenv reads `${NAME}`, `${NAME:-default}` and `${NAME:+other}` in FROM, but no patterns (# % /)."
    elif "$" in reference.name and reference.how == FROM:
        hint = "Give its variables a value: `ARG NAME=value` before the first FROM, or `build.args`."
    elif "$" in reference.name:
        hint = (
            f"{reference.how} takes no variables: write `FROM {reference.name[:80]} AS name`, and take it from there."
        )
    message = f"`{reference.name[:80]}` is not a valid image reference"
    return ConfigError(message, hint=hint, file=dockerfile.name, line=reference.line)
