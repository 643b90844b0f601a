"""Names of images: taken apart, completed and compared."""

from __future__ import annotations

import re

HUB = "docker.io"
LOOPBACK = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]")  # hosts that mean this machine


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
    """The registry that a pull would ask, `docker.io` if none is written."""
    return canonical(reference).partition("/")[0]
