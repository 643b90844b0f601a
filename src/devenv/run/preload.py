"""The options of `devenv up`; and its start, which imports modules while Compose reads the project."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import field, replace
from types import ModuleType
from typing import Any

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import PortChange
from devenv.errors import DevenvError
from devenv.events import Emit
from devenv.lazy_dataclass import dataclass
from devenv.model.images import ImageOptions
from devenv.model.project import Project, RuleFault
from devenv.tasks import task_group


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of the command line; `ahead` returns the project if loading has begun already."""

    selection: Selection
    detach: bool = False
    watch: bool = True
    watcher: str = "auto"
    logs: bool = True
    build: bool = True
    keep: bool = False
    keep_volumes: bool = False
    snapshot: bool = False  # save also the volumes that would stay for the next run
    fresh: bool = False
    source: str = ""  # a snapshot by id or name, a project, or `main`
    ports: tuple[PortChange, ...] = ()
    auto_ports: bool = False
    lan: bool = False
    timeout: float = 300.0  # seconds until all services are healthy
    open: bool = False
    images: ImageOptions = field(default_factory=ImageOptions)
    timings: bool = False
    trust: bool = False
    ahead: Callable[[], Awaitable[Loaded]] | None = None


def _faults(project: Project, home: str) -> Iterable[RuleFault]:
    from devenv.sync.rules.lint import faults  # noqa: PLC0415 - imported while Compose reads the project

    return faults(project, home)


def _modules() -> ModuleType:
    """Import the modules that `up` needs, and those that `load` needs after Compose has answered."""
    importlib.import_module("devenv.compose.safety.findings")
    return importlib.import_module("devenv.run.up")


async def up(options: UpOptions, emit: Emit, *more: Any) -> int:
    """Run `run.up.up`, and import its module in a thread while Compose reads the project."""
    loaded, is_over = list[Loaded | DevenvError](), anyio.Event()

    async def load() -> None:
        try:
            loaded.append(await resolve.load(options.selection, faults=_faults))
        except DevenvError as error:
            loaded.append(error)
        is_over.set()

    async def ahead() -> Loaded:
        await is_over.wait()
        if isinstance(loaded[0], DevenvError):
            raise loaded[0]
        return loaded[0]

    async with task_group() as tasks:
        tasks.start_soon(load)
        module = await anyio.to_thread.run_sync(_modules)
        code: int = await module.up(replace(options, ahead=ahead), emit, *more)
        tasks.cancel_scope.cancel()
    return code
