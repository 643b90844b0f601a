"""Wait until every save is in the containers and what followed has ended; then prove that the services work."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

import anyio

from devenv.docker.client import Engine
from devenv.errors import EngineError, unknown
from devenv.events import Emit, Event, Executed, Problem, Rebuilt, Restarted, Synced
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container
from devenv.model.settled import (
    Effect,
    Facts,
    Proof,
    Settled,
    SettledService,
    Verdict,
    failed,
    reload_shown,
    synced,
    verdict,
)
from devenv.model.status import Phase, Standing
from devenv.run.urls import addresses
from devenv.tasks import task_group

if TYPE_CHECKING:
    from devenv.run.active.project import ActiveProject
    from devenv.run.active.reload import Reload

PAUSES = (0.002, 0.02)  # the shortest and the longest between two looks; a long wait has long ones
AGAIN = 0.2  # seconds between two checks that fail


class Effects:
    """The last effect on each service, from the events of a run."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._effects: dict[str, Effect] = {}

    def of(self, service: str) -> Effect:
        """The last effect on the service."""
        return self._effects.get(service, Effect())

    def emit(self, event: Event) -> None:
        """Record the event, and pass it on."""
        now = anyio.current_time()
        match event:
            case Synced(service=service):
                self._effects[service] = replace(self.of(service), kind="synced", at=now)
            case Executed(service=service, command=command, exit_code=code):
                failure = f"`{command}` ended with exit code {code}" if code else ""
                self._effects[service] = Effect("restarted", now, failure, now)
            case Rebuilt(service=service) | Restarted(service=service):
                self._effects[service] = Effect("restarted", now)
            case Problem(service=str(service), message=message, path=None):
                self._effects[service] = replace(self.of(service), failure=message, failed_at=now)
        self._emit(event)


@dataclass
class Settling:
    """One request: all saves before it count. `expected` are the URLs that answered when the project was up."""

    project: ActiveProject
    effects: Effects
    reload: Reload | None
    expected: Collection[str]
    began: float = field(default_factory=anyio.current_time)
    _proofs: dict[str, Proof] = field(default_factory=dict)
    _checking: set[str] = field(default_factory=set)

    async def settle(self, services: Sequence[str], timeout: float, *, only_synced: bool) -> Settled:
        """Wait at most `timeout` seconds; return when all services have settled, or when the first has failed.

        Without names, all chosen services count. `only_synced`: return once the saves are in the containers. Raises
        UsageError if there is no such service.
        """
        names = services or sorted(self.project.desired.names)
        for name in names:
            if name not in self.project.desired.names:
                raise unknown("service", name, sorted(self.project.desired.names))
        verdicts: dict[str, Verdict] = dict.fromkeys(names, Verdict(waits="changes of the project's files"))
        with anyio.move_on_after(timeout):
            if self.reload is not None and (error := await self.reload.in_force()):
                verdicts = dict.fromkeys(names, Verdict(failure=error, is_logged=False))
            else:
                await self.project.sync_session.catch_up()
                await self._until_settled(verdicts, only_synced=only_synced)
        return self._answer(verdicts, timeout)

    async def _until_settled(self, verdicts: dict[str, Verdict], *, only_synced: bool) -> None:
        async with task_group() as tasks:
            while True:
                now = anyio.current_time()
                for name in tuple(verdicts):
                    verdicts[name] = found = (synced if only_synced else verdict)(self._facts(name), now)
                    if found.needs == "look":
                        self.project.observer.view.look_again.send()
                    elif found.needs == "proof" and name not in self._checking:
                        self._checking.add(name)
                        tasks.start_soon(self._prove, name)
                if any(v.failure for v in verdicts.values()) or all(v.state for v in verdicts.values()):
                    tasks.cancel_scope.cancel()
                    return
                await anyio.sleep(min(max(PAUSES[0], (now - self.began) / 20), PAUSES[1]))

    def _facts(self, name: str) -> Facts:
        project, observer = self.project, self.project.observer
        standing = next((s for s in observer.standings() if s.service == name), None)
        running = [c for c in observer.project_state.of(name) if c.running]
        starts = (observer.view.watch.since(c, self.began) for c in running)
        effect = self.effects.of(name).started(max(starts, default=-math.inf))
        code = observer.logs.code.of(name).at(anyio.current_time())
        error = code.error
        reload, is_reloader = reload_shown(observer.logs.recent[name], effect.at), name in observer.logs.reloaders
        problem, is_busy = project.sync_session.progress(name, running)
        return Facts(
            standing=standing or Standing(name, Phase.ABSENT),
            effect=effect,
            seen=observer.view.looked_at,
            is_busy=is_busy or project.actions.is_at_work(name),
            problem=problem,
            error=error.text if error else "",
            error_at=code.error_at,
            reload=reload,
            is_reloader=is_reloader,
            proof=self._proofs.get(name, Proof()),
        )

    async def _prove(self, name: str) -> None:
        try:
            if self._proofs.get(name, Proof()).failure:
                await anyio.sleep(AGAIN)
            began = anyio.current_time()
            containers = [c for c in self.project.observer.project_state.of(name) if c.running]
            failure, is_possible = await self._checked(containers)
            self._proofs[name] = Proof(began, failure, is_possible)
        finally:
            self._checking.discard(name)

    async def _checked(self, containers: Sequence[Container]) -> tuple[str, bool]:
        """Why a check of the containers fails, and whether there is a check."""
        engine = self.project.engine
        is_possible = False
        for container in containers:
            try:
                if (test := await engine.containers.health_test(container.id)) is not None:
                    is_possible = True
                    if failure := await _tested(engine, container, *test):
                        return failure, True
            except EngineError as error:
                return error.message, True
        if is_possible:
            return "", True
        published = await addresses(containers, engine.endpoint)
        urls = {url for c in containers for url in self.project.urls(c.service)}
        silent = urls.intersection(self.expected) - {*published.urls}
        if failing := [*published.failing, *sorted(silent)]:
            return f"no answer from {failing[0]}", True
        return "", bool(published.urls)

    def _answer(self, verdicts: Mapping[str, Verdict], timeout: float) -> Settled:
        services = []
        is_settled = all(v.state for v in verdicts.values())
        has_failed = any(v.failure for v in verdicts.values())
        for name, found in verdicts.items():
            lines, since = self.project.observer.logs.recent[name], self.effects.of(name).at
            if found.failure:
                services.append(failed(name, found, lines, since))
            elif found.state or has_failed:
                services.append(SettledService(name, found.state or "waiting"))
            else:
                late = Verdict(failure=f"not settled after {timeout:g} s: {found.waits}")
                services.append(failed(name, late, lines, since))
        seconds = round(anyio.current_time() - self.began, 3)
        return Settled(is_settled, seconds, tuple(services))


async def _tested(engine: Engine, container: Container, argv: Sequence[str], limit: float) -> str:
    """Why the health check of the container fails; empty if it succeeds."""
    code, output = await engine.exec.run(container.id, argv, timeout=limit)
    lines = output.strip().splitlines()
    return (lines[-1] if lines else f"exit code {code}") if code else ""
