"""Patches that connect devenv to a machine in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest

from devenv.compose import resolve
from devenv.compose.outline import Outline, Selection, sketched
from devenv.compose.resolve import Loaded
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.context import DEFAULT_SOCKET
from devenv.docker.endpoint import Endpoint, unreachable
from devenv.host import limits as host_facts
from devenv.run import background, desired, steps, up
from devenv.run.active.observe import view
from devenv.run.cleanup import down, teardown
from devenv.state.run_dir import Run
from support.memory.client import MemoryEngine
from support.memory.clock import in_place
from support.memory.command import CURRENT, Guard
from support.memory.compose import MemoryCompose

if TYPE_CHECKING:
    from support.memory.machine import Machine


@contextlib.contextmanager
def installed(machine: Machine) -> Iterator[Machine]:
    """Let commands in this process run on the machine, and engines use its clock, for the block."""
    ways = _Ways(machine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(machine.state.parent))
        patch.setenv("XDG_CONFIG_HOME", str(machine.folder / "config"))
        patch.setenv("DOCKER_HOST", "")
        patch.delenv("DOCKER_CONTEXT", raising=False)
        patch.setattr(Engine, "connect", ways.connect)
        patch.setattr(desired, "Compose", ways.compose)
        patch.setattr(up, "Compose", ways.compose)
        patch.setattr(steps, "Guardian", ways.guardian)
        patch.setattr(background, "start", lambda *_: None)
        patch.setattr(resolve, "load", ways.load)
        patch.setattr(down, "sketched", ways.sketched)
        patch.setattr(process, "record_children", lambda _: None)
        patch.setattr(process, "end_recorded", ways.end_recorded)
        patch.setattr(host_facts, "machine", lambda _: {})
        patch.setattr(view, "STEADY", 0.0)
        patch.setattr(teardown, "SWEEP_PAUSE", 0.0)
        patch.setattr(anyio.to_thread, "run_sync", in_place)
        for call in ("fsync", "fdatasync"):  # a disk is slow, and only this process may be cut off
            patch.setattr(os, call, lambda _: None, raising=False)
        machine.clock.jumped = [ways.advance]
        yield machine


@dataclass(frozen=True, slots=True)
class _Ways:
    machine: Machine

    def advance(self, seconds: float) -> None:
        for host in {id(host): host for host in self.machine.engines.values()}.values():
            host.advance(seconds)

    @contextlib.asynccontextmanager
    async def connect(self, endpoint: Endpoint | None = None, **_: bool) -> AsyncIterator[MemoryEngine]:
        if endpoint is None or endpoint.host == DEFAULT_SOCKET:  # the default of `resolve`
            endpoint = Endpoint(self.machine.address)
        if endpoint.host not in self.machine.engines:
            raise unreachable(endpoint, "connection refused")
        async with MemoryEngine.on(self.machine.engines[endpoint.host], endpoint, CURRENT.get().faults) as engine:
            yield engine

    def compose(self, project: str, directory: str, text: bytes, given: Any = None) -> MemoryCompose:
        return MemoryCompose(project, directory, text, given or {}, home=CURRENT.get().home(self.machine.host))

    def guardian(self, endpoint: str, context: str | None, run: Run, _terminal: str = "") -> Guard:
        guard = Guard(Endpoint(endpoint, context), run)
        CURRENT.get().guard = guard
        return guard

    async def end_recorded(self, path: str, *_: Any) -> None:
        for command in self.machine.commands:
            if command.faults.is_dead and command.guard is not None and command.guard.run.children == path:
                for home in command.homes.values():
                    home.left.clear()

    def sketched(self, selection: Selection) -> Outline:
        site = self.machine.sites.get(os.path.realpath(selection.directory))
        if site is None:
            return sketched(selection)
        has_hooks = "hooks" in site.model.get("x-devenv", {})
        return Outline(selection.project_name or site.name, has_hooks=has_hooks)

    async def load(self, selection: Selection, **_: Any) -> Loaded:
        return self.machine.sites[os.path.realpath(selection.directory)].loaded(selection)
