"""The only place that removes what a run created: by ledger, dependents first, with a check afterwards."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import field, replace
from functools import partial

import anyio

from devenv.docker import process
from devenv.docker.client import Engine
from devenv.errors import EngineError, StateError
from devenv.events import Emit, Kept, Notice, Stopped, Stopping
from devenv.lazy_dataclass import dataclass
from devenv.model.containers import Container, Network, ProjectState
from devenv.run.cleanup.kept_logs import KeptLogs
from devenv.run.cleanup.progress import IN_USE, REMOVE, TeardownProgress
from devenv.run.cleanup.remains import judged_volumes
from devenv.run.cleanup.removal import VolumeRemoval, remove_empty_folders
from devenv.run.cleanup.sweep import Sweep
from devenv.state.identity import VolumeRecord, VolumeVerdict
from devenv.state.ledger import Judged, Ledger, VolumePolicy
from devenv.state.run_dir import Run
from devenv.tasks import each
from devenv.volumes.transfer import VolumeTransfer, volume_transfer

SWEEP_PAUSE = 0.3
SWEEPS = 20
STUCK_SWEEPS = 3
CUT_OFF_SWEEPS = 4  # quiet sweeps that are needed after a create that was cut off
NOT_CREATED = "devenv did not create it, though its labels say so"
MOVED = "all volumes of the engine have new times: its data folder was moved; names are trusted"


@dataclass(frozen=True, slots=True)
class Sweeps:
    """Consecutive looks that found nothing of the run (quiet), or only what could not be removed (stuck)."""

    quiet: int = 0
    stuck: int = 0
    ids: frozenset[str] = frozenset()

    def after(self, ids: frozenset[str]) -> Sweeps:
        """The counts after a look that found these objects of the run."""
        return Sweeps(0 if ids else self.quiet + 1, self.stuck + 1 if ids and ids == self.ids else 0, ids)


@dataclass
class Teardown:
    """The end of one run: removes everything that its ledger lists, dependents first."""

    ledger: Ledger
    volume_transfer: VolumeTransfer
    policy: VolumePolicy = VolumePolicy.SAVE
    quiet_sweeps: int = 1
    hurry: anyio.Event = field(default_factory=anyio.Event)
    _users: dict[str, Container] = field(default_factory=dict)
    _others: Sequence[Container] = ()  # containers of the project that are not the run's

    def __post_init__(self) -> None:
        transfer = self.volume_transfer
        self.engine, self.run, self.emit = transfer.engine, transfer.run, transfer.emit
        if self.policy is VolumePolicy.SNAPSHOT:
            transfer.limit = math.inf
        self._waiting: list[VolumeRecord] = []  # of volumes that stay for the next run
        self._ended: set[str] = set()  # volumes that were removed, kept or left before the end of the teardown
        self._has_moved = False
        self._logs = KeptLogs(self.run.path)
        self._progress = TeardownProgress(self.emit, self.hurry)

    async def run_down(self, reason: str, seen: ProjectState | None = None) -> Stopped:
        """Remove what the ledger lists, and look again: what still exists is a survivor.

        `seen` is the last known state: after Ctrl-C, the first event does not wait for the engine.
        """
        began = time.monotonic()
        count = len(self.ledger.containers(seen)) if seen else 0
        if count:
            self.emit(Stopping(reason, count))
        project_state = await self._look()
        if not count:
            self.emit(Stopping(reason, len(self.ledger.containers(project_state))))
        project_state = await self._until_quiet(project_state)
        if await self._remove_volumes(project_state):
            project_state = await self._look()
        if survivors := self._report(project_state):
            self._write(replace(self.ledger, phase="left"))
        else:
            remove_empty_folders(self.ledger.folders)
            rest = replace(self.ledger, phase="volumes", volumes=tuple(self._waiting), anonymous=(), folders=())
            self.run.clear(rest if self._waiting else None)
        seconds, waiting = time.monotonic() - began, tuple(sorted(record.name for record in self._waiting))
        counts, saved = self._progress.counts, self._progress.saved
        self.emit(stopped := Stopped(tuple(survivors), seconds, counts, saved, waiting))
        return stopped

    async def _until_quiet(self, project_state: ProjectState) -> ProjectState:
        """Sweep until `quiet_sweeps` looks in a row have found nothing of the run; return the last look.

        A create that was in progress when the run died can take effect after the first look. Objects that
        `STUCK_SWEEPS` sweeps could not remove are left.
        """
        sweeps = Sweeps()
        for _ in range(SWEEPS):
            containers, networks = self.ledger.containers(project_state), self.ledger.networks(project_state)
            self._others = [c for c in project_state.containers if c not in containers]
            sweeps = sweeps.after(frozenset([*(c.id for c in containers), *(n.id for n in networks)]))
            if sweeps.quiet >= self.quiet_sweeps or sweeps.stuck >= STUCK_SWEEPS:
                break
            if sweeps.quiet or sweeps.stuck:
                await anyio.sleep(SWEEP_PAUSE)
            await self._sweep(project_state, containers)
            project_state = await self._look()
        return project_state

    async def _look(self) -> ProjectState:
        return await self.engine.project_state(self.ledger.project)

    def _report(self, project_state: ProjectState) -> list[str]:
        """Report what is left of the run, and what only seems to belong to it; return the former as `kind name`."""
        ledger = self.ledger
        survivors = [
            *(f"container {c.name}" for c in ledger.containers(project_state)),
            *(f"network {n.name}" for n in ledger.networks(project_state)),
            *(f"volume {judged.volume.name}" for judged in ledger.judged(project_state)),
        ]
        self._progress.report_left(survivors)
        for container in project_state.containers:
            if container.owner == self.run.made.owner and not container.ours:
                self.emit(Kept("container", container.name, NOT_CREATED, f"docker rm -f {container.name}"))
        return survivors

    def _note(self, containers: Sequence[Container]) -> None:
        """Record the containers' anonymous volumes in the ledger on disk before the containers are removed."""
        self._users |= {c.id: c for c in containers}
        before, self.ledger = self.ledger, self.ledger.noting(containers)
        if self.ledger != before:
            self._write(self.ledger)

    async def _sweep(self, project_state: ProjectState, containers: Sequence[Container]) -> None:
        """Try to remove everything, each object as soon as nothing uses it.

        Volumes that are in use are included only in the first sweep, and not after a death: a container that is still
        being created may use them.
        """
        sweep = Sweep(self.engine, self._progress, containers, self._keep_log)
        saves_early = self.quiet_sweeps == 1 and not self._users

        async def remove_network(network: Network) -> None:
            if await sweep.remove_network(network):
                await self._report_users(network)

        self._note(containers)
        networks = self.ledger.networks(project_state)
        work = [partial(sweep.end, container) for container in containers]
        work += [partial(remove_network, network) for network in networks]
        if saves_early:
            work.append(partial(self._remove_mounted, project_state, sweep))
        await each(lambda part: part(), work)

    async def _keep_log(self, container: Container) -> None:
        await self._logs.keep(self.engine, container, self.ledger.began)

    async def _remove_mounted(self, project_state: ProjectState, sweep: Sweep) -> None:
        """Save and remove the volumes that only the containers of the sweep mount, each once it is not in use.

        If that cannot be done yet, the volumes are left to the end of the teardown.
        """
        removal = self._removal(sweep)
        mounted = {name for c in sweep.containers for name in c.volumes} - {*removal.in_use}
        if not removal.place and not mounted.isdisjoint(self.ledger.creates):
            with contextlib.suppress(EngineError):
                judged = [v for v in await self._judged(project_state) if v.volume.name in mounted]
                self._ended |= await removal.remove(judged)

    async def _report_users(self, network: Network) -> None:
        """Remember who uses a network that could not be removed; it is kept if plain Compose does."""
        name, progress = network.name, self._progress
        users: tuple[str, ...] = ()
        with contextlib.suppress(EngineError):
            users = await self.engine.networks.users(network.id)
        if not {c.name for c in self._others}.isdisjoint(users):  # plain Compose has taken over the project
            progress.kept("network", name, IN_USE)
            with contextlib.suppress(StateError, OSError):  # a full disk: the next command looks again
                self.run.made.forget(network.id)
        elif users:
            apart = [f"docker network disconnect -f {name} {user}" for user in users]
            why = f"{', '.join(users)} {'uses' if len(users) == 1 else 'use'} it"
            progress.failed("network", name, why, "; ".join([*apart, REMOVE["network"].format(name)]))

    async def _remove_volumes(self, project_state: ProjectState) -> bool:
        """Save and remove the volumes that still exist; return whether there was anything to do."""
        judged = [v for v in await self._judged(project_state) if v.volume.name not in self._ended]
        await self._removal().remove(judged, self.ledger.anonymous)
        return bool(judged or self.ledger.anonymous)

    def _removal(self, sweep: Sweep | None = None) -> VolumeRemoval:
        users, in_use = tuple(self._users.values()), {name for c in self._others for name in c.volumes}
        actions = self._forget, self._leave
        return VolumeRemoval(self.volume_transfer, self.policy, self._progress, users, in_use, *actions, sweep)

    async def _judged(self, project_state: ProjectState) -> list[Judged]:
        held = {name for user in self._users.values() for name in user.volumes}
        judged = await judged_volumes(self.engine, self.ledger, project_state, held)
        if not self._has_moved and any(volume.verdict is VolumeVerdict.MOVED for volume in judged):
            self._has_moved = True
            self.emit(Notice(MOVED))
        return judged

    def _forget(self, volume: str) -> None:
        self.ledger = self.ledger.without(volume)
        self._write(self.ledger)

    def _leave(self, record: VolumeRecord) -> None:
        """Leave the volume to the next run."""
        self.ledger = self.ledger.without(record.name)
        self._waiting.append(record)

    def _write(self, ledger: Ledger) -> None:
        with contextlib.suppress(StateError):  # a full disk: the ledger on disk lists more than is left
            self.run.write(ledger.with_records(self._waiting))


def of_earlier(ledger: Ledger, transfer: VolumeTransfer, policy: VolumePolicy) -> Teardown:
    """The teardown of a run whose process has ended; if it, or its keeper, died, objects may still be created.

    The ledger is marked so that, if this teardown is cut off, any later command may finish it.
    """
    quiet_sweeps = CUT_OFF_SWEEPS if ledger.phase == "up" or transfer.run.made.is_open else 1
    ledger = replace(ledger, phase="up")
    with contextlib.suppress(StateError):  # a full disk
        transfer.run.write(ledger)
    return Teardown(ledger, transfer, policy, quiet_sweeps)


async def finish(engine: Engine, run: Run, emit: Emit, policy: VolumePolicy, reason: str) -> Stopped:
    """End a run whose process has ended, for `down`, `gc` and the guardian. The caller holds the lock."""
    engine.is_ours = run.made.holds
    ledger = run.read()
    if ledger is None:  # another command was faster
        return Stopped()
    await process.end_recorded(run.children)  # those of a process that died may create objects after our look
    transfer = volume_transfer(engine, emit, run, ledger.project, ledger.directory)
    return await of_earlier(ledger, transfer, policy).run_down(reason)
