"""The images that a project's services and Dockerfiles need, and their names at mirrors and in archives."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from devenv.compose.parse import is_image
from devenv.compose.run_model import CONTEXT
from devenv.errors import ConfigError
from devenv.images.dockerfile import FROM, SYNTAX, Reference, references
from devenv.lazy_dataclass import dataclass
from devenv.model.images import HUB, LOOPBACK, canonical, split
from devenv.model.project import Build, Project, Service
from devenv.redact import masked

DOCKERFILE_FRONTENDS = ("dockerfile", "dockerfile-upstream")  # in any registry
PATTERN = re.compile(r"\$\{\w+[#%/]")  # a pattern operator in a variable
LOADED_REGISTRY = "loaded.devenv"
SERVICE_CONTEXT = "service:"
PORT_LIMIT = 65536
_ENTRY = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,9}))?"
    r"(?P<path>(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)/?"
)
_LOGIN_HINT = "log in instead, devenv uses the docker CLI's credentials: docker login {host}"
_FORM_HINT = 'mirrors = ["mirror.example", "mirror.example:5000/prefix"]'
EAGERNESS = {"never": -1, "always": 1}  # if services share an image, "always" wins
KINDS = ("service", "base", "context", "frontend")  # if an image has several kinds, the later one counts


@dataclass(frozen=True, slots=True)
class DockerfileText:
    """A Dockerfile's text, and its name in messages, such as `client/Dockerfile`."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Need:
    """One image that the project needs, as written, and who needs it.

    `users` are like `service backend`, `service backend pre_start`, `client/Dockerfile:3` or
    `client/Dockerfile:7 COPY --from`. `kind` is "service" (the `image` of a service without a build section), "base"
    (FROM, COPY --from, RUN --mount from=), or a kind without stand-ins: "context" (a docker-image:// context),
    "frontend" (the `# syntax=` line). `platform` is None for the engine's own; `policy` is the pull_policy.
    """

    reference: str
    users: tuple[str, ...]
    platform: str | None = None
    kind: str = "service"
    policy: str | None = None


def needs(project: Project, dockerfiles: Mapping[str, DockerfileText], builder: str) -> tuple[Need, ...]:
    """Every image that the project needs, each reference and platform once, in the order of the services.

    `dockerfiles` is keyed by service; a service that is built from a Git address has no entry. `builder` is the
    engine's own platform. Raises ConfigError, with file and line, for an invalid image name.
    """
    built = {canonical(s.image or f"{project.name}-{s.name}") for s in project.services if s.build}
    merged: dict[tuple[str, str | None], Need] = {}
    for service in project.services:
        for need in _of_service(service, dockerfiles.get(service.name), builder):
            own = replace(need, platform=None) if need.platform == builder else need
            if canonical(own.reference) not in built:
                known = merged.setdefault((own.reference, own.platform), own)
                merged[own.reference, own.platform] = replace(
                    known,
                    users=tuple(dict.fromkeys((*known.users, *own.users))),
                    kind=max(known.kind, own.kind, key=KINDS.index),
                    policy=max(known.policy, own.policy, key=lambda policy: EAGERNESS.get(policy or "", 0)),
                )
    return tuple(merged.values())


def bases(project: Project, dockerfiles: Mapping[str, DockerfileText], builder: str) -> dict[str, tuple[str, ...]]:
    """Service -> the images, as written, that its Dockerfile uses. Raises like `needs`."""
    return {
        service.name: tuple({n.reference: None for n in _of_service(service, text, builder) if n.kind == "base"})
        for service in project.services
        if (text := dockerfiles.get(service.name)) and service.build
    }


def buildable(
    project: Project, dockerfiles: Mapping[str, DockerfileText], builder: str, available: Collection[str]
) -> tuple[str, ...]:
    """The services whose builds use `available` images only: no missing image, and none that is built here.

    Services that are built from a Git address are left out, since their Dockerfiles are unknown. Raises like `needs`.
    """
    return tuple(
        service.name
        for service in project.services
        if (text := dockerfiles.get(service.name))
        and service.build
        and not any(value.startswith(SERVICE_CONTEXT) for _, value in service.build.additional_contexts)
        and all(n.reference in available for n in _of_service(service, text, builder) if n.kind != "service")
    )


def others(project: Project, dockerfiles: Mapping[str, DockerfileText], lacking: Iterable[Need]) -> tuple[str, ...]:
    """The services to name to start all that do without these images; empty if nothing of that is built."""
    users = [user for need in lacking for user in need.users]
    without = {name for name, text in dockerfiles.items() if any(user.startswith(f"{text.name}:") for user in users)}
    without |= {service.name for service in project.services if {*_users(service)} & {*users}}
    rest = _startable(project.services, without)
    needed = {name for service in rest for name in _required(service)}
    return tuple(s.name for s in rest if s.name not in needed) if any(s.build for s in rest) else ()


def _startable(services: Iterable[Service], without: set[str]) -> list[Service]:
    """The services that can start `without` these: they do not require them, directly or through others."""
    rest = [service for service in services if service.name not in without]
    while blocked := [service for service in rest if without & _required(service)]:
        without = {service.name for service in blocked}
        rest = [service for service in rest if service not in blocked]
    return rest


def _required(service: Service) -> set[str]:
    return {dependency.service for dependency in service.depends_on if dependency.required}


def _users(service: Service) -> tuple[str, str]:
    """The service as the user of its own image, and of the images of its `pre_start` containers."""
    return f"service {service.name}", f"service {service.name} pre_start"


def _of_service(service: Service, dockerfile: DockerfileText | None, builder: str) -> Iterator[Need]:
    user, before = _users(service)
    for image in service.pre_start:
        yield Need(image, (before,), service.platform, "service", service.pull_policy)
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
    options = {"target": build.target, "platform": platform, "builder": builder}
    used = references(dockerfile.text, args=dict(build.args), contexts=contexts, **options)
    foreign = any(reference.how == SYNTAX and not reads_dockerfiles(reference.name) for reference in used)
    for reference in used:
        if not is_image(reference.name):
            if foreign and reference.how != SYNTAX:
                continue  # a frontend for another language may allow such names
            raise _no_image(reference, dockerfile)
        if canonical(reference.name) not in replaced:
            user = f"{dockerfile.name}:{reference.line}" + (f" {reference.how}" if reference.how != FROM else "")
            kind, policy = "frontend" if reference.how == SYNTAX else "base", "always" if build.pull else None
            own = None if kind == "frontend" else reference.platform or platform  # it runs on the builder
            yield Need(reference.name, (user,), own, kind, policy)


def reads_dockerfiles(frontend: str) -> bool:
    """Whether a `# syntax=` image is a Dockerfile frontend, so that the engine's own builder can replace it."""
    return split(frontend)[0].rpartition("/")[2] in DOCKERFILE_FRONTENDS


def _no_image(reference: Reference, dockerfile: DockerfileText) -> ConfigError:
    name = reference.name[:80]
    hint = "It is NAME, NAME:TAG or HOST/NAME:TAG; names are lower case."
    if PATTERN.search(reference.name):
        hint = "devenv reads `${NAME}`, `${NAME:-default}` and `${NAME:+other}` in FROM, but no patterns (# % /)."
    elif "$" in reference.name and reference.how == FROM:
        hint = "Give its variables a value: `ARG NAME=value` before the first FROM, or `build.args`."
    elif "$" in reference.name:
        hint = f"{reference.how} takes no variables: write `FROM {name} AS name`, and take it from there."
    message = f"`{name}` is not a valid image reference"
    return ConfigError(message, hint=hint, file=dockerfile.name, line=reference.line)


def prefix(entry: str) -> str:
    """The mirror as a prefix of image names: `host` or `host:port`, with an optional path.

    Raises ConfigError for an entry with credentials, a mirror without TLS on another machine, and an invalid address.
    """
    scheme, separator, address = entry.rpartition("://")
    if "@" in entry:
        host = entry.rpartition("@")[2].partition("/")[0]
        raise _wrong(entry, "holds credentials", _LOGIN_HINT.format(host=host))
    if separator and scheme not in ("http", "https"):
        raise _wrong(entry, "is not a registry: devenv uses https://", _FORM_HINT)
    match = _ENTRY.fullmatch(address)
    # A single word is a folder on Docker Hub.
    if match is None or not (match["port"] or re.search(r"\.|^localhost$|^\[", match["host"])):
        raise _wrong(entry, "is not the address of a registry", _FORM_HINT)
    if match["port"] and not 0 < int(match["port"]) < PORT_LIMIT:
        raise _wrong(entry, f"has the port {match['port']}, and the highest is {PORT_LIMIT - 1}", _FORM_HINT)
    if scheme == "http" and not LOOPBACK.fullmatch(match["host"]):
        raise _wrong(entry, "would be read without TLS, and anybody on the way could change images", _FORM_HINT)
    return address.rstrip("/")


def candidates(reference: str, prefix: str) -> tuple[str, ...]:
    """The names that a mirror may have for the image, the most likely first; a digest replaces the tag.

    A mirror of Docker Hub uses the image's own name; a mirror of any registry puts it below the registry's name,
    which cannot have a port there.
    """
    registry, _, rest = exact(reference).partition("/")
    if registry == prefix.partition("/")[0] or ":" in registry:
        return ()
    below = f"{prefix}/{registry}/{rest}"
    return (f"{prefix}/{rest}", below) if registry == HUB else (below,)


def loaded(reference: str) -> str:
    """The name that `devenv images load` gives the image. A digest becomes a tag, since only a pull sets digests."""
    host, _, rest = exact(reference).partition("/")
    folder = re.sub(r"[:\[\]]+", "_", host).strip("_")  # only the first part of a name may have a port
    return f"{LOADED_REGISTRY}/{folder}/{rest.replace('@', ':').replace('sha256:', 'sha256-')}"


def exact(reference: str) -> str:
    """The full reference; a digest replaces the tag."""
    name, at, digest = canonical(reference).partition("@")
    return f"{re.sub(':[^/:]*$', '', name)}@{digest}" if at else name


def prefixes(entries: Iterable[str]) -> tuple[str, ...]:
    """The mirrors in order, without duplicates. Raises like `prefix`."""
    return tuple(dict.fromkeys(map(prefix, entries)))


def _wrong(entry: str, why: str, hint: str) -> ConfigError:
    return ConfigError(f"the mirror {masked(entry)!r} {why}", hint=hint)
