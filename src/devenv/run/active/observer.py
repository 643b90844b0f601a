"""What the services are doing, told as it changes: states, logs, containers that come and go."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace

import anyio
from anyio.abc import TaskGroup

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Log, Problem, ServiceState, Waiting
from devenv.model.containers import TELLING, Container, ProjectState
from devenv.model.project import Project
from devenv.run.active.failures import FailureReporter
from devenv.run.active.outages import EngineOutage
from devenv.run.active.phases import BAD, GOOD, Phase, Standing, held_up, optional, reminder, standings
from devenv.tasks import patiently

ENDED = (Phase.COMPLETED, Phase.EXITED)
LOOK_EVERY = 1.0
QUIET = 0.3  # seconds that a process without a health check has to last until it counts as up
LASTING = 10.0  # seconds after which an end is no longer the same one again and again
LAST_WORDS = 2.0  # seconds that the log of what ended may take to arrive
OVER_AFTER = 3.0
ASKED = (130, 143)  # exit codes of what ended by INT and TERM

OnStart = Callable[[Container], Awaitable[object]]
OnGone = Callable[[str], Awaitable[None]]
OnReturn = Callable[[tuple[Container, ...]], Awaitable[None]]


@dataclass
class Observer:
    """Looks at the project whenever the engine says that something happened, and once a second until all is well."""

    engine: Engine
    project: Project
    names: frozenset[str]
    _: KW_ONLY
    emit: Emit
    logs: bool
    on_start: OnStart
    on_gone: OnGone
    on_return: OnReturn
    reporter: Callable[[], FailureReporter]
    project_state: ProjectState = field(default_factory=ProjectState)
    stopped: set[str] = field(default_factory=set)  # services that somebody asked to stop: no failure, and not over
    _changed: anyio.Event = field(default_factory=anyio.Event)
    _moved: anyio.Event = field(default_factory=anyio.Event)
    _told: dict[str, Standing] = field(default_factory=dict)
    _served: dict[str, tuple[str, str]] = field(default_factory=dict)
    _logged: dict[tuple[str, str], anyio.Event] = field(default_factory=dict)  # set when all of it is told
    _ended: dict[str, str] = field(default_factory=dict)
    _ending: set[str] = field(default_factory=set)
    _replaced: set[str] = field(default_factory=set)
    _history: set[tuple[str, str]] = field(default_factory=set)
    _losses: EngineOutage = field(default_factory=EngineOutage)
    _begun: dict[tuple[str, str], float] = field(default_factory=dict)  # lives -> since when they are seen
    _late: dict[str, tuple[float, int]] = field(default_factory=dict)  # since when, and how often that was told
    _mourned: set[str] = field(default_factory=set)
    _looked: float = 0.0
    _is_up: bool = False

    def known(self, container: Container) -> None:
        """The container is served already, and has lasted; only a new start of it counts as a start."""
        self._served[container.id] = container.key
        self._begun[container.key] = -LASTING

    def forget(self, containers: Iterable[Container]) -> None:
        """How these have ended is history: they count as created until they are started, or all is `begun`."""
        self._history |= {c.key for c in containers if c.state in ("exited", "dead")}

    def begun(self) -> None:
        """Whatever is to be started has been: what has ended now, has ended."""
        self._history.clear()
        self._poke()

    def look_at(self, project_state: ProjectState) -> None:
        """From now on that is what is there."""
        there = (replace(c, state="created") if c.key in self._history else c for c in project_state.containers)
        self.project_state = replace(project_state, containers=tuple(there))

    def follow(self, project: Project, names: frozenset[str]) -> None:
        """From now on it is this project, and these services of it."""
        self.project, self.names = project, names
        self._told = {name: standing for name, standing in self._told.items() if name in names}

    def serve_again(self) -> None:
        """Every running container counts as just started."""
        self._served = dict.fromkeys(self._served, ("", ""))
        self._poke()

    @contextlib.contextmanager
    def ending(self, containers: Iterable[Container]) -> Iterator[None]:
        """While it lasts, it is we who end these containers: that is neither told nor a failure."""
        ids = {c.id for c in containers}
        self._ending |= ids
        self._replaced -= ids
        try:
            yield
        finally:
            self._replaced |= ids  # a look that has begun may still see them ended: the next one counts
            self._poke()

    async def run(self) -> None:
        """Observe until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen)
            while True:
                changed = self._changed
                is_sure = False
                try:
                    is_sure = await self._look(tasks)
                except CallError:  # it answers, if not as it should
                    pass
                except EngineError:
                    self._losses.lost(self.project_state.containers, anyio.current_time())
                    self._tell_moved()
                with anyio.move_on_after(30 * LOOK_EVERY if is_sure and self._settled() else LOOK_EVERY):
                    await changed.wait()

    async def until_ready(self) -> None:
        """Returns when every service is up. Raises DevenvError when one has failed for good.

        What others need only with `required: false` may fail, as it may for Compose; what somebody stopped is not
        waited for.
        """
        dispensable = optional(self.project)
        while True:
            moved = self._moved
            found = self.standings()
            failed = [s for s in found if s.phase in BAD and not self._will_try_again(s)]
            for standing in failed:
                if standing.service not in dispensable | self.stopped:
                    raise await self.failure(standing)
            rest = None
            if found and all(s.phase in GOOD or s in failed for s in found):
                rest = max(map(self._unrest, found))
                if rest <= 0:
                    self._is_up = True
                    return
            with anyio.move_on_after(rest) as lasted:
                await moved.wait()
            if lasted.cancelled_caught:
                self._poke()  # a look of now decides: on a busy machine, word of an end may be late

    async def until_over(self) -> None:
        """Returns when no service runs any more, and none has come back for a while.

        Between the stop and the start of a restart, and while Compose replaces a container, all may have ended.
        """

        async def until_back() -> None:
            while self._over():
                await self._moved.wait()

        while True:
            while not self._over():
                await self._moved.wait()
            if not await patiently(OVER_AFTER, until_back):
                return

    def _over(self) -> bool:
        found = self.standings()
        again = (
            self._losses.is_lost
            or self.stopped
            or any(c.state == "restarting" for c in self.project_state.containers)
        )
        return bool(found) and not again and all(s.phase in ENDED for s in found)

    def standings(self) -> tuple[Standing, ...]:
        """Every service as last seen; as it was before, while we end it ourselves."""
        found = standings(self.project, self.names, self.project_state) if self.project_state.containers else ()
        ended_by_us = {c.service for c in self.project_state.containers if c.id in self._ending}
        return tuple(
            self._told.get(s.service, s) if s.phase in ENDED and s.service in ended_by_us else s for s in found
        )

    async def failure(self, standing: Standing) -> DevenvError:
        """The error for a service that failed; all that its ended containers said is told by then."""
        failed = [c for c in self.project_state.of(standing.service) if c.health == "unhealthy" or c.exit_code]
        error = await self.reporter().failed(standing, failed)
        with anyio.move_on_after(LAST_WORDS):
            await self._hear_out(standing.service)
        return error

    async def late(self, timeout: float) -> DevenvError:
        """The error for not being up after `timeout` seconds."""
        found = [standing for standing in self.standings() if standing.phase not in GOOD]
        return await self.reporter().late(found, self.project_state, timeout)

    def _unrest(self, standing: Standing) -> float:
        """Seconds after the last look for which the service has to go on; none where a health check says enough."""
        if standing.phase is not Phase.STARTED:
            return 0.0
        begun = (self._begun.get(c.key, self._looked) for c in self.project_state.of(standing.service))
        return max(begun) + QUIET - self._looked

    def _will_try_again(self, standing: Standing) -> bool:
        """The engine says so itself: `restarting` ends when a policy's attempts are used up."""
        restarting = any(c.state == "restarting" for c in self.project_state.of(standing.service))
        return standing.phase is Phase.EXITED and restarting

    def _settled(self) -> bool:
        found = self.standings()
        return bool(found) and all(s.phase in GOOD for s in found)

    # --- looking ------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        has_begun = False
        async for event in self.engine.events(self.project.name):
            if not event:
                if has_begun:  # the stream has ended in between: for as long as that, nobody may have looked
                    self._losses.lost(self.project_state.containers, anyio.current_time())
                has_begun = True
            action = str(event.get("Action", "")).partition(":")[0]
            if not event or action in TELLING or action == "health_status":
                self._poke()

    async def _serve(self, container: Container) -> None:
        """In a task of its own: a container that is slow to take its files must not hide what the others do."""
        try:
            await self.on_start(container)
        except EngineError:
            self._served.pop(container.id, None)  # not served yet: the next look tries again
            await anyio.sleep(LOOK_EVERY)
            self._poke()

    async def _return(self, fallen: tuple[Container, ...]) -> None:
        await self.on_return(fallen)

    def _poke(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _look(self, tasks: TaskGroup) -> bool:
        """Whether no container was missing: one answer can be wrong, and is worth another look."""
        replaced, self._looked = set(self._replaced), anyio.current_time()
        self.look_at(await self.engine.project_state(self.project.name))
        replaced &= self._replaced
        self._ending -= replaced
        self._replaced -= replaced
        mine = [c for c in self.project_state.containers if c.service in self.names]
        self.stopped -= {c.service for c in mine if c.running and c.id not in self._ending}
        if fallen := self._losses.seen([c for c in mine if c.ours], anyio.current_time()):
            self._ending |= {c.id for c in fallen}
            tasks.start_soon(self._return, fallen)
        for container in mine:
            await self._meet(container, tasks)
        missing = set(self._served) - {c.id for c in self.project_state.containers}
        for gone in missing:
            del self._served[gone]
            await self.on_gone(gone)
        for standing in self.standings():
            if self._told.get(standing.service) != standing:
                self._told[standing.service] = standing
                self.emit(ServiceState(standing.service, standing.phase.value, standing.detail))
                if standing.phase is Phase.EXITED and self._is_news(standing):
                    tasks.start_soon(self._mourn, standing)
            self._remind(standing, tasks)
        self._tell_moved()
        return not missing

    def _tell_moved(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    def _is_news(self, standing: Standing) -> bool:
        """Whether the end of a service is a problem that nothing else tells of, and not the last one once more."""
        now = anyio.current_time()
        unasked = [c for c in self.project_state.of(standing.service) if c.exit_code not in (0, *ASKED)]
        lasted = max((now - self._begun.get(c.key, now) for c in unasked), default=0.0)
        is_new = standing.service not in self._mourned or lasted >= LASTING
        unasked = [] if standing.service in self.stopped else unasked
        return bool(unasked) and is_new and (self._is_up or standing.service in optional(self.project))

    async def _mourn(self, standing: Standing) -> None:
        self._mourned.add(standing.service)
        error = await self.failure(standing)
        said = error.said.replace(f"service {standing.service} failed: ", "", 1)
        self.emit(Problem(said, error.hint, standing.service))

    def _remind(self, standing: Standing, tasks: TaskGroup) -> None:
        """Who is not up, and waits for nobody else, is told of in growing distances."""
        now = anyio.current_time()
        if standing.phase in GOOD and self._unrest(standing) <= 0:
            self._late.pop(standing.service, None)
        elif standing.phase is Phase.STARTING or self._will_try_again(standing):
            since, told = self._late.setdefault(standing.service, (now, 0))
            if now - since >= reminder(told):
                self._late[standing.service] = since, told + 1
                tasks.start_soon(self._tell_wait, standing, now - since)

    async def _tell_wait(self, standing: Standing, seconds: float) -> None:
        lines, check = [""], ""
        for container in self.project_state.of(standing.service):
            lines += [line async for _, line in self.engine.containers.logs(container, tail="1", follow=False)]
            if container.health == "starting":
                check = (await self.engine.containers.health_output(container.id)).rpartition("\n")[2]
        others = held_up(self.project, self.standings()).get(standing.service, ())
        detail = f"ended with {standing.detail}" if standing.phase is Phase.EXITED else standing.detail
        self.emit(Waiting(standing.service, detail, round(seconds, 1), others, lines[-1], check))

    async def _meet(self, container: Container, tasks: TaskGroup) -> None:
        if container.state == "created":
            return
        if self.logs and container.key not in self._logged:
            self._logged[container.key] = anyio.Event()
            tasks.start_soon(self._follow, container, self._end_of_last_life(container))
        if container.state == "paused":
            self._served.pop(container.id, None)  # when it goes on, it is looked at as if it began
        if not container.running:
            self._ended[container.id] = container.finished_at
        self._begun.setdefault(container.key, anyio.current_time())
        if container.running and self._served.get(container.id) != container.key:
            self._served[container.id] = container.key
            tasks.start_soon(self._serve, container)

    def _end_of_last_life(self, container: Container) -> str:
        """When the process before this one ended. Nothing where it is the first, or the first that we see.

        StartedAt would be too late: what a process prints at once is older than it, and so is its end, if it ends
        at once.
        """
        if container.running and _seconds(container.finished_at) < _seconds(container.started_at):
            return container.finished_at
        return self._ended.get(container.id, "")

    async def _hear_out(self, service: str) -> None:
        """All that the service's ended containers said is told: a run that ends because of them waits for it."""
        for container in self.project_state.of(service):
            if self.logs and not container.running:
                if container.key not in self._logged:
                    self._logged[container.key] = anyio.Event()
                    await self._follow(container, self._end_of_last_life(container))
                await self._logged[container.key].wait()

    async def _follow(self, container: Container, since: str) -> None:
        async for stream, line in self.engine.containers.logs(container, since=_timestamp(since)):
            self.emit(Log(container.service, line, stream))
        self._logged[container.key].set()


def _seconds(timestamp: str) -> float:
    return float(_timestamp(timestamp) or 0)


def _timestamp(timestamp: str) -> str:
    """The engine's RFC 3339 time as `since` takes it: Unix seconds; empty for what never happened."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", timestamp)
    if found is None or timestamp.startswith("0001"):
        return ""
    return f"{dt.datetime.fromisoformat(f'{found[1]}+00:00').timestamp():.0f}{found[2] or ''}"
