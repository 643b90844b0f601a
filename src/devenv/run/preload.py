"""The options of `devenv up`; and its start, which imports modules while Compose reads the project."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import PortChange
from devenv.docker import context, endpoint
from devenv.docker.cli import Compose, EarlyCommand
from devenv.errors import DevenvError
from devenv.events import Emit
from devenv.lazy_dataclass import dataclass
from devenv.model.images import ImageOptions
from devenv.model.project import Project, RuleFault
from devenv.tasks import task_group

if TYPE_CHECKING:
    from devenv.remote.line import Login


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of the command line; `ahead` and `login` return the project and the engine if work has begun.

    `early`: by verb, the commands that run already, once the project is known.
    """

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
    login: Callable[[], Awaitable[Any]] | None = None  # a `Login`, whose module is rarely needed
    early: Mapping[str, EarlyCommand] = field(default_factory=dict)


def _faults(project: Project, home: str) -> Iterable[RuleFault]:
    from devenv.sync.rules.lint import faults  # noqa: PLC0415 - imported while Compose reads the project

    return faults(project, home)


def _modules() -> ModuleType:
    """Import the modules that `up` needs, and those that `load` needs after Compose has answered."""
    importlib.import_module("devenv.compose.safety.findings")
    return importlib.import_module("devenv.run.up")


async def _begin_login(stack: contextlib.ExitStack) -> Login | None:
    """Begin to log in to the engine's machine until the stack closes; None if that is not needed, or impossible."""
    host = os.environ.get("DOCKER_HOST", "")
    if not (host.startswith("ssh://") or (not host and context.current())):
        return None
    from devenv.remote import forwards, line  # noqa: PLC0415 - rarely needed, and `up` is being imported

    with contextlib.suppress(DevenvError, OSError):  # `up` raises the error, after those of the project
        reached = await endpoint.resolve()
        begun = stack.enter_context(line.begun(reached))
        if begun is not None:
            begun.begin_to_ask(forwards.FIND_LISTENERS)  # for the check of the ports
        return reached, begun
    return None


async def up(options: UpOptions, emit: Emit, *more: Any) -> int:
    """Run `run.up.up`, and import its module in a thread while Compose reads the project and ssh logs in."""
    loaded, is_over = list[Loaded | DevenvError](), anyio.Event()
    is_known = anyio.Event()
    logins: list[Login | None] = []
    early = dict[str, EarlyCommand]()

    def begin_commands(project: str, directory: str, is_built: bool) -> None:
        if context.socket_path() is None:  # they need the line to the engine
            return
        for verb in ("build", "create") if options.build and is_built else ("create",):
            early[verb] = Compose(project, directory, b"").early(verb)
            tasks.start_soon(early[verb].run)

    async def load() -> None:
        try:
            loaded.append(await resolve.load(options.selection, faults=_faults, on_named=begin_commands))
        except DevenvError as error:
            loaded.append(error)
        is_over.set()

    async def ahead() -> Loaded:
        await is_over.wait()
        if isinstance(loaded[0], DevenvError):
            raise loaded[0]
        return loaded[0]

    async def log_in() -> None:
        logins.append(await _begin_login(stack))
        is_known.set()

    async def login() -> Login | None:
        await is_known.wait()
        return logins[0]

    with contextlib.ExitStack() as stack:
        async with task_group() as tasks:
            tasks.start_soon(log_in)
            tasks.start_soon(load)
            module = await anyio.to_thread.run_sync(_modules)
            code: int = await module.up(replace(options, ahead=ahead, login=login, early=early), emit, *more)
            tasks.cancel_scope.cancel()
    return code
