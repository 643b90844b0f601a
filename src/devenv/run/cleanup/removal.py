"""What a teardown removes: how far it is, why the rest is left, and volumes that go once their content is safe."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import anyio

from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Kept, Problem, Removed
from devenv.model.containers import Container
from devenv.state.identity import Content, Place, VolumeVerdict
from devenv.state.ledger import Judged, VolumePolicy
from devenv.tasks import each, unless
from devenv.volumes.transfer import VolumeTransfer

REMOVE = {"container": "docker rm -f -v {}", "network": "docker network rm {}", "volume": "docker volume rm {}"}
DOWN = "devenv down   (saves and removes it)"  # a volume that is left may be the only copy of its data
IN_USE = "something that is not ours uses it"
ANOTHER = "devenv created an earlier volume of that name, not this one"


@dataclass
class TeardownProgress:
    """What the parts of one teardown share; `hurry`, set at any time, turns graceful stops into kills."""

    emit: Emit
    hurry: anyio.Event
    saved: dict[str, int] = field(default_factory=dict)  # key of a volume -> bytes of its snapshot
    _removed: set[tuple[str, str]] = field(default_factory=set)
    _failures: dict[str, tuple[str, str]] = field(default_factory=dict)  # "kind name" -> reason, command

    def removed(self, kind: str, name: str) -> None:
        """Report that the object has been removed; only once, though a sweep may meet its name again."""
        if (kind, name) not in self._removed:
            self._removed.add((kind, name))
            self.emit(Removed(kind, name))

    @property
    def counts(self) -> dict[str, int]:
        """How many objects have been removed, by kind."""
        return dict(Counter(kind for kind, _ in sorted(self._removed)))

    def failed(self, kind: str, name: str, reason: str, command: str = "") -> None:
        """Remember why the object could not be removed, and the command that may do it."""
        self._failures[f"{kind} {name}"] = (reason, command)

    def has_failed(self, kind: str, name: str) -> bool:
        """Whether an attempt to remove the object has failed before."""
        return f"{kind} {name}" in self._failures

    def kept(self, kind: str, name: str, reason: str, *, hint: bool = True) -> None:
        """Report that the object stays on purpose, with the command that removes it if `hint`."""
        self.emit(Kept(kind, name, reason, REMOVE[kind].format(name) if hint else ""))

    def report_left(self, survivors: Iterable[str]) -> None:
        """Report each of these objects (`kind name`) as left, with the reason and a command."""
        for survivor in survivors:
            kind, _, name = survivor.partition(" ")
            reason, command = self._failures.get(survivor, ("still there", ""))
            default = DOWN if kind == "volume" else REMOVE[kind].format(name)
            self.emit(Problem(f"{survivor} is left: {reason}", command or default))

    async def unhurried(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Whether the work was done before somebody was in a hurry; that cancels it. Raises what the work raises."""
        return await unless(self.hurry, work)


def reason_of(error: EngineError) -> str:
    """What the engine says, without what it was asked."""
    return error.reason if isinstance(error, CallError) else error.message


def remove_empty_folders(folders: Sequence[Place]) -> None:
    """Remove those of the folders that are still empty and still the same. No link is followed."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            status = os.lstat(folder.path)
            if (status.st_dev, status.st_ino) == (folder.device, folder.inode):
                os.rmdir(folder.path)


@dataclass(frozen=True, slots=True)
class VolumeRemoval:
    """Removes volumes by the user's policy."""

    volume_transfer: VolumeTransfer
    policy: VolumePolicy
    progress: TeardownProgress
    users: Collection[Container]  # of the run, which mounted the volumes
    in_use: Collection[str]  # names of volumes that containers of others mount
    forget: Callable[[str], object]  # takes a volume that stays out of the ledger: it is the user's from then on

    async def remove(self, volumes: Iterable[Judged], anonymous: Iterable[str]) -> None:
        """Remove the recorded volumes, and the anonymous ones of the run's containers."""
        await each(self._remove, volumes)
        for name in anonymous:
            with contextlib.suppress(CallError):  # in use: somebody else needs it, too
                await self.volume_transfer.engine.volumes.remove(name)

    async def _remove(self, judged: Judged) -> None:
        """Remove a volume once its content is safe; if it cannot be made safe, the volume is left."""
        name = judged.volume.name
        if reason := self._reason_to_keep(judged):
            self._keep(name, reason)
            return
        try:
            if not self._is_safe(judged) and not await self.progress.unhurried(lambda: self._save(judged)):
                self.progress.failed("volume", name, "no time for a snapshot; `devenv up` goes on with it", DOWN)
                return
            await self.volume_transfer.engine.volumes.remove(name)
            self.progress.removed("volume", name)
            self.volume_transfer.ended(judged.record.lineage, dropped=self.policy is VolumePolicy.DROP)
        except EngineError as error:
            reason = reason_of(error)
            if "in use" in reason and name in self.in_use:  # plain Compose has taken the project over
                self._keep(name, IN_USE)
            self.progress.failed("volume", name, IN_USE if "in use" in reason else reason)
        except (DevenvError, OSError) as error:
            why = error.message if isinstance(error, DevenvError) else str(error.strerror)
            self.progress.failed("volume", name, f"no snapshot could be made of it: {why}")

    def _reason_to_keep(self, judged: Judged) -> str:
        if judged.verdict is VolumeVerdict.OTHER:
            return ANOTHER
        if judged.record.is_kept:
            return "x-devenv.keep"
        return "--keep-volumes" if self.policy is VolumePolicy.KEEP else ""

    def _is_safe(self, judged: Judged) -> bool:
        """Whether no snapshot is needed: the data is elsewhere, or not wanted and certainly ours to remove."""
        return judged.volume.elsewhere or (self.policy is VolumePolicy.DROP and judged.verdict is VolumeVerdict.SAME)

    async def _save(self, judged: Judged) -> None:
        volume, record = judged.volume, judged.record
        users = [container for container in self.users if volume.name in container.volumes]
        if record.content is Content.RESTORING:
            await self.volume_transfer.rescue(volume, users, record)
            return
        settled = record.content is Content.SETTLED
        snapshot = await self.volume_transfer.save(volume, users, settled=settled, lineage=record.lineage)
        self.progress.saved[snapshot.volume] = snapshot.stored

    def _keep(self, name: str, reason: str) -> None:
        self.progress.kept("volume", name, reason, hint=reason not in (ANOTHER, IN_USE))
        self.forget(name)
