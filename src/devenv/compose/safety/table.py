"""The table of settings in the resolved model that reach beyond the project's own containers. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from devenv.compose.safety.paths import TABLES, Host, reach
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Hook, Project

Model = Mapping[str, Any]

_BIND = frozenset({"none", "bind", "rbind"})
_FILE_SYSTEM = "mounts {} as a file system of the type {}: it is a disk or a part of the kernel of this machine"


class DangerousSetting(NamedTuple):
    """A key of a service (dotted below `build`), its dangerous values, and the message; `{}` is the value."""

    key: str
    value: str
    message: str


ROWS = tuple(DangerousSetting(*row) for row in TABLES["settings"])
_KEYS = tuple(dict.fromkeys(row.key for row in ROWS))


@dataclass(frozen=True, slots=True)
class Use:
    """A service uses the path `source` of the host, by the entry with the text `entry` at `path` of the model.

    `verb` says how the service uses the path. `writes`: it may change the files there. `where`: FILE:LINE, if known
    already. `always`: the message if this use is dangerous for every path. `of_build`: only its build uses the path.
    """

    service: str
    verb: str
    source: str
    path: tuple[str, ...]
    entry: str = ""
    writes: bool = False
    where: str = ""
    always: str = ""
    of_build: bool = False


@dataclass(frozen=True, slots=True)
class Danger:
    """A dangerous setting of a service, at `path` of the model, in the entry of a list that has the text `entry`.

    For `develop.watch`, `entry` is the index of the rule. `service` is empty if the setting is of the whole project.
    `of_build`: it applies only during the build of the service.
    """

    service: str
    message: str
    path: tuple[str, ...]
    entry: str = ""
    where: str = ""
    of_build: bool = False


def dangers(
    model: Model, host: Host, project: Project | None = None, files: Iterable[Use] = ()
) -> tuple[Danger, ...]:
    """Every setting by which a container could harm this machine, read keys, or control other containers.

    `project`: the parsed model, for its commands. `files`: paths that the resolved model does not contain.
    """
    return (
        *(
            Danger(
                name,
                f"{name} {message}",
                ("services", name, *key.split(".")),
                entry,
                of_build=key.startswith("build."),
            )
            for name, service in (model.get("services") or {}).items()
            for key, entry, message in (*_keys(service), *_more(service, model))
        ),
        *_reached((*uses(model), *files), host),
        *(() if project is None else _commands(project)),
    )


def _keys(service: Model) -> Iterator[tuple[str, str, str]]:
    values = {key: tuple(_values(service, key)) for key in _KEYS}
    for row in ROWS:
        for entry, text in values[row.key]:
            if re.fullmatch(row.value, text, re.DOTALL):
                yield row.key, entry, row.message.replace("{}", text)


def _values(service: Model, key: str) -> Iterator[tuple[str, str]]:
    """(entry, value) for each value of the key, as text; `entry` identifies the entry of a list, else it is empty."""
    value: object = service
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    listed = isinstance(value, list)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            text = str(item.get("source") or item.get("type") or "")
        elif key == "devices" and str(item).startswith("/"):
            text = str(item).partition(":")[0]
        else:
            text = "" if item is None else str(item).lower() if isinstance(item, bool) else str(item)
        if text:
            yield text if listed else "", text


def _more(service: Model, model: Model) -> Iterator[tuple[str, str, str]]:
    for key in service.get("networks") or ():
        if ((model.get("networks") or {}).get(key) or {}).get("name") == "host":
            yield "networks", str(key), f"shares the network of the host (the network `{key}` is `host`)"
    for key in ("post_start", "pre_stop"):
        for hook in service.get(key) or ():
            if isinstance(hook, dict) and hook.get("privileged") is True:
                yield key, "", f"runs a command of `{key}` as privileged: it can do on this machine whatever root can"


def _reached(uses: Iterable[Use], host: Host) -> Iterator[Danger]:
    for use in uses:
        text = use.always or (f"{use.verb} {why}" if (why := reach(use.source, host, writes=use.writes)) else "")
        if text:
            message = f"{use.service} {text}" if use.service else text
            yield Danger(use.service, message, use.path, use.entry, use.where, use.of_build)


def _commands(project: Project) -> Iterator[Danger]:
    for service in project.services:
        for index, rule in enumerate(service.watch):
            if rule.exec is not None and rule.exec.privileged:
                path: tuple[str, ...] = ("services", service.name, "develop", "watch")
                yield Danger(service.name, _privileged(service.name, rule.exec), path, str(index))
    for hook in project.hooks:
        if hook.service is not None and hook.hook.privileged:
            path = ("x-devenv", "hooks", hook.moment)
            yield Danger(hook.service, _privileged(hook.service, hook.hook), path, where=hook.where)


def _privileged(service: str, hook: Hook) -> str:
    command, more, _ = shlex.join(hook.command).partition("\n")
    can = "it can do on this machine whatever root can"
    return f"{service} runs `{command}{' …' if more else ''}` as privileged: {can}"


def uses(model: Model) -> tuple[Use, ...]:
    """Every path of the host that a service uses: mounted, as a secret or config, in its build, or by its sync."""
    return tuple(
        use
        for name, service in (model.get("services") or {}).items()
        for find in (_mounts, _files, _build, _watched)
        for use in find(name, service, model)
    )


def _mounts(name: str, service: Model, model: Model) -> Iterator[Use]:
    volumes = model.get("volumes") or {}
    for mount in service.get("volumes") or ():
        at, entry = ("services", name, "volumes"), str(mount.get("target") or "")
        source, writes = str(mount.get("source") or ""), mount.get("read_only") is not True
        if mount.get("type") == "bind" and source:
            yield Use(name, "mounts", source, at, entry, writes)
        elif mount.get("type") == "volume":
            yield from _volume(name, volumes.get(source) or {}, at, entry, writes=writes)


def _volume(name: str, volume: Model, at: tuple[str, ...], entry: str, *, writes: bool) -> Iterator[Use]:
    """The paths that a named volume with driver options stands for (the options are those of mount(8))."""
    options = volume.get("driver_opts") or {}
    device, kind, written = (str(options.get(key) or "") for key in ("device", "type", "o"))
    kind = kind.lower()
    flags = [flag.strip() for flag in written.split(",")]
    if device and _BIND & {kind, *flags}:
        yield Use(name, "mounts", device, at, entry, writes and "ro" not in flags)
    elif "overlay" in kind:
        yield from (Use(name, "mounts", source, at, entry, writes) for source in _layers(flags))
    elif kind and kind not in TABLES["elsewhere"]:
        yield Use(name, "mounts", device, at, entry, writes, always=_FILE_SYSTEM.format(device or "none", kind))


def _layers(flags: Iterable[str]) -> Iterator[str]:
    """The folders of an overlay file system, by its options."""
    for key, _, value in (flag.partition("=") for flag in flags):
        if key in ("lowerdir", "upperdir", "workdir"):
            yield from filter(None, value.split(":"))


def _files(name: str, service: Model, model: Model) -> Iterator[Use]:
    for kind in ("secrets", "configs"):
        for used in service.get(kind) or ():
            yield from _file(name, kind, used, model)


def _file(name: str, kind: str, used: object, model: Model, *, of_build: bool = False) -> Iterator[Use]:
    key = str(used.get("source") or "") if isinstance(used, dict) else str(used)
    if source := ((model.get(kind) or {}).get(key) or {}).get("file"):
        verb = "is built with" if of_build else "gets"
        yield Use(name, f"{verb} the {kind[:-1]} `{key}` from", str(source), (kind, key, "file"), of_build=of_build)


def _build(name: str, service: Model, model: Model) -> Iterator[Use]:
    build = service.get("build") or {}
    at = ("services", name, "build")
    if isinstance(build, str):
        build = {"context": build}
    if (context := str(build.get("context") or "")).startswith("/"):
        yield Use(name, "is built with", context, (*at, "context"), of_build=True)
    contexts = build.get("additional_contexts") or {}
    if isinstance(contexts, list):
        contexts = dict(str(item).split("=", 1) for item in contexts if "=" in str(item))
    for key, written in contexts.items():
        source = str(written).removeprefix("oci-layout://")
        if source.startswith("/"):
            yield Use(name, "is built with", source, (*at, "additional_contexts", key), of_build=True)
    for used in build.get("secrets") or ():
        yield from _file(name, "secrets", used, model, of_build=True)


def _watched(name: str, service: Model, _: Model) -> Iterator[Use]:
    """The paths that watch rules copy into containers; `entry` is the index of the rule."""
    for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
        if "sync" in str(rule.get("action")):
            yield Use(name, "syncs", str(rule.get("path") or ""), ("services", name, "develop", "watch"), str(index))
