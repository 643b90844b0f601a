"""What a released image is called: the registry, the name, and its versions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from devenv.compose.parse import is_image
from devenv.errors import UsageError
from devenv.model.image_ref import registry as registry_of
from devenv.model.image_ref import split

TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def names(repository: str, tags: Sequence[str]) -> tuple[str, ...]:
    """The repository with each tag, each once. Raises UsageError for a tag that cannot be one."""
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise UsageError(
                f"`{tag}` cannot be a tag", hint="letters, digits, `_`, `.` and `-`, at most 128 of them"
            )
    return tuple(dict.fromkeys(f"{repository}:{tag}" for tag in tags))


def repository(image: str | None, service: str, *, project: str, registry: str | None = None) -> str:
    """Where the image of a service belongs: as `image:` says it, else after project and service, in `registry`.

    Raises UsageError for something that is no registry.
    """
    name = split(image)[0] if image else f"{project}-{service}"
    if registry is None:
        return name
    place = registry.rstrip("/")
    if not is_image(f"{place}/x"):
        hint = "a host and perhaps a path, such as registry.example:5000/team"
        raise UsageError(f"`{hidden(registry)}` is not a registry", hint=hint)
    return f"{place}/{name.removeprefix(f'{registry_of(name)}/')}"


def versions(*, image: str | None, manifest: str | None, revision: str | None) -> tuple[str, ...]:
    """The tags of a release: its version (as `image:` says, else the package's manifest), `latest`, its revision."""
    written = split(image)[1] if image else None
    version = written if written not in (None, "latest") else manifest
    found = (version and version.replace("+", "-"), "latest", revision)
    return tuple(tag for tag in found if tag)


def hidden(text: str) -> str:
    """The text without what stands before an `@`: it may be a password."""
    head, sign, host = text.rpartition("@")
    return f"{head.partition('://')[0]}://***@{host}" if "://" in head else f"***@{host}" if sign else text
