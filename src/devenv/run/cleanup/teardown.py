"""The one place that ends things: by ledger, dependents first, looked at again afterwards."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError, StateError
from devenv.events import Emit, Kept, Notice, Problem, Removed, Stopped, Stopping
from devenv.model.containers import Container, Network, ProjectState
from devenv.run.active.phases import stop_after
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.state.identity import Content, Verdict
from devenv.state.ledger import Judged, Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.tasks import each
from devenv.volumes.transfer import VolumeTransfer, volume_transfer

SWEEP_PAUSE = 0.3
SWEEPS = 20
STUCK_SWEEPS = 3
CUT_OFF_SWEEPS = 4  # quiet ones, where somebody died or was cut off in the middle of a create
NETWORK_TRIES = 10
IN_USE = "something that is not ours uses it"
NOT_CREATED = "devenv did not create it, though its labels say so"
ANOTHER = "devenv created an earlier volume of that name, not this one"
MOVED = "all volumes of the engine have new times: its data folder was moved; names are trusted"
REMOVE = {"container": "docker rm -f -v {}", "network": "docker network rm {}", "volume": "docker volume rm {}"}
AGAIN = "devenv down   (saves and removes it)"  # what a survivor holds may be the only copy


@dataclass
class Teardown:
    """The way down of one run; `hurry` set at any time turns graceful stops into kills."""

    engine: Engine
    run: Run
    ledger: Ledger
    emit: Emit
    volume_transfer: VolumeTransfer
    wish: VolumePolicy = VolumePolicy.SAVE
    quiet_sweeps: int = 1
    hurry: anyio.Event = field(default_factory=anyio.Event)
    _removed: set[tuple[str, str]] = field(default_factory=set)
    _saved: dict[str, int] = field(default_factory=dict)
    _users: dict[str, Container] = field(default_factory=dict)
    _theirs: set[str] = field(default_factory=set)  # names of containers of the project that are not ours
    _taken: set[str] = field(default_factory=set)  # names of volumes that those use
    _trouble: dict[str, str] = field(default_factory=dict)
    _commands: dict[str, str] = field(default_factory=dict)
    _is_moved: bool = False

    def __post_init__(self) -> None:
        self._logs = KeptLogs(self.run.path)

    async def run_down(self, reason: str, seen: ProjectState | None = None) -> Stopped:
        """Everything that the ledger names gone, and looked for again; what is left is a survivor.

        `seen` is what was there a moment ago: whoever pressed Ctrl-C waits for no look until it is answered.
        """
        began = time.monotonic()
        count = len(self.ledger.containers(seen)) if seen else 0
        if count:
            self.emit(Stopping(reason, count))
        project_state = await self.engine.project_state(self.ledger.project)
        if not count:
            self.emit(Stopping(reason, len(self.ledger.containers(project_state))))
        project_state = await self._until_quiet(project_state)
        await self._volumes(project_state)
        project_state = await self.engine.project_state(self.ledger.project)
        survivors = self._survivors(project_state)
        for name in survivors:
            kind, _, its = name.partition(" ")
            command = self._commands.get(name, AGAIN if kind == "volume" else REMOVE[kind].format(its))
            self.emit(Problem(f"{name} is left: {self._trouble.get(name, 'still there')}", command))
        for container in project_state.containers:
            if container.owner == self.run.made.owner and not container.ours:
                self.emit(Kept("container", container.name, NOT_CREATED, f"docker rm -f {container.name}"))
        if survivors:
            self._write(replace(self.ledger, phase="left"))
        else:
            self.run.clear()
        counts = Counter(kind for kind, _ in sorted(self._removed))
        stopped = Stopped(tuple(survivors), time.monotonic() - began, dict(counts), self._saved)
        self.emit(stopped)
        return stopped

    async def _until_quiet(self, project_state: ProjectState) -> ProjectState:
        """Sweep until nothing of ours was there for `quiet_sweeps` looks in a row.

        A create that was under way when the run died can land after the first look. What three sweeps could
        not remove stays.
        """
        quiet = stuck = 0
        seen: set[str] = set()
        for _ in range(SWEEPS):
            containers, networks = self.ledger.containers(project_state), self.ledger.networks(project_state)
            others = [c for c in project_state.containers if c not in containers]
            self._theirs, self._taken = {c.name for c in others}, {name for c in others for name in c.volumes}
            there = {c.id for c in containers} | {n.id for n in networks}
            quiet = 0 if there else quiet + 1
            stuck = stuck + 1 if there and there == seen else 0
            if quiet >= self.quiet_sweeps or stuck >= STUCK_SWEEPS:
                break
            if quiet or stuck:
                await anyio.sleep(SWEEP_PAUSE)
            seen = there
            self._users |= {c.id: c for c in containers}
            self._note(containers)
            await self._containers(containers)
            await each(self._network, networks)
            project_state = await self.engine.project_state(self.ledger.project)
        return project_state

    def _note(self, containers: Iterable[Container]) -> None:
        """Before a container goes, it is on disk which anonymous volumes it has."""
        noted = self.ledger.noting(containers)
        if noted != self.ledger:
            self.ledger = noted
            self._write(noted)

    async def _containers(self, containers: Sequence[Container]) -> None:
        """All of them ended, each as soon as those that need it have stopped."""
        after, stopped = stop_after(containers), {c.id: anyio.Event() for c in containers}

        async def end(container: Container) -> None:
            for user in after[container.id]:
                await stopped[user].wait()
            if container.state not in ("created", "exited", "dead"):
                await self._stop(container)
            stopped[container.id].set()
            await self._unhurried(lambda: self._logs.keep(self.engine, container, self.ledger.began))
            await self._remove(container)

        await each(end, containers)

    async def _remove(self, container: Container) -> None:
        name = f"container {container.name}"
        try:
            await self.engine.containers.remove(container.id)
            self._gone("container", container.name)
        except EngineError as error:
            self._trouble[name] = _reason(error)

    async def _stop(self, container: Container) -> None:
        """Stopped by its own grace period; where that fails or takes too long for a hurry, the removal kills."""
        with contextlib.suppress(EngineError):
            await self._unhurried(lambda: self.engine.containers.stop(container))

    async def _unhurried(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Whether the work came to its end before somebody was in a hurry."""
        is_done, failure = False, None
        async with anyio.create_task_group() as tasks:

            async def hurried() -> None:
                await self.hurry.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(hurried)
            try:  # inside the group, which would wrap what is raised
                if not self.hurry.is_set():
                    await work()
                    is_done = True
            except (DevenvError, OSError) as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return is_done

    async def _network(self, network: Network) -> None:
        name = f"network {network.name}"
        for _ in range(1 if name in self._trouble else NETWORK_TRIES):
            try:
                await self.engine.networks.remove(network.id)
            except EngineError as error:
                self._trouble[name] = reason = _reason(error)
            else:
                self._gone("network", network.name)
                return
            if "active endpoints" not in reason:
                return
            await anyio.sleep(0.1)
        users: tuple[str, ...] = ()
        with contextlib.suppress(EngineError):
            users = await self.engine.networks.users(network.id)
        if not self._theirs.isdisjoint(users):  # plain Compose has taken the project over: so it is its own now
            self.emit(Kept("network", network.name, IN_USE, REMOVE["network"].format(network.name)))
            with contextlib.suppress(StateError, OSError):  # a full disk: the next command looks again
                self.run.made.forget(network.id)
        elif users:
            apart = [f"docker network disconnect -f {network.name} {user}" for user in users]
            self._trouble[name] = f"{', '.join(users)} {'uses' if len(users) == 1 else 'use'} it"
            self._commands[name] = "; ".join([*apart, REMOVE["network"].format(network.name)])

    async def _volumes(self, project_state: ProjectState) -> None:
        await each(self._volume, await self._judged(project_state))
        for name in self.ledger.anonymous:
            with contextlib.suppress(CallError):  # in use: it is somebody else's, too
                await self.engine.volumes.remove(name)

    async def _judged(self, project_state: ProjectState) -> list[Judged]:
        """The volumes of recorded names; if one is not the recorded one, all volumes of the engine are compared."""
        held = {name for user in self._users.values() for name in user.volumes}
        judged = self.ledger.judged(project_state, held)
        if any(one.verdict is Verdict.OTHER for one in judged):
            judged = self.ledger.judged(project_state, held, await self.engine.volumes.times())
        if any(one.verdict is Verdict.MOVED for one in judged) and not self._is_moved:
            self._is_moved = True
            self.emit(Notice(MOVED))
        return judged

    async def _volume(self, one: Judged) -> None:
        """Gone, once its content is safe; if it cannot be made safe, it stays and is left."""
        volume, name = one.volume, f"volume {one.volume.name}"
        if one.verdict is Verdict.OTHER or self.wish is VolumePolicy.KEEP or one.record.is_kept:
            ours = "x-devenv.keep" if one.record.is_kept else "--keep-volumes"
            self._keep(volume.name, ANOTHER if one.verdict is Verdict.OTHER else ours)
            return
        try:
            if not self._is_safe(one) and not await self._unhurried(lambda: self._save(one)):
                self._trouble[name] = "no time for a snapshot; `devenv up` goes on with it"
                self._commands[name] = AGAIN
                return
            await self.engine.volumes.remove(volume.name)
            self._gone("volume", volume.name)
            self.volume_transfer.ended(one.record.lineage, dropped=self.wish is VolumePolicy.DROP)
        except EngineError as error:
            reason = _reason(error)
            if "in use" in reason and volume.name in self._taken:  # plain Compose has taken the project over
                self._keep(volume.name, IN_USE)
            self._trouble[name] = IN_USE if "in use" in reason else reason
        except (DevenvError, OSError) as error:
            why = error.message if isinstance(error, DevenvError) else str(error.strerror)
            self._trouble[name] = f"no snapshot could be made of it: {why}"

    def _is_safe(self, one: Judged) -> bool:
        """Whether no snapshot is needed: the data lie elsewhere, or are not wanted and surely ours to remove."""
        return one.volume.elsewhere or (self.wish is VolumePolicy.DROP and one.verdict is Verdict.SAME)

    async def _save(self, one: Judged) -> None:
        volume, record = one.volume, one.record
        users = [c for c in self._users.values() if volume.name in c.volumes]
        if record.content is Content.RESTORING:
            await self.volume_transfer.rescue(volume, users, record)
            return
        settled = record.content is Content.SETTLED
        snapshot = await self.volume_transfer.save(volume, users, settled=settled, lineage=record.lineage)
        self._saved[snapshot.volume] = snapshot.stored

    def _keep(self, name: str, reason: str) -> None:
        """A kept volume is the user's from now on: it leaves the ledger."""
        command = "" if reason in (ANOTHER, IN_USE) else REMOVE["volume"].format(name)
        self.emit(Kept("volume", name, reason, command))
        self.ledger = self.ledger.without(name)
        self._write(self.ledger)

    def _write(self, ledger: Ledger) -> None:
        with contextlib.suppress(StateError):  # a full disk: the ledger that is there names more than is left
            self.run.write(ledger)

    def _gone(self, kind: str, name: str) -> None:
        if (kind, name) not in self._removed:
            self._removed.add((kind, name))
            self.emit(Removed(kind, name))

    def _survivors(self, project_state: ProjectState) -> list[str]:
        return [
            *(f"container {c.name}" for c in self.ledger.containers(project_state)),
            *(f"network {n.name}" for n in self.ledger.networks(project_state)),
            *(f"volume {one.volume.name}" for one in self.ledger.judged(project_state)),
        ]


async def finish(engine: Engine, run: Run, emit: Emit, wish: VolumePolicy, reason: str) -> Stopped:
    """The end of a run whose process is gone, by whoever holds its lock now."""
    engine.is_ours = run.made.holds
    ledger = run.read()
    if ledger is None:  # another one was faster
        return Stopped()
    if has_died := ledger.phase == "up":  # what its children still create would come after our look
        await process.end_recorded(run.children)
    with contextlib.suppress(StateError):  # from here on it is no run that was left running: who finds it may end it
        run.write(replace(ledger, phase="up"))
    keeper = volume_transfer(engine, emit, run, ledger.project, ledger.directory)
    sweeps = CUT_OFF_SWEEPS if has_died else 1
    return await Teardown(engine, run, ledger, emit, keeper, wish, quiet_sweeps=sweeps).run_down(reason)


def _reason(error: EngineError) -> str:
    return error.reason if isinstance(error, CallError) else error.message
