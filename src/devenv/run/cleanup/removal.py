"""The removals of a teardown: progress, failures, and volumes, which are removed once their content is safe."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import field

import anyio

from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.events import Emit, Kept, Problem, Removed, VolumesStay
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container
from devenv.model.snapshot import shown
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict
from devenv.state.ledger import Judged, VolumePolicy
from devenv.tasks import each, unless
from devenv.volumes.transfer import VolumeTransfer

with LazyImports():  # only if a volume is saved
    from devenv.state import verified_archive

REMOVE = {"container": "docker rm -f -v {}", "network": "docker network rm {}", "volume": "docker volume rm {}"}
DOWN = "devenv down   (saves and removes it)"  # a volume that is left may be the only copy of its data
SNAPSHOT = "devenv down --snapshot   (saves and removes it)"
SAVE_REMOTE, REMOVE_REMOTE = "devenv down --snapshot", "devenv down -v"
PODMAN = "Podman"
IN_USE = "something that is not ours uses it"
ANOTHER = "devenv created an earlier volume of that name, not this one"


@dataclass
class TeardownProgress:
    """What the parts of one teardown share. Setting `hurry` turns graceful stops into kills."""

    emit: Emit
    hurry: anyio.Event
    saved: dict[str, int] = field(default_factory=dict)  # key of a volume -> bytes of its snapshot
    _removed: set[tuple[str, str]] = field(default_factory=set)
    _failures: dict[str, tuple[str, str]] = field(default_factory=dict)  # "kind name" -> reason, command

    def removed(self, kind: str, name: str) -> None:
        """Report that the object has been removed, once, even if a later sweep sees its name again."""
        if (kind, name) not in self._removed:
            self._removed.add((kind, name))
            self.emit(Removed(kind, name))

    @property
    def counts(self) -> dict[str, int]:
        """How many objects have been removed, by kind."""
        return dict(Counter(kind for kind, _ in sorted(self._removed)))

    def failed(self, kind: str, name: str, reason: str, command: str = "") -> None:
        """Remember why the object could not be removed, and a command that may remove it."""
        self._failures[f"{kind} {name}"] = (reason, command)

    def has_failed(self, kind: str, name: str) -> bool:
        """Whether an attempt to remove the object has failed before."""
        return f"{kind} {name}" in self._failures

    def kept(self, kind: str, name: str, reason: str, *, hint: bool = True) -> None:
        """Report that the object is kept on purpose; `hint`: with the command that removes it."""
        self.emit(Kept(kind, name, reason, REMOVE[kind].format(name) if hint else ""))

    def report_left(self, survivors: Iterable[str]) -> None:
        """Report each of these objects (`kind name`) as left, with the reason and a command."""
        for survivor in survivors:
            kind, _, name = survivor.partition(" ")
            reason, command = self._failures.get(survivor, ("still there", ""))
            default = DOWN if kind == "volume" else REMOVE[kind].format(name)
            self.emit(Problem(f"{survivor} is left: {reason}", command or default))

    async def unhurried(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Run the work, unless `hurry` is or gets set, which cancels it. Return whether it was completed."""
        return await unless(self.hurry, work)


def reason_of(error: EngineError) -> str:
    """The engine's message, without the request."""
    return error.reason if isinstance(error, CallError) else error.message


def remove_empty_folders(folders: Sequence[Place]) -> None:
    """Remove those of the folders that are still empty and have not been replaced. No link is followed."""
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
    users: Collection[Container]  # containers of the run that mounted the volumes
    in_use: Collection[str]  # names of volumes that foreign containers mount
    forget: Callable[[str], object]  # removes a kept volume from the ledger: it belongs to the user from then on
    leave: Callable[[VolumeRecord], object]  # leaves a volume to the next run

    async def remove(self, volumes: Sequence[Judged], anonymous: Iterable[str]) -> None:
        """Remove the recorded volumes, and the anonymous volumes of the run's containers."""
        to_save = [volume for volume in volumes if self._is_limited(volume)]
        engine = self.volume_transfer.engine
        if place := engine.endpoint.machine or (engine.is_podman and PODMAN):  # its archives have no owners
            left = self._leave_all(to_save, place)
        else:
            left = await self._leave_large(to_save)
        await each(self._remove, [volume for volume in volumes if volume.record.name not in left])
        for name in anonymous:
            with contextlib.suppress(CallError):  # still in use by something else
                await self.volume_transfer.engine.volumes.remove(name)

    async def _remove(self, judged: Judged) -> None:
        """Remove a volume once its content is safe; otherwise leave the volume."""
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
            if "in use" in reason and name in self.in_use:  # plain Compose has taken over the project
                self._keep(name, IN_USE)
            self.progress.failed("volume", name, IN_USE if "in use" in reason else reason)
        except verified_archive.TooLargeError as error:
            self._leave(judged, error.message)
        except (DevenvError, OSError) as error:
            why = error.message if isinstance(error, DevenvError) else str(error.strerror)
            self.progress.failed("volume", name, f"no snapshot could be made of it: {why}")

    def _is_limited(self, judged: Judged) -> bool:
        """Whether the volume stays if it takes long to save, is on another machine, or on Podman."""
        is_saved = not self._reason_to_keep(judged) and not self._is_safe(judged)
        return is_saved and self.policy is VolumePolicy.SAVE and judged.record.content is not Content.RESTORING

    def _leave_all(self, volumes: Sequence[Judged], place: str) -> set[str]:
        """Leave the volumes on another machine, or on Podman, to the next run; return their names."""
        for volume in volumes:
            self.leave(volume.record)
        names = tuple(sorted(volume.record.name for volume in volumes))
        if names:
            self.progress.emit(VolumesStay(place, names, SAVE_REMOTE, REMOVE_REMOTE))
        return set(names)

    async def _leave_large(self, volumes: Sequence[Judged]) -> set[str]:
        """Leave the volumes that take long to save to the next run; return their names."""
        sizes = await self.volume_transfer.sizes(volume.record for volume in volumes) if volumes else {}
        large = [v for v in volumes if sizes.get(v.record.name, 0) > self.volume_transfer.limit]
        for volume in large:
            self._leave(volume, shown(sizes[volume.record.name]))
        return {volume.record.name for volume in large}

    def _leave(self, judged: Judged, size: str) -> None:
        """Leave a volume that takes long to save to the next run."""
        why = f"too large to be saved at each end ({size}); the next `devenv up` goes on with it"
        self.progress.emit(Kept("volume", judged.record.name, why, SNAPSHOT))
        self.leave(judged.record)

    def _reason_to_keep(self, judged: Judged) -> str:
        if judged.verdict is VolumeVerdict.OTHER:
            return ANOTHER
        if judged.record.is_kept:
            return "x-devenv.keep"
        return "--keep-volumes" if self.policy is VolumePolicy.KEEP else ""

    def _is_safe(self, judged: Judged) -> bool:
        """Whether no snapshot is needed: the data is elsewhere, or dropped on request and certainly ours."""
        return judged.volume.elsewhere or (self.policy is VolumePolicy.DROP and judged.verdict is VolumeVerdict.SAME)

    async def _save(self, judged: Judged) -> None:
        volume, record = judged.volume, judged.record
        users = [container for container in self.users if volume.name in container.volumes]
        snapshot = await self.volume_transfer.secure(volume, users, record)
        if snapshot is not None and record.content is not Content.RESTORING:
            self.progress.saved[snapshot.volume] = snapshot.stored

    def _keep(self, name: str, reason: str) -> None:
        self.progress.kept("volume", name, reason, hint=reason not in (ANOTHER, IN_USE))
        self.forget(name)
