"""Where a project's files name a service: places that need the service, and texts that hold its host name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import yaml

from devenv.compose import yaml12

# Parts of a service in which a host name means another service. In others (image, volumes, ...) names are not hosts.
TEXTS = ("environment", "command", "entrypoint", "healthcheck", "labels", "extra_hosts", "post_start", "pre_stop")
NAMESPACES = ("network_mode", "pid", "ipc")
_INTERPOLATED = re.compile(r"\$\{[^{}]*\}|\$[A-Za-z_]\w*")
_URL = re.compile(r"[A-Za-z][\w+.-]*://(?:[^\s/?#'\"<>]*@)?([^\s/?#'\"<>@]+)")
_ADDRESS = re.compile(r"(?:[^\s@]*@)?([\w.-]+):(?:\d+|x)(?:/\S*)?")
_HOST_VARIABLE = re.compile(r"HOST|SERVER|ADDR|NODE|ENDPOINT|BROKER|URL|URI|DSN", re.IGNORECASE)


class Mention(NamedTuple):
    """A place that names a service: the line from 1, the service it belongs to if any, and the part, as `links`.

    `needed`: Compose refuses the project without the service.
    """

    line: int
    service: str
    part: str
    needed: bool


def host(value: str) -> str | None:
    """The host of a URL or of `HOST:PORT`, in small letters; None if there is none."""
    plain = _plain(value)
    try:
        return urlsplit(plain if "//" in plain else f"//{plain}").hostname
    except ValueError:
        return None


def mentions(node: yaml.Node, name: str) -> Iterator[Mention]:
    """Yield the places of a Compose file that name a service, each line of a part once, in the order of the file.

    Places in the service itself do not count.
    """
    places = []
    for key, value in _items(node, "services"):
        if key.value != name:
            places += [mention._replace(service=str(key.value)) for mention in _of_service(value, name)]
    for key, value in _items(node, "configs"):
        texts = _texts(yaml12.at(value, ("content",)), "", name)
        places += [mention._replace(part=f"configs.{key.value}") for mention in texts]
    for key, value in _items(node, "x-devenv"):
        scalars = yaml12.scalars_under(value, ("service",))
        places += [Mention(_line(s), "", f"x-devenv.{key.value}", needed=False) for s in scalars if s.value == name]
    yield from sorted(dict.fromkeys(places))


def _items(node: yaml.Node, *path: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    return iter(yaml12.items(yaml12.at(node, path)))


def _strings(node: yaml.Node, *path: str) -> Iterator[yaml.Node]:
    """The texts of a list, or a single text."""
    return iter(yaml12.strings(yaml12.at(node, path)))


def variables(text: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of the variables of a .env file whose value holds the service's host name."""
    for number, line in enumerate(text.splitlines(), start=1):
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#") and _holds(value.strip("\"'"), key, name):
            yield number, key.removeprefix("export ").strip()


def _of_service(node: yaml.Node, name: str) -> Iterator[Mention]:
    for scalar, part, service in _references(node):
        if service == name:
            yield Mention(_line(scalar), "", part, needed=True)
    for part in TEXTS:
        yield from _texts(yaml12.at(node, (part,)), part, name)
    yield from _texts(yaml12.at(node, ("build", "args")), "build.args", name)
    for _, network in _items(node, "networks"):
        for alias in _strings(network, "aliases"):
            if alias.value == name:
                yield Mention(_line(alias), "", "networks", needed=False)


def _references(node: yaml.Node) -> Iterator[tuple[yaml.Node, str, str]]:
    """Yield the services that a service needs: the text, the part that it is in, and the name of the service."""
    for scalar in (*_strings(node, "depends_on"), *(key for key, _ in _items(node, "depends_on"))):
        yield scalar, "depends_on", str(scalar.value)
    for part in ("links", "volumes_from"):
        for scalar in _strings(node, part):
            yield scalar, part, scalar.value.partition(":")[0]
    for part in NAMESPACES:
        for scalar in _strings(node, part):
            yield scalar, part, _meant(scalar.value)
    contexts = ("build", "additional_contexts")
    for scalar in (*_strings(node, *contexts), *(value for _, value in _items(node, *contexts))):
        yield scalar, ".".join(contexts), _meant(str(scalar.value).rpartition("=")[2])
    if yaml12.at(node, ("extends", "file")) is None:
        for scalar in (*_strings(node, "extends"), *_strings(node, "extends", "service")):
            yield scalar, "extends", str(scalar.value)


def _meant(value: str) -> str:
    """The service of `service:NAME`; empty for other values."""
    kind, _, name = value.partition(":")
    return name if kind == "service" else ""


def _texts(node: yaml.Node | None, part: str, name: str, key: str = "") -> Iterator[Mention]:
    """Yield a mention for each text at any depth that holds the host name; `key` is what the text is the value of."""
    if isinstance(node, yaml.ScalarNode):
        variable, equals, value = node.value.partition("=")
        is_pair = bool(equals) and not key and re.fullmatch(r"[\w.-]+", variable) is not None
        if _holds(value if is_pair else node.value, variable if is_pair else key, name):
            yield Mention(_line(node), "", f"{part}.{variable if is_pair else key}".rstrip("."), needed=False)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _texts(item, part, name)
    else:
        for inner, value in yaml12.items(node):
            yield from _texts(value, part, name, str(inner.value))


def _holds(text: str, key: str, name: str) -> bool:
    return name.lower() in _hosts(text) or (text == name and _HOST_VARIABLE.search(key) is not None)


def _hosts(text: str) -> set[str]:
    """All hosts of the URLs and addresses in a text, in small letters."""
    plain = _plain(text)
    authorities = [host for match in _URL.findall(plain) for host in match.split(",")]
    words = re.split(r"[\s,;='\"()\[\]]+", _URL.sub(" ", plain))
    addresses = [match[1] for word in words if (match := _ADDRESS.fullmatch(word))]
    return {address.partition(":")[0].lower() for address in (*authorities, *addresses)}


def _plain(text: str) -> str:
    """The text with an `x` for each variable that Compose puts in."""
    while (plain := _INTERPOLATED.sub("x", text)) != text:
        text = plain
    return plain


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def shown(mentions: Sequence[tuple[str, Mention]]) -> str:
    """`SERVICE (FILE:LINE: PART)` of mentions with their files, with commas."""
    return ", ".join(f"{mention.service} ({file}:{mention.line}: {mention.part})" for file, mention in mentions)
