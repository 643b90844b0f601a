"""What replaces bind mounts, configs and secrets if the engine does not see the files of this machine.

A bind mount of a path of the project becomes a watch rule with `action: sync`, whose initial sync precedes the start
of the container. The files of `configs` and `secrets` are copied into the created container. Everything else is
refused: nothing of it would be in the container, or what a service writes would not come back.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from devenv.compose.parse import undoubled
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Action, Mount, Project, Service, WatchRule
from devenv.paths import is_below, is_within, normal, relative_to, written

FILES_LABEL = "devenv.files"  # a digest of the names and targets of configs and secrets, never of their content
FOLDERS = {"configs": "/", "secrets": "/run/secrets/"}  # of targets that are not absolute
DEFAULT_MODE = 0o444

# They describe the machine of the engine, whichever that is.
_OF_ENGINE = ("/etc/localtime", "/etc/timezone", "/proc", "/sys", "/lib/modules", "/usr/lib/modules")
_COMMON_DEVICES = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "fuse", "kvm", "net/tun", "shm")
)
_DATA = re.compile(
    r"/var/lib/(postgresql|pgsql)(/\d+)?(/data|/docker|/main)?(/pgdata)?"
    r"|/var/lib/(mysql|mariadb|mongodb|redis|valkey|rabbitmq|cassandra|scylla|clickhouse|influxdb2?|neo4j|couchdb"
    r"|elasticsearch|opensearch|grafana|prometheus|etcd|zookeeper|arangodb3|docker|registry)(/data|/mnesia)?"
    r"|/var/opt/mssql(/data)?|/opt/couchdb/data|/usr/share/(elasticsearch|opensearch)/data|/data/(db|configdb)"
    r"|/prometheus|/qdrant/storage|/meili_data|/pgdata|/loki|/bitnami(/.+)?"
)
_DATABASE = re.compile(r"(redis|valkey|keydb|dragonfly|mongo|minio|neo4j|surrealdb|gitea|tempo|victoria)")


class Kind(StrEnum):
    """What a path of this machine is. `LOST`: it does not exist, and its name is that of a file."""

    FOLDER = "folder"
    FILE = "file"
    SOCKET = "socket"
    DEVICE = "device"
    OTHER = "pipe"
    MISSING = "missing"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class HostPath:
    """A path of this machine. `real`: without a link at its end; `is_empty`: a folder without files.

    `unreadable`: why its content cannot be read; `made`: patterns for what tools generate in it.
    """

    real: str
    kind: Kind
    is_empty: bool = False
    unreadable: str = ""
    made: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MountedFile:
    """A file of `configs` or `secrets` in a service; `mode` is None if the Compose file does not set it.

    `source` is a path of this machine, `$NAME` for the value of a variable, or empty for the `content` of a config.
    """

    service: str
    kind: str
    name: str
    source: str
    target: str
    uid: int = 0
    gid: int = 0
    mode: int | None = None
    content: str = field(default="", repr=False)

    @property
    def is_on_disk(self) -> bool:
        """Whether it is a file of this machine."""
        return self.source.startswith("/")

    def permissions(self, of_file: int) -> int:
        """The permissions in the container; a file that this machine can execute stays executable."""
        return DEFAULT_MODE | of_file & 0o111 if self.mode is None else self.mode


@dataclass(frozen=True, slots=True)
class Remark:
    """A message about the entry of a list in the model at `path`; `advice`: what to do."""

    path: tuple[str, ...]
    entry: str
    message: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class RemoteFiles:
    """What replaces bind mounts, configs and secrets.

    `rules` are the watch rules, by service and index, that replace a mount; `mounts` has the target of that mount.
    """

    files: tuple[MountedFile, ...] = ()
    mounts: Mapping[tuple[str, int], str] = field(default_factory=dict)
    replaced: tuple[Remark, ...] = ()
    refused: tuple[Remark, ...] = ()


def sources(model: Mapping[str, Any], project: Project, names: Collection[str]) -> dict[str, str]:
    """The paths of this machine that the services mount, each with a target; without paths of every machine."""
    services = [service for service in project.services if service.name in names]
    mounts = {str(m.source): m.target for s in services for m in s.volumes if m.type == "bind" and not _is_common(m)}
    files = (file for service in services for file in mounted_files(model, service.name))
    return mounts | {file.source: file.target for file in files if file.source}


def needs_files(model: Mapping[str, Any], project: Project, names: Collection[str]) -> bool:
    """Whether a service uses a path of this machine other than by its build or a watch rule."""
    return bool(sources(model, project, names) or [*_other_remarks(model, project, names)])


def mounted_files(model: Mapping[str, Any], service: str) -> Iterator[MountedFile]:
    """The files of this machine that the service gets as configs and secrets.

    Also values, if an owner is written: Compose gives them to the user of the container.
    """
    for kind in FOLDERS:
        defined = model.get(kind) or {}
        for used in undoubled(model["services"][service].get(kind) or []):
            entry = used if isinstance(used, dict) else {"source": used}
            name, target = _key(used, kind)
            given = undoubled(defined.get(name.replace("$", "$$")) or {})
            source, content = str(given.get("file") or ""), str(given.get("content") or "")
            if not source and (entry.get("uid") or entry.get("gid")) and given.get("environment"):
                source = f"${given['environment']}"
            if source or (content and (entry.get("uid") or entry.get("gid"))):
                uid, gid = (int(entry.get(key) or 0) for key in ("uid", "gid"))
                text = "" if source else content
                yield MountedFile(service, kind, name, source, target, uid, gid, _mode(entry.get("mode")), text)


def _mode(value: object) -> int | None:
    """The permissions; a newer Compose prints them as octal text."""
    return int(value, 8) if isinstance(value, str) else None if value is None else int(str(value))


def replaced(
    model: Mapping[str, Any], project: Project, names: Collection[str], paths: Mapping[str, HostPath]
) -> tuple[Project, RemoteFiles]:
    """The project with watch rules in place of bind mounts, and what else replaces files, or is refused.

    `paths` has the facts about all `sources`.
    """
    services, files, mounts = [], list[MountedFile](), dict[tuple[str, int], str]()
    done, refused = list[Remark](), [*_other_remarks(model, project, names)]
    for service in project.services:
        if service.name in names:
            own = list(mounted_files(model, service.name))
            copied, wrong = _files(own, paths, project.directory)
            after, by_index, remarks = _with_rules(service, project, paths, {file.target for file in own})
            services.append(after)
            files += own
            mounts |= {(service.name, index): target for index, target in by_index.items()}
            done += [*(r for r in remarks if not r.advice), *copied]
            refused += [*(r for r in remarks if r.advice), *wrong]
        else:
            services.append(service)
    found = RemoteFiles(tuple(files), mounts, tuple(done), tuple(refused))
    return replace(project, services=tuple(services)), found


def without_mounts(model: Mapping[str, Any], remote: RemoteFiles) -> dict[str, Any]:
    """The resolved model without the mounts, configs and secrets that are replaced.

    A label of each service changes with the names and targets of its files, so that Compose replaces its containers.
    """
    services = dict(model["services"])
    for name in {*(service for service, _ in remote.mounts), *(file.service for file in remote.files)}:
        targets = {normal(target) for (service, _), target in remote.mounts.items() if service == name}
        files = [file for file in remote.files if file.service == name]
        services[name] = _without(services[name], targets, files)
    kept = {kind: _used(model, services, kind) for kind in FOLDERS if model.get(kind)}
    return {**model, **kept, "services": services}


def _without(service: Mapping[str, Any], targets: Collection[str], files: Collection[MountedFile]) -> dict[str, Any]:
    after = dict(service)
    after["volumes"] = [
        mount
        for mount in service.get("volumes") or ()
        if mount.get("type") != "bind" or normal(undoubled(mount["target"])) not in targets
    ]
    for kind in FOLDERS:
        copied = {(file.name, file.target) for file in files if file.kind == kind}
        after[kind] = [entry for entry in service.get(kind) or () if _key(undoubled(entry), kind) not in copied]
    for key in ("volumes", *FOLDERS):
        if not after[key]:
            del after[key]
    if files:
        listed = [(f.kind, f.name, f.target, f.uid, f.gid, f.mode) for f in files]
        digest = hashlib.sha256(repr(listed).encode()).hexdigest()[:16]
        after["labels"] = {**(service.get("labels") or {}), FILES_LABEL: digest}
    return after


def _key(entry: Any, kind: str) -> tuple[str, str]:
    """The name and the target of a config or secret in a service."""
    given = entry if isinstance(entry, dict) else {"source": entry}
    name = str(given["source"])
    return name, normal(posixpath.join(FOLDERS[kind], str(given.get("target") or name)))


def _used(model: Mapping[str, Any], services: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The configs or secrets that a container or a build still uses."""
    names = {
        undoubled(str(entry["source"] if isinstance(entry, dict) else entry))
        for service in services.values()
        for part in (service, service.get("build") or {})
        for entry in part.get(kind) or ()
    }
    return {name: value for name, value in model[kind].items() if undoubled(name) in names}


def _is_common(mount: Mount) -> bool:
    """Whether the mount means a path that each machine has."""
    source = posixpath.normpath(mount.source or "")
    return source in _COMMON_DEVICES or (is_within(source, *_OF_ENGINE) and (mount.read_only or is_system(source)))


def is_system(path: str) -> bool:
    """Whether the kernel provides the path."""
    return is_within(path, "/proc", "/sys")


def _other_remarks(model: Mapping[str, Any], project: Project, names: Collection[str]) -> Iterator[Remark]:
    """Devices of the services, and volumes that are a folder of the project."""
    for name in names:
        for device in undoubled(model["services"][name].get("devices") or []):
            source = str(device["source"] if isinstance(device, dict) else device).partition(":")[0]
            if source.startswith("/") and posixpath.normpath(source) not in _COMMON_DEVICES:
                message = f"`{name}` uses the device {source}, which is that of the engine's machine"
                yield Remark(("services", name, "devices"), source, message, _other_engine(name))
    used = {m.source for s in project.services if s.name in names for m in s.volumes if m.type == "volume"}
    for key, volume in undoubled(model.get("volumes") or {}).items():
        device = str(((volume or {}).get("driver_opts") or {}).get("device") or "")
        if key in used and is_within(device, project.directory):
            message = f"the volume `{key}` is the folder {written(device, project.directory)}"
            advice = "remove its `driver_opts`, and the engine keeps the data in a volume"
            yield Remark(("volumes", key, "driver_opts", "device"), device, message, advice)


def _files(
    files: Iterable[MountedFile], paths: Mapping[str, HostPath], folder: str
) -> tuple[list[Remark], list[Remark]]:
    """What is copied, and what cannot be copied."""
    copied, refused = [], []
    for file in files:
        if not file.is_on_disk:
            if file.source and paths[file.source].kind is Kind.LOST:
                at = (file.kind, file.name, "environment")
                message = f"the {file.kind[:-1]} `{file.name}` is the variable {file.source[1:]}, which is not set"
                refused.append(Remark(at, "", message, f"export {file.source[1:]}=..."))
            continue
        path, name, word = paths[file.source], written(file.source, folder), file.kind[:-1]
        at = ("services", file.service, file.kind)
        message = f"the {word} `{file.name}` is {name}"
        if path.kind in (Kind.MISSING, Kind.LOST):
            refused.append(Remark((file.kind, file.name, "file"), "", f"{message}, which does not exist", "write it"))
        elif path.kind not in (Kind.FILE, Kind.FOLDER):
            reason, advice = f"{message}, which is a {path.kind}", "name a file"
            refused.append(Remark((file.kind, file.name, "file"), "", reason, advice))
        elif path.unreadable:
            reason = f"{message}, which cannot be read: {path.unreadable}"
            refused.append(Remark((file.kind, file.name, "file"), "", reason, f"sudo chown $USER {name}"))
        else:
            message = f"the {word} `{file.name}` is copied into {file.service} from {name}"
            copied.append(Remark(at, file.name, message))
    return copied, refused


def _with_rules(
    service: Service, project: Project, paths: Mapping[str, HostPath], files: Collection[str]
) -> tuple[Service, dict[int, str], list[Remark]]:
    """The service with rules in place of its bind mounts, their indices with the targets, and remarks."""
    kept: list[Mount] = []
    rules, by_index, remarks = list(service.watch), dict[int, str](), list[Remark]()
    for mount in service.volumes:
        if mount.type != "bind" or _is_common(mount):
            kept.append(mount)
            continue
        path, at = paths[str(mount.source)], ("services", service.name, "volumes")
        source, name = posixpath.normpath(str(mount.source)), written(str(mount.source), project.directory)
        index = _covering(rules, source, path, mount)
        if index is None and (reason := next(_obstacles(service, mount, path, project), None)):
            kept.append(mount)
            remarks.append(Remark(at, mount.target, *reason))
            continue
        if index is None:
            index = len(rules)
            hidden = _hidden(service, mount, files)
            made = path.made if service.build is not None else ()
            rules.append(WatchRule(path.real, Action.SYNC, mount.target, ignore=(*made, *hidden)))
        rules[index] = replace(rules[index], initial_sync=True)
        by_index[index] = mount.target
        by = " by its watch rule" if index < len(service.watch) else ""
        back = "" if mount.read_only else f"; what {service.name} writes there stays there"
        message = f"{name} is synced into {service.name}{by} in place of the bind mount{back}"
        remarks.append(Remark(at, mount.target, message))
    return replace(service, volumes=tuple(kept), watch=tuple(rules)), by_index, remarks


def _covering(rules: Iterable[WatchRule], source: str, path: HostPath, mount: Mount) -> int | None:
    """The index of a rule that copies the source to the target of the mount."""
    for index, rule in enumerate(rules):
        is_same = posixpath.normpath(rule.path) in (source, path.real)
        if is_same and rule.action.syncs and normal(rule.target or "") == normal(mount.target):
            return index
    return None


def _hidden(service: Service, mount: Mount, files: Collection[str]) -> Iterator[str]:
    """Patterns for what other mounts of the service hide below the mount."""
    others = (*(other.target for other in service.volumes), *service.tmpfs, *files)
    for target in map(normal, others):
        if is_below(target, normal(mount.target)):
            yield re.sub(r"([*?\[\\])", r"\\\1", relative_to(target, normal(mount.target)) or "")


def _obstacles(service: Service, mount: Mount, path: HostPath, project: Project) -> Iterator[tuple[str, str]]:
    """Why no rule can replace the bind mount, and what to do; the first reason counts."""
    name, source = service.name, posixpath.normpath(str(mount.source))
    shown = written(source, project.directory)
    is_gone = path.kind in (Kind.LOST, Kind.MISSING)
    if path.kind is Kind.SOCKET or (source.endswith(".sock") and is_gone):
        yield f"`{name}` mounts the socket {shown}", _other_engine(name)
    if path.kind is Kind.DEVICE or is_within(source, "/dev"):
        yield f"`{name}` mounts the device {shown}", _other_engine(name)
    if path.kind is Kind.OTHER:
        yield f"`{name}` mounts {shown}, a pipe", "mount a file or a folder"
    if not is_within(path.real, project.directory):
        link = f"a link to {path.real} " if is_within(source, project.directory) else "which is "
        yield f"`{name}` mounts {shown}, {link}outside of the project", _into_project(path)
    if path.kind is Kind.LOST or (path.kind is Kind.MISSING and not (mount.creates_source or mount.read_only)):
        yield f"`{name}` mounts {shown}, which does not exist", "create it"
    if path.unreadable:
        yield f"`{name}` mounts {shown}, which cannot be read: {path.unreadable}", f"sudo chown -R $USER {shown}"
    if not mount.read_only and _is_data(service, mount, path):
        volume = re.sub(r"[^a-zA-Z0-9_.-]+", "-", posixpath.basename(source)).strip("-.") or "data"
        yield f"`{name}` writes its data into {shown}", f"use a volume: `- {volume}:{mount.target}`"


def _is_data(service: Service, mount: Mount, path: HostPath) -> bool:
    if path.kind is Kind.MISSING or path.is_empty:
        return True
    target = normal(mount.target)
    is_database = service.build is None and _DATABASE.search((service.image or "").rpartition("/")[2])
    is_known = _DATA.fullmatch(target) or (target == "/data" and is_database)
    return path.kind is Kind.FOLDER and bool(is_known)


def _into_project(path: HostPath) -> str:
    if path.kind is Kind.FILE:
        return "give it to the service as a secret or a config, with `file:`"
    return "move it into the project, or write a watch rule with `action: sync` for it"


def _other_engine(name: str) -> str:
    return f"leave {name} out, or use an engine on this machine"
