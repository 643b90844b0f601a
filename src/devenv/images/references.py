"""Names of images: taken apart, compared, and collected from services and Dockerfiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from devenv.images.dockerfile import Reference, references
from devenv.model.project import Build, Project, Service

HUB = "docker.io"
KINDS = ("service", "base", "context", "frontend")  # of two kinds the later counts: it allows less


@dataclass(frozen=True, slots=True)
class DockerfileText:
    """A Dockerfile's text and the name by which people know it, like `client/Dockerfile`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Need:
    """One image that the project needs, as written, and who needs it.

    `users` are like `service backend` or `client/Dockerfile:3`. `kind` is "service" (the `image` of a service
    that is not built), "base" (FROM, COPY --from, RUN --mount from=), or one for which nothing can stand in:
    "context" (a docker-image:// context), "frontend" (the `# syntax=` line). `policy` is the pull_policy.
    """

    reference: str
    users: tuple[str, ...]
    platform: str | None = None
    kind: str = "service"
    policy: str | None = None


def needs(project: Project, dockerfiles: Mapping[str, DockerfileText]) -> tuple[Need, ...]:
    """Every image the project needs, each reference once, in the order of the services.

    `dockerfiles` is keyed by service; a service that is built from elsewhere (a Git address) has no entry.
    """
    built = {canonical(name) for service in project.services for name in _built_names(project, service)}
    merged: dict[str, Need] = {}
    for service in project.services:
        for need in _of_service(service, dockerfiles.get(service.name)):
            if canonical(need.reference) not in built:
                _merge(merged, need)
    return tuple(merged.values())


def bases(project: Project, dockerfiles: Mapping[str, DockerfileText]) -> dict[str, tuple[str, ...]]:
    """Service -> the images, as written, that its Dockerfile takes something from."""
    return {
        service.name: tuple({need.reference: None for need in _of_service(service, text) if need.kind == "base"})
        for service in project.services
        if (text := dockerfiles.get(service.name)) and service.build
    }


def canonical(reference: str) -> str:
    """The reference in full: `node` is `docker.io/library/node:latest`; a digest needs no tag."""
    repository, tag, digest = split(reference)
    head, slash, rest = repository.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = HUB, repository
    if head in ("index.docker.io", "registry-1.docker.io"):
        head = HUB
    if head == HUB and "/" not in rest:
        rest = f"library/{rest}"
    end = (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    return f"{head}/{rest}{end or ':latest'}"


def familiar(reference: str) -> str:
    """The reference as people write it: `docker.io/library/node:22` is `node:22`."""
    name = canonical(reference)
    return name.removeprefix(f"{HUB}/library/").removeprefix(f"{HUB}/")


def split(reference: str) -> tuple[str, str | None, str | None]:
    """Repository (with the registry, if written), tag and digest."""
    rest, _, digest = reference.partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, None, digest or None
    return head, tag, digest or None


def registry(reference: str) -> str:
    """The registry that a pull would ask, `docker.io` where none is written."""
    return canonical(reference).partition("/")[0]


def _merge(merged: dict[str, Need], need: Need) -> None:
    known = merged.get(need.reference)
    if known is None:
        merged[need.reference] = need
        return
    users = (*known.users, *(user for user in need.users if user not in known.users))
    merged[need.reference] = replace(
        known,
        users=users,
        platform=known.platform or need.platform,
        kind=max(known.kind, need.kind, key=KINDS.index),
        policy=known.policy or need.policy,
    )


def _built_names(project: Project, service: Service) -> Iterator[str]:
    if service.build:
        yield service.image or f"{project.name}-{service.name}"


def _of_service(service: Service, dockerfile: DockerfileText | None) -> Iterator[Need]:
    if service.build is None:
        if service.image:
            user = f"service {service.name}"
            yield Need(service.image, (user,), service.platform, "service", service.pull_policy)
        return
    for value in _contexts(service.build).values():
        if value.startswith("docker-image://"):
            yield Need(value.removeprefix("docker-image://"), (f"service {service.name}",), None, "context")
    if dockerfile:
        yield from _of_dockerfile(service, service.build, dockerfile)


def _of_dockerfile(service: Service, build: Build, dockerfile: DockerfileText) -> Iterator[Need]:
    replaced = {canonical(name) for name in _contexts(build)}
    default = build.platforms[0] if len(build.platforms) == 1 else service.platform
    for found in _found(build, dockerfile.text, default):
        if canonical(found.name) not in replaced:
            user = f"{dockerfile.name}:{found.line}"
            yield Need(found.name, (user,), found.platform or default, found.kind)


def _found(build: Build, text: str, platform: str | None) -> Iterable[Reference]:
    return references(text, args=dict(build.args), target=build.target, platform=platform, contexts=_contexts(build))


def _contexts(build: Build) -> dict[str, str]:
    return dict(build.additional_contexts)
