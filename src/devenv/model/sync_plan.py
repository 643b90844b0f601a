"""The operations that make containers equal to the source tree, each with its cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from devenv.lazy_dataclass import dataclass
from devenv.model.project import Hook


class Sync(NamedTuple):
    """Put the host file, link or empty folder `source` at `target` (absolute in the container).

    `root` is the path of the rule: no link between it and the source is followed. `executable`: the image made the
    file executable (`RUN chmod +x`), and it stays so.
    """

    source: str
    target: str
    folder: bool = False
    root: str = ""
    executable: bool = False


class Delete(NamedTuple):
    """Remove `target` from the container; a folder only if it is empty by then."""

    target: str
    cause: str
    directory: bool = False


@dataclass(frozen=True, slots=True)
class Exec:
    """Run `hook` in every running container of the service."""

    hook: Hook
    cause: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Restart the service's containers once."""

    cause: str


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Build the image again and replace the service's containers."""

    cause: str


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """The operations for one service, in their order: rebuild, delete, sync, exec, restart."""

    service: str
    rebuild: Rebuild | None = None
    deletes: tuple[Delete, ...] = ()
    syncs: tuple[Sync, ...] = ()
    execs: tuple[Exec, ...] = ()
    restart: Restart | None = None

    def lines(self) -> Iterator[str]:
        """The operations in their order, one line each."""
        if self.rebuild:
            yield f"{self.service} rebuild <- {self.rebuild.cause}"
        for delete in self.deletes:
            yield f"{self.service} delete {delete.target}{'/' if delete.directory else ''} <- {delete.cause}"
        for sync in self.syncs:
            yield f"{self.service} sync {sync.target} <- {sync.source}"
        for exec_ in self.execs:
            yield f"{self.service} exec {' '.join(exec_.hook.command)} <- {exec_.cause}"
        if self.restart:
            yield f"{self.service} restart <- {self.restart.cause}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The operations for all services; services are independent of each other."""

    services: tuple[ServicePlan, ...] = ()

    def __str__(self) -> str:
        return "\n".join(line for service in self.services for line in service.lines())

    def __bool__(self) -> bool:
        return bool(self.services)
