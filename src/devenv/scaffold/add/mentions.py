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
    """Return the host of a URL or of `HOST:PORT`, in small letters; None if there is none."""
    plain = _plain(value)
    try:
        return urlsplit(plain if "//" in plain else f"//{plain}").hostname
    except ValueError:
        return None


def mentions(node: yaml.Node, name: str) -> Iterator[Mention]:
    """Yield the places of a Compose file that name a service, each line of a part once, in the order of the file.

    What the service itself says does not count.
    """
    found = []
    for key, value in yaml12.items(yaml12.at(node, ("services",))):
        if key.value != name:
            found += [one._replace(service=str(key.value)) for one in _of_service(value, name)]
    for key, value in yaml12.items(yaml12.at(node, ("configs",))):
        found += [m._replace(part=f"configs.{key.value}") for m in _texts(yaml12.at(value, ("content",)), "", name)]
    for key, value in yaml12.items(yaml12.at(node, ("x-devenv",))):
        for scalar in yaml12.scalars_under(value, ("service",)):
            if scalar.value == name:
                found.append(Mention(_line(scalar), "", f"x-devenv.{key.value}", needed=False))
    yield from sorted(dict.fromkeys(found))


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
    for _, network in yaml12.items(yaml12.at(node, ("networks",))):
        for alias in yaml12.strings(yaml12.at(network, ("aliases",))):
            if alias.value == name:
                yield Mention(_line(alias), "", "networks", needed=False)


def _references(node: yaml.Node) -> Iterator[tuple[yaml.Node, str, str]]:
    """Yield what a service cannot be without: the text, the part that it is in, and the service that it means."""
    depends = yaml12.at(node, ("depends_on",))
    for one in (*yaml12.strings(depends), *(key for key, _ in yaml12.items(depends))):
        yield one, "depends_on", str(one.value)
    for part in ("links", "volumes_from"):
        for one in yaml12.strings(yaml12.at(node, (part,))):
            yield one, part, one.value.partition(":")[0]
    for part in NAMESPACES:
        for one in yaml12.strings(yaml12.at(node, (part,))):
            yield one, part, _meant(one.value)
    contexts = yaml12.at(node, ("build", "additional_contexts"))
    for one in (*yaml12.strings(contexts), *(value for _, value in yaml12.items(contexts))):
        yield one, "build.additional_contexts", _meant(str(one.value).rpartition("=")[2])
    if yaml12.at(node, ("extends", "file")) is None:
        extends = yaml12.at(node, ("extends",))
        for one in (*yaml12.strings(extends), *yaml12.strings(yaml12.at(node, ("extends", "service")))):
            yield one, "extends", str(one.value)


def _meant(value: str) -> str:
    """Return the service of `service:NAME`; empty for other values."""
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
    """Return all hosts of the URLs and addresses in a text, in small letters."""
    plain = _plain(text)
    authorities = [one for found in _URL.findall(plain) for one in found.split(",")]
    words = re.split(r"[\s,;='\"()\[\]]+", _URL.sub(" ", plain))
    addresses = [found[1] for word in words if (found := _ADDRESS.fullmatch(word))]
    return {one.partition(":")[0].lower() for one in (*authorities, *addresses)}


def _plain(text: str) -> str:
    """Return the text with an `x` for each variable that Compose puts in."""
    while (plain := _INTERPOLATED.sub("x", text)) != text:
        text = plain
    return plain


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def shown(found: Sequence[tuple[str, Mention]]) -> str:
    """Return `SERVICE (FILE:LINE: PART)` of mentions with their files, with commas."""
    return ", ".join(f"{one.service} ({file}:{one.line}: {one.part})" for file, one in found)
