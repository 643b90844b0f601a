"""Other names of an image: at a mirror that a person or a project names, and loaded from an archive."""

from __future__ import annotations

import re
from collections.abc import Iterable

from devenv.errors import ConfigError
from devenv.model.addresses import LOOPBACK
from devenv.model.image_ref import HUB, canonical
from devenv.redact import masked

LOADED_REGISTRY = "loaded.devenv"
PORT_LIMIT = 65536
_ENTRY = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,9}))?"
    r"(?P<path>(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)/?"
)
_LOGIN_HINT = "log in instead, and the docker CLI keeps what devenv shows to it: docker login {host}"
_FORM_HINT = 'mirrors = ["mirror.example", "mirror.example:5000/prefix"]'


def prefix(entry: str) -> str:
    """The mirror as images' names begin: `host`, `host:port` or one of them with a path.

    Raises ConfigError for an entry with credentials, one that is read without TLS from elsewhere than this machine,
    and whatever is no registry's address.
    """
    scheme, separator, address = entry.rpartition("://")
    if "@" in entry:
        host = entry.rpartition("@")[2].partition("/")[0]
        raise _wrong(entry, "holds credentials", _LOGIN_HINT.format(host=host))
    if separator and scheme not in ("http", "https"):
        raise _wrong(entry, "is no registry: https:// is what devenv asks", _FORM_HINT)
    found = _ENTRY.fullmatch(address)
    if found is None or not _names_a_host(found):
        raise _wrong(entry, "is not the address of a registry", _FORM_HINT)
    if found["port"] and not 0 < int(found["port"]) < PORT_LIMIT:
        raise _wrong(entry, f"has the port {found['port']}, and the highest is {PORT_LIMIT - 1}", _FORM_HINT)
    if scheme == "http" and not LOOPBACK.fullmatch(found["host"]):
        raise _wrong(entry, "would be read without TLS, and anybody on the way could change images", _FORM_HINT)
    return address.rstrip("/")


def candidates(reference: str, prefix: str) -> tuple[str, ...]:
    """The names under which a mirror may have the image, the likeliest first; a digest makes the tag void.

    A mirror of Docker Hub has it under its own name, one of any registry below the registry's; no name can hold a
    registry's port there.
    """
    registry, _, rest = exact(reference).partition("/")
    if registry == prefix.partition("/")[0] or ":" in registry:
        return ()
    below = f"{prefix}/{registry}/{rest}"
    return (f"{prefix}/{rest}", below) if registry == HUB else (below,)


def loaded(reference: str) -> str:
    """The name under which `devenv images load` keeps the image. A digest is a tag there: only a pull gives one."""
    host, _, rest = exact(reference).partition("/")
    folder = re.sub(r"[:\[\]]+", "_", host).strip("_")  # a port is for the first part of a name alone
    return f"{LOADED_REGISTRY}/{folder}/{rest.replace('@', ':').replace('sha256:', 'sha256-')}"


def exact(reference: str) -> str:
    """The reference in full; a digest makes the tag void."""
    name, at, digest = canonical(reference).partition("@")
    return f"{re.sub(':[^/:]*$', '', name)}@{digest}" if at else name


def prefixes(entries: Iterable[str]) -> tuple[str, ...]:
    """The mirrors in order, each once. Raises as `prefix`."""
    return tuple(dict.fromkeys(map(prefix, entries)))


def _names_a_host(found: re.Match[str]) -> bool:
    """Whether Docker takes the first part for a registry: a single word is a folder on Docker Hub to it."""
    host = found["host"]
    return bool(found["port"]) or "." in host or host == "localhost" or host.startswith("[")


def _wrong(entry: str, why: str, hint: str) -> ConfigError:
    return ConfigError(f"the mirror {masked(entry)!r} {why}", hint=hint)
