"""Names of images: taken apart, compared, and collected from services and Dockerfiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from devenv.images.dockerfile import SYNTAX, references
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
    built = {canonical(s.image or f"{project.name}-{s.name}") for s in project.services if s.build}
    merged: dict[str, Need] = {}
    for service in project.services:
        for need in _of_service(service, dockerfiles.get(service.name)):
            if canonical(need.reference) not in built:
                merged[need.reference] = _merged(merged.get(need.reference, need), need)
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


def _merged(known: Need, need: Need) -> Need:
    return replace(
        known,
        users=tuple(dict.fromkeys((*known.users, *need.users))),
        platform=known.platform or need.platform,
        kind=max(known.kind, need.kind, key=KINDS.index),
        policy=known.policy or need.policy,
    )


def _of_service(service: Service, dockerfile: DockerfileText | None) -> Iterator[Need]:
    user = f"service {service.name}"
    if service.build is None:
        if service.image:
            yield Need(service.image, (user,), service.platform, "service", service.pull_policy)
        return
    for _, value in service.build.additional_contexts:
        if value.startswith("docker-image://"):
            yield Need(value.removeprefix("docker-image://"), (user,), None, "context")
    if dockerfile:
        yield from _of_dockerfile(service, service.build, dockerfile)


def _of_dockerfile(service: Service, build: Build, dockerfile: DockerfileText) -> Iterator[Need]:
    contexts = dict(build.additional_contexts)
    replaced = {canonical(name) for name in contexts}
    platform = build.platforms[0] if len(build.platforms) == 1 else service.platform
    args = dict(build.args)
    for found in references(dockerfile.text, args=args, target=build.target, platform=platform, contexts=contexts):
        if canonical(found.name) not in replaced:
            user = f"{dockerfile.name}:{found.line}"
            kind = "frontend" if found.how == SYNTAX else "base"
            yield Need(found.name, (user,), found.platform or platform, kind, "always" if build.pull else None)
