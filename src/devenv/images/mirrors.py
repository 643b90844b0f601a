"""Other names of an image: at a mirror from the settings, and loaded from an archive."""

from __future__ import annotations

import re
from collections.abc import Iterable

from devenv.errors import ConfigError
from devenv.model.image_ref import HUB, LOOPBACK, canonical
from devenv.redact import masked

LOADED_REGISTRY = "loaded.devenv"
PORT_LIMIT = 65536
_ENTRY = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,9}))?"
    r"(?P<path>(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)/?"
)
_LOGIN_HINT = "log in instead, devenv uses the docker CLI's credentials: docker login {host}"
_FORM_HINT = 'mirrors = ["mirror.example", "mirror.example:5000/prefix"]'


def prefix(entry: str) -> str:
    """The mirror as a prefix of image names: `host` or `host:port`, perhaps with a path.

    Raises ConfigError for an entry with credentials, a mirror without TLS on another machine, and an invalid address.
    """
    scheme, separator, address = entry.rpartition("://")
    if "@" in entry:
        host = entry.rpartition("@")[2].partition("/")[0]
        raise _wrong(entry, "holds credentials", _LOGIN_HINT.format(host=host))
    if separator and scheme not in ("http", "https"):
        raise _wrong(entry, "is no registry: devenv uses https://", _FORM_HINT)
    match = _ENTRY.fullmatch(address)
    if match is None or not _names_a_host(match):
        raise _wrong(entry, "is not the address of a registry", _FORM_HINT)
    if match["port"] and not 0 < int(match["port"]) < PORT_LIMIT:
        raise _wrong(entry, f"has the port {match['port']}, and the highest is {PORT_LIMIT - 1}", _FORM_HINT)
    if scheme == "http" and not LOOPBACK.fullmatch(match["host"]):
        raise _wrong(entry, "would be read without TLS, and anybody on the way could change images", _FORM_HINT)
    return address.rstrip("/")


def candidates(reference: str, prefix: str) -> tuple[str, ...]:
    """The names that a mirror may have for the image, the likeliest first; a digest replaces the tag.

    A mirror of Docker Hub uses the image's own name, a mirror of any registry puts it below the registry's name,
    which cannot have a port there.
    """
    registry, _, rest = exact(reference).partition("/")
    if registry == prefix.partition("/")[0] or ":" in registry:
        return ()
    below = f"{prefix}/{registry}/{rest}"
    return (f"{prefix}/{rest}", below) if registry == HUB else (below,)


def loaded(reference: str) -> str:
    """The name that `devenv images load` gives the image. A digest becomes a tag: only a pull sets digests."""
    host, _, rest = exact(reference).partition("/")
    folder = re.sub(r"[:\[\]]+", "_", host).strip("_")  # only the first part of a name may have a port
    return f"{LOADED_REGISTRY}/{folder}/{rest.replace('@', ':').replace('sha256:', 'sha256-')}"


def exact(reference: str) -> str:
    """The reference in full; a digest replaces the tag."""
    name, at, digest = canonical(reference).partition("@")
    return f"{re.sub(':[^/:]*$', '', name)}@{digest}" if at else name


def prefixes(entries: Iterable[str]) -> tuple[str, ...]:
    """The mirrors in order, each once. Raises as `prefix`."""
    return tuple(dict.fromkeys(map(prefix, entries)))


def _names_a_host(match: re.Match[str]) -> bool:
    """Return whether Docker takes the first part for a registry; a single word is a folder on Docker Hub."""
    host = match["host"]
    return bool(match["port"]) or "." in host or host == "localhost" or host.startswith("[")


def _wrong(entry: str, why: str, hint: str) -> ConfigError:
    return ConfigError(f"the mirror {masked(entry)!r} {why}", hint=hint)
