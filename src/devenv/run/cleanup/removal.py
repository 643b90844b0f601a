"""Removes the volumes of a run, each once its content is safe, and folders that the run created."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence

from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.events import Kept, VolumesStay
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.containers import Container
from devenv.model.snapshot import shown
from devenv.run.cleanup.progress import DOWN, IN_USE, TeardownProgress, reason_of
from devenv.run.cleanup.sweep import Sweep
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict
from devenv.state.ledger import Judged, VolumePolicy
from devenv.tasks import each
from devenv.volumes.transfer import VolumeTransfer

with LazyImports():  # only if a volume is saved
    from devenv.state import verified_archive

SNAPSHOT = "devenv down --snapshot   (saves and removes it)"
SAVE_REMOTE, REMOVE_REMOTE = "devenv down --snapshot", "devenv down -v"
PODMAN = "Podman"
ANOTHER = "devenv created an earlier volume of that name, not this one"


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
    sweep: Sweep | None = None  # that ends the users; without it, they have ended

    async def remove(self, volumes: Sequence[Judged], anonymous: Iterable[str] = ()) -> set[str]:
        """Remove the recorded volumes, and the anonymous volumes of the run's containers.

        Return the names of the recorded volumes whose end is known: removed, kept, or left for a reason. The others
        have users that could not be ended.
        """
        to_save = [volume for volume in volumes if self._is_limited(volume)]
        if place := self.place:
            left = self._leave_all(to_save, place)
        else:
            left = await self._leave_large(to_save)
        rest = [volume for volume in volumes if volume.record.name not in left]
        ended = await each(self._remove, rest)
        for name in anonymous:
            with contextlib.suppress(CallError):  # still in use by something else
                await self.volume_transfer.engine.volumes.remove(name)
        return left | {volume.record.name for volume, is_ended in zip(rest, ended, strict=True) if is_ended}

    @property
    def place(self) -> str:
        """Where volumes are that stay for the next run; empty for this machine."""
        engine = self.volume_transfer.engine
        return engine.endpoint.machine or (PODMAN if engine.is_podman else "")  # its archives have no owners

    async def _remove(self, judged: Judged) -> bool:
        """Remove a volume once its content is safe, otherwise leave it; return False if its users could not be ended.

        A volume is saved once its users have stopped, while these and others are removed.
        """
        name = judged.volume.name
        if reason := self._reason_to_keep(judged):
            self._keep(name, reason)
            return True
        try:
            return await self._save_and_remove(judged)
        except EngineError as error:
            reason = reason_of(error)
            is_in_use = "in use" in reason
            if is_in_use and self.sweep is not None:  # by a container that the next look may find
                return False
            if is_in_use and name in self.in_use:  # plain Compose has taken over the project
                self._keep(name, IN_USE)
            self.progress.failed("volume", name, IN_USE if is_in_use else reason)
        except verified_archive.TooLargeError as error:
            self._leave(judged, error.message)
        except (DevenvError, OSError) as error:
            why = error.message if isinstance(error, DevenvError) else str(error.strerror)
            self.progress.failed("volume", name, f"no snapshot could be made of it: {why}")
        return True

    async def _save_and_remove(self, judged: Judged) -> bool:
        name, sweep = judged.volume.name, self.sweep
        if sweep is not None and not await sweep.until_stopped(name):
            return False
        if not self._is_safe(judged) and not await self.progress.unhurried(lambda: self._save(judged)):
            self.progress.failed("volume", name, "no time for a snapshot; `devenv up` goes on with it", DOWN)
            return True
        if sweep is not None and not await sweep.until_removed(name):
            return False
        await self.volume_transfer.engine.volumes.remove(name)
        self.progress.removed("volume", name)
        self.volume_transfer.ended(judged.record.lineage, dropped=self.policy is VolumePolicy.DROP)
        return True

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
