"""Pulls that run beside each other: from where a name says, or from a mirror where nobody answers there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from devenv.docker.client import Engine
from devenv.docker.images import Progress
from devenv.docker.transport import CallError
from devenv.errors import DevenvError
from devenv.events import Emit, ImageState, Notice
from devenv.host.registry_auth import credentials
from devenv.images.mirrors import candidates
from devenv.images.needs import Need
from devenv.images.pull_errors import ABSENT, SILENT, Failure, read_failure
from devenv.model.image_ref import registry
from devenv.tasks import each

AT_ONCE = 8
FIRST_WORD = 20.0  # seconds for the registry's first word; after that a pull may take as long as data comes
IMPATIENCE = 3.0  # seconds without a word after which mirrors are asked as well
MIRROR_WORD = 10.0  # seconds for a mirror to say whether it has an image
PAUSES = (1.0, 3.0, 9.0)  # seconds before a pull that failed in passing is tried again
TOLD_EVERY = 0.2  # seconds between two words about one image


@dataclass(frozen=True, slots=True)
class Pulled:
    """What became of the pulls: reference -> the mirror's name that it is here under, or why it is not here."""

    swaps: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)


async def pull_all(
    engine: Engine, needs: Sequence[Need], mirrors: Sequence[str], emit: Emit, *, hurry: bool = False
) -> Pulled:
    """Each image is here afterwards, or it is said why not. `mirrors` are `mirrors.prefixes`.

    Once a registry has said a word, a pull may take as long as data comes; with `hurry` that has to be soon.

    A registry that did not answer is not asked for the images still waiting for their turn, and neither is a mirror.
    """
    pulls = _Pulls(engine, mirrors, emit, IMPATIENCE if hurry else FIRST_WORD)
    await each(pulls.get, needs)
    failures = {need.reference: pulls.failures[need.reference] for need in needs if need.reference in pulls.failures}
    return Pulled(pulls.swaps, failures)


class _Pulls:
    """What one round of pulls has learned: who is silent, and what each registry may be shown."""

    def __init__(self, engine: Engine, mirrors: Sequence[str], emit: Emit, patience: float) -> None:
        self.swaps: dict[str, str] = {}
        self.failures: dict[str, Failure] = {}
        self._engine = engine
        self._mirrors = mirrors
        self._emit = emit
        self._patience = patience
        self._silent: dict[str, Failure] = {}  # by registry, or by mirror
        self._given_up: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)  # by registry
        self._shown: dict[str, str] = {}
        self._mute: dict[str, DevenvError] = {}  # why a registry is shown nothing
        self._asking: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._turns = anyio.CapacityLimiter(AT_ONCE)

    async def get(self, need: Need) -> None:
        """The image is here, or its failure is noted. What may pass is tried again, after a pause."""
        async with self._turns:
            for pause in (*PAUSES, None):
                failure = await self._try(need)
                if failure is None:
                    self._emit(ImageState(need.reference, "pulled", self.swaps.get(need.reference, "")))
                    return
                self.failures[need.reference] = failure
                if not failure.passing or pause is None:
                    return
                self._emit(ImageState(need.reference, "pulling", f"{failure.cause}: again in {pause:.0f} s"))
                await anyio.sleep(pause)
                del self.failures[need.reference]

    async def _try(self, need: Need) -> Failure | None:
        host = registry(need.reference)
        failure = self._silent.get(host) or await self._own(need, host)
        return await self._elsewhere(need, failure) if failure and failure.elsewhere else failure

    async def _own(self, need: Need, host: str) -> Failure | None:
        """Why the reference itself cannot be had. A mirror that has it ends the wait for a silent registry."""
        failure: Failure | None = None
        spoken = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def pull() -> None:
                nonlocal failure
                failure = await self._pull(need, need.reference, spoken)
                tasks.cancel_scope.cancel()

            async def leave() -> None:
                nonlocal failure
                await self._given_up[host].wait()
                if not spoken.is_set():
                    failure = self._silent[host]
                    tasks.cancel_scope.cancel()

            tasks.start_soon(pull)
            tasks.start_soon(leave)
            if any(candidates(need.reference, mirror) for mirror in self._mirrors):
                with anyio.move_on_after(IMPATIENCE):
                    await spoken.wait()
                if not spoken.is_set() and await self._find(need, {}) and not spoken.is_set():
                    failure = SILENT
                    tasks.cancel_scope.cancel()
        if failure and failure.impossible and not failure.passing:
            self._silent[host] = failure
            self._given_up[host].set()
        return failure

    async def _elsewhere(self, need: Need, failure: Failure) -> Failure | None:
        """The failure, with what each mirror said, unless one gives the image."""
        tried: dict[str, Failure] = {}
        pulled: dict[str, Failure] = {}
        while (found := await self._find(need, tried)) is not None:
            fault = await self._pull(need, found, anyio.Event())
            if fault is None:
                self.swaps[need.reference] = found
                return None
            tried[found] = pulled[found] = fault
        said = {mirror: self._silent[mirror] for mirror in self._mirrors if mirror in self._silent}
        told = [*reversed(tried.items()), *pulled.items()]  # what came of a pull counts for most, then the first name
        said |= {m: fault for name, fault in told for m in self._mirrors if name.startswith(f"{m}/")}
        causes = (f"{mirror}: {fault.cause}" for mirror, fault in said.items())
        hint = next((fault.hint for fault in said.values() if fault.hint and fault.cause != ABSENT), None)
        return replace(failure, cause="; ".join([failure.cause, *causes]), hint=failure.hint or hint)

    async def _find(self, need: Need, tried: dict[str, Failure]) -> str | None:
        """The name under which a mirror has the image: of all mirrors, asked at once, the first that says so.

        Names that are in `tried` are left out, and others that are not there are added.
        """
        found: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def ask(mirror: str) -> None:
                for name in candidates(need.reference, mirror):
                    if mirror in self._silent or name in tried:
                        continue
                    fault = await self._asked(mirror, name)
                    if fault is None:
                        found.append(name)
                        tasks.cancel_scope.cancel()
                        return
                    tried[name] = fault

            for mirror in self._mirrors:
                tasks.start_soon(ask, mirror)
        return found[0] if found else None

    async def _asked(self, mirror: str, name: str) -> Failure | None:
        """Why the mirror does not have the name; one that does not answer is told, once."""
        failure = SILENT
        with anyio.move_on_after(MIRROR_WORD):
            try:
                await self._engine.images.distribution(name, await self._auth(registry(name)))
            except CallError as error:
                failure = self._read(error, name)
            else:
                return None
        if mirror not in self._silent and failure.impossible:
            self._silent[mirror] = failure
            self._emit(Notice(f"the mirror {mirror} is not asked any more: {failure.cause}", failure.hint))
        return failure

    async def _pull(self, need: Need, name: str, spoken: anyio.Event) -> Failure | None:
        """Why the image cannot be had under the name, once it has ended one way or the other."""
        told, auth = 0.0, await self._auth(registry(name))
        self._emit(ImageState(need.reference, "pulling", "" if name == need.reference else name))
        with anyio.move_on_after(self._patience) as patience:

            def take(progress: Progress) -> None:
                nonlocal told
                spoken.set()
                patience.deadline = float("inf")
                if progress.layers and (now := anyio.current_time()) >= told + TOLD_EVERY:
                    told = now
                    self._emit(ImageState(need.reference, "pulling", str(progress)))

            try:
                await self._engine.images.pull(name, platform=need.platform, auth=auth, on_progress=take)
            except CallError as error:
                return self._read(error, name)
            return None
        return SILENT

    async def _auth(self, host: str) -> str:
        """What the registry may be shown; nothing where the helper that knows it fails: most images are for all."""
        async with self._asking[host]:
            if host not in self._shown:
                try:
                    self._shown[host] = await credentials(host)
                except DevenvError as error:
                    self._shown[host], self._mute[host] = "", error
            return self._shown[host]

    def _read(self, error: CallError, name: str) -> Failure:
        """What the engine said. A registry that refuses may do so for a helper that did not say who we are."""
        failure, mute = read_failure(error.reason, name), self._mute.get(registry(name))
        if mute is None or failure.elsewhere:
            return failure
        return replace(failure, cause=f"{failure.cause}: {mute.said}", hint=mute.hint)
