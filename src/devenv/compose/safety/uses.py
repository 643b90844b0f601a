"""The paths of the host that services of the resolved model use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Model = Mapping[str, Any]

# File systems of a volume's `driver_opts` that are not on this machine, or are empty.
_ELSEWHERE = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "tmpfs", "ramfs", "ceph", "glusterfs", "lustre", "9p",
})  # fmt: skip
_BIND = frozenset({"none", "bind", "rbind"})
_LAYERS = ("lowerdir", "upperdir", "workdir")
_FILE_SYSTEM = "mounts {} as a file system of the type {}: it is a disk or a part of the kernel of this machine"


@dataclass(frozen=True, slots=True)
class Use:
    """A service uses the path `source` of the host, by the entry with the text `entry` at `path` of the model.

    `verb` says how it uses the path. `writes`: it may change the files there. `where`: FILE:LINE, if known already.
    `always`: the message if every path is a danger there. `of_build`: only its build uses it.
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
    elif kind and kind not in _ELSEWHERE:
        yield Use(name, "mounts", device, at, entry, writes, always=_FILE_SYSTEM.format(device or "none", kind))


def _layers(flags: Iterable[str]) -> Iterator[str]:
    """The folders of an overlay file system, by its options."""
    for key, _, value in (flag.partition("=") for flag in flags):
        if key in _LAYERS:
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
    for key, written in _pairs(build.get("additional_contexts") or {}):
        source = written.removeprefix("oci-layout://")
        if source.startswith("/"):
            yield Use(name, "is built with", source, (*at, "additional_contexts", key), of_build=True)
    for used in build.get("secrets") or ():
        yield from _file(name, "secrets", used, model, of_build=True)


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from ((str(key), str(item)) for key, item in value.items())
    elif isinstance(value, list):
        yield from ((key, item) for key, _, item in (str(item).partition("=") for item in value))


def _watched(name: str, service: Model, _: Model) -> Iterator[Use]:
    """The paths that watch rules copy into containers; `entry` is the index of the rule."""
    for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
        if "sync" in str(rule.get("action")):
            yield Use(name, "syncs", str(rule.get("path") or ""), ("services", name, "develop", "watch"), str(index))
