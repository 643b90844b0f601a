"""A Compose project: frozen values, named as in the Compose specification."""

from __future__ import annotations

import os
import shlex
from dataclasses import field
from enum import StrEnum

from devenv.lazy_dataclass import dataclass
from devenv.paths import is_within, written


class Action(StrEnum):
    """What a rule of `develop.watch` does (Compose Develop Specification, `action`)."""

    SYNC = "sync"
    REBUILD = "rebuild"
    RESTART = "restart"
    SYNC_RESTART = "sync+restart"
    SYNC_EXEC = "sync+exec"

    @property
    def syncs(self) -> bool:
        """Whether files are copied into the container."""
        return self in (Action.SYNC, Action.SYNC_RESTART, Action.SYNC_EXEC)


class Condition(StrEnum):
    """The state that a dependency must reach (`depends_on.condition`)."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class Moment(StrEnum):
    """When a command of `x-devenv.hooks` runs."""

    BEFORE_UP = "before_up"
    AFTER_HEALTHY = "after_healthy"
    BEFORE_DOWN = "before_down"


@dataclass(frozen=True, slots=True)
class Hook:
    """A command to run in a container (`exec` of a sync+exec rule), or on the host."""

    command: tuple[str, ...]
    user: str | None = None
    working_dir: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    privileged: bool = False


SHELL = ("sh", "-c")


@dataclass(frozen=True, slots=True)
class ProjectHook:
    """One command of `x-devenv.hooks`, on the host if `service` is None; `where` is its `file:line`."""

    moment: Moment
    hook: Hook
    service: str | None = None
    where: str = ""

    @property
    def typed(self) -> str:
        """The command as typed in a shell."""
        command = self.hook.command
        if self.service is not None:
            return f"devenv exec {self.service} {shlex.join(command)}"
        return command[2] if command[:2] == SHELL else shlex.join(command)


@dataclass(frozen=True, slots=True)
class WatchRule:
    """An entry of `develop.watch`."""

    path: str  # absolute, on the host
    action: Action
    target: str | None = None  # as written: a trailing slash still means "into"
    ignore: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    initial_sync: bool = False
    exec: Hook | None = None


@dataclass(frozen=True, slots=True)
class RuleFault:
    """A mistake in a service's rule, counted from 0; `level` is error, refused (unsafe) or warning.

    `is_of_mount`: it is none if the engine does not have the files of this machine.
    """

    service: str
    index: int
    message: str
    hint: str
    level: str = "error"
    is_of_mount: bool = False


@dataclass(frozen=True, slots=True)
class Build:
    """The build section; `context` absolute, `dockerfile` relative to it unless absolute."""

    context: str
    dockerfile: str = "Dockerfile"
    dockerfile_inline: str | None = None
    target: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    additional_contexts: tuple[tuple[str, str], ...] = ()
    platforms: tuple[str, ...] = ()
    pull: bool = False  # whether base images are pulled again

    @property
    def path(self) -> str:
        """The absolute path of the Dockerfile."""
        return os.path.normpath(os.path.join(self.context, self.dockerfile))

    @property
    def dockerignores(self) -> tuple[str, str]:
        """The files that may list what the build excludes; the first that exists counts (Dockerfile reference)."""
        names = (f"{self.dockerfile}.dockerignore", ".dockerignore")
        return os.path.join(self.context, names[0]), os.path.join(self.context, names[1])


@dataclass(frozen=True, slots=True)
class Dependency:
    """An entry of `depends_on`."""

    service: str
    condition: Condition = Condition.STARTED
    required: bool = True
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """A published port; `published` is None if the engine chooses, a range as written."""

    target: int
    published: str | None = None
    host_ip: str | None = None
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Mount:
    """An entry of `volumes`: `type` is bind, volume, tmpfs, ...; `target` is the path in the container."""

    type: str
    target: str
    source: str | None = None
    read_only: bool = False
    creates_source: bool = False  # the engine creates a missing source, always as a folder


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the resolved model."""

    name: str
    image: str | None = None
    build: Build | None = None
    platform: str | None = None
    pull_policy: str | None = None
    depends_on: tuple[Dependency, ...] = ()
    ports: tuple[Port, ...] = ()
    volumes: tuple[Mount, ...] = ()
    watch: tuple[WatchRule, ...] = ()
    tmpfs: tuple[str, ...] = ()
    read_only: bool = False
    has_healthcheck: bool = False
    restart: str | None = None
    scale: int = 1
    pre_start: tuple[str, ...] = ()  # images of the containers that run before the service starts


@dataclass(frozen=True, slots=True)
class Resource:
    """A network or a volume: its key in the file, its real name, and whether it is external."""

    key: str
    name: str
    external: bool = False
    elsewhere: bool = False  # as in `containers.Volume`


@dataclass(frozen=True, slots=True)
class Settings:
    """The top-level `x-devenv` block."""

    ports: str = ""  # as-written, auto, or the default
    keep: tuple[str, ...] = ()  # keys of volumes
    seed: str = ""  # name or file of a snapshot
    initial_sync_spec: bool = False
    deletes_recreate: bool = False
    mirrors: tuple[str, ...] = ()  # registries to ask for images, as written


@dataclass(frozen=True, slots=True)
class Project:
    """A project: its folder, its files, and their content."""

    name: str
    directory: str
    files: tuple[str, ...]
    services: tuple[Service, ...]
    networks: tuple[Resource, ...] = ()
    volumes: tuple[Resource, ...] = ()
    settings: Settings = field(default_factory=Settings)
    hooks: tuple[ProjectHook, ...] = ()

    def service(self, name: str) -> Service:
        """The service of that name. Raises KeyError."""
        return {service.name: service for service in self.services}[name]

    def bind_mounts(self, service: Service) -> list[str]:
        """The bind mounts of the project's own folders and files in a service, as people write them."""
        mounts = (mount for mount in service.volumes if mount.type == "bind")
        return [self.written(mount) for mount in mounts if is_within(mount.source or "", self.directory)]

    def written(self, mount: Mount) -> str:
        """A bind mount as people write it."""
        return f"{written(mount.source or '', self.directory)}:{mount.target}"
