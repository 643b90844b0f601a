"""The volumes of a run that ends: each is removed once its content is safe, or stays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from devenv.docker.client import Engine
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError
from devenv.model.containers import Container
from devenv.run.cleanup.progress import DOWN, Progress, reason_of
from devenv.state.identity import Content, VolumeVerdict
from devenv.state.ledger import Judged, VolumePolicy
from devenv.tasks import each
from devenv.volumes.transfer import VolumeTransfer

IN_USE = "something that is not ours uses it"
ANOTHER = "devenv created an earlier volume of that name, not this one"


@dataclass(frozen=True, slots=True)
class VolumeRemoval:
    """Removes volumes by the user's policy.

    `users`: the containers of the run that mounted them. `in_use`: names of volumes that containers of others mount.
    `forget` takes a volume that stays out of the ledger, on disk: it is the user's from then on.
    """

    engine: Engine
    volume_transfer: VolumeTransfer
    policy: VolumePolicy
    progress: Progress
    users: Collection[Container]
    in_use: Collection[str]
    forget: Callable[[str], object]

    async def remove(self, volumes: Iterable[Judged], anonymous: Iterable[str]) -> None:
        """Remove the recorded volumes, and the anonymous ones of the run's containers."""
        await each(self._remove, volumes)
        for name in anonymous:
            with contextlib.suppress(CallError):  # in use: somebody else needs it, too
                await self.engine.volumes.remove(name)

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
            await self.engine.volumes.remove(name)
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
