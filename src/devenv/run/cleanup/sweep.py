"""One attempt to end containers and remove their networks: each as soon as nothing uses it any more."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence

import anyio

from devenv.docker.client import Engine
from devenv.errors import EngineError
from devenv.model.containers import Container, Network
from devenv.run.active.phases import stop_after
from devenv.run.cleanup.progress import TeardownProgress, reason_of

NETWORK_TRIES = 10
ENDED = ("created", "exited", "dead")


class Outcome:
    """Whether an operation succeeded, once it has ended."""

    def __init__(self) -> None:
        self._is_known = anyio.Event()
        self._succeeded = False

    def set(self, *, succeeded: bool) -> None:
        """Make the outcome known."""
        self._succeeded = succeeded
        self._is_known.set()

    async def get(self) -> bool:
        """The outcome, once it is known."""
        await self._is_known.wait()
        return self._succeeded


class Sweep:
    """The end of these containers, and of what only they use."""

    def __init__(
        self,
        engine: Engine,
        progress: TeardownProgress,
        containers: Sequence[Container],
        keep_log: Callable[[Container], Awaitable[object]],
    ) -> None:
        self._engine, self._progress, self._keep_log = engine, progress, keep_log
        self.containers = containers
        self._dependents = stop_after(containers)
        self._stops = {c.id: Outcome() for c in containers}
        self._removals = {c.id: Outcome() for c in containers}

    async def end(self, container: Container) -> None:
        """Stop the container once its dependents have stopped, keep its log, and remove it."""
        for dependent in self._dependents[container.id]:
            await self._stops[dependent].get()
        has_ended = container.state in ENDED
        if not has_ended:
            with contextlib.suppress(EngineError):  # if that fails or is cut short, the removal kills
                has_ended = await self._progress.unhurried(lambda: self._engine.containers.stop(container))
        self._stops[container.id].set(succeeded=has_ended)
        await self._progress.unhurried(lambda: self._keep_log(container))
        try:
            await self._engine.containers.remove(container.id)
        except EngineError as error:
            self._progress.failed("container", container.name, reason_of(error))
            self._removals[container.id].set(succeeded=False)
        else:
            self._progress.removed("container", container.name)
            self._removals[container.id].set(succeeded=True)

    async def remove_network(self, network: Network) -> bool:
        """Remove the network once its containers are removed; return whether it may still be in use.

        The containers are all of them if none is known to use it.
        """
        name, progress = network.name, self._progress
        await self._are_removed([c for c in self.containers if name in c.networks] or self.containers)
        for _ in range(1 if progress.has_failed("network", name) else NETWORK_TRIES):
            try:
                await self._engine.networks.remove(network.id)
            except EngineError as error:
                reason = reason_of(error)
                progress.failed("network", name, reason)
            else:
                progress.removed("network", name)
                return False
            if "active endpoints" not in reason:
                return False
            await anyio.sleep(0.1)
        return True

    async def until_stopped(self, volume: str) -> bool:
        """Wait until all containers that mount the volume have stopped; return False if one may still run."""
        ended = [await self._stops[c.id].get() or await self._removals[c.id].get() for c in self._users(volume)]
        return all(ended)

    async def until_removed(self, volume: str) -> bool:
        """Wait until the removal of all containers that mount the volume has ended; return whether it succeeded."""
        return await self._are_removed(self._users(volume))

    async def _are_removed(self, containers: Iterable[Container]) -> bool:
        return all([await self._removals[c.id].get() for c in containers])

    def _users(self, volume: str) -> list[Container]:
        return [c for c in self.containers if volume in c.volumes]
