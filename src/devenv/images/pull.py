"""Concurrent pulls: from an image's own registry, or from a mirror if that registry does not answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import anyio

from devenv.docker.client import Engine
from devenv.docker.images import TransferProgress
from devenv.docker.transport import CallError
from devenv.errors import DevenvError
from devenv.events import Emit, ImageState, Notice
from devenv.host.registry_auth import credentials
from devenv.images.failures import SILENT, Failure, read_failure
from devenv.images.needs import Need, candidates
from devenv.model.images import registry
from devenv.tasks import each

AT_ONCE = 8
FIRST_BYTE_TIMEOUT = 20.0  # seconds for the registry's first answer; after that, a pull may take any time
SHORT_TIMEOUT = 3.0  # seconds without an answer after which mirrors are asked, too
MIRROR_TIMEOUT = 10.0  # seconds for a mirror to say whether it has an image
PAUSES = (1.0, 3.0, 9.0)  # seconds before the next tries after temporary failures
EVERY = 0.2  # seconds between two progress events of an image
OnPulled = Callable[[Need, str], object]


async def pull_all(
    engine: Engine,
    needs: Sequence[Need],
    mirrors: Sequence[str],
    emit: Emit,
    *,
    hurry: bool = False,
    on_pulled: OnPulled = lambda _need, _name: None,
) -> dict[str, Failure]:
    """Pull each image; return reference -> why it was not pulled.

    Once a registry has answered, a pull may take as long as data arrives; with `hurry`, the answer must come soon. A
    registry or mirror that did not answer is not asked for the remaining images. `on_pulled` gets each image as
    soon as it was pulled, and its name on the engine: its own, or that of a mirror.
    """
    pulls = _Pulls(engine, mirrors, emit, SHORT_TIMEOUT if hurry else FIRST_BYTE_TIMEOUT)

    async def get(need: Need) -> None:
        await pulls.get(need)
        if need.reference not in pulls.failures:
            on_pulled(need, pulls.swaps.get(need.reference, need.reference))

    await each(get, needs)
    in_order = [need.reference for need in needs if need.reference in pulls.failures]
    return {reference: pulls.failures[reference] for reference in in_order}


async def unavailable(engine: Engine, reference: str, auth: str, seconds: float) -> Failure | None:
    """Why the engine cannot get the image from its registry within this many seconds; nothing is downloaded."""
    answer = await digest(engine, reference, auth, seconds)
    return answer if isinstance(answer, Failure) else None


async def digest(engine: Engine, reference: str, auth: str, seconds: float) -> str | Failure:
    """The image's digest at its registry, as seen by the engine; or why there is none within this many seconds."""
    with anyio.move_on_after(seconds):
        try:
            return await engine.images.distribution(reference, auth)
        except CallError as error:
            return read_failure(error.reason, reference)
    return SILENT


class _Pulls:
    """One round of pulls: which registries do not answer, and which credentials each registry gets."""

    def __init__(self, engine: Engine, mirrors: Sequence[str], emit: Emit, patience: float) -> None:
        self.swaps: dict[str, str] = {}
        self.failures: dict[str, Failure] = {}
        self._engine = engine
        self._mirrors = mirrors
        self._emit = emit
        self._patience = patience
        self._silent: dict[str, Failure] = {}  # by registry or mirror
        self._given_up: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)  # by registry
        self._credentials: dict[str, str] = {}
        self._helper_failures: dict[str, DevenvError] = {}  # by registry: why it gets no credentials
        self._asking: defaultdict[str, anyio.Lock] = defaultdict(anyio.Lock)
        self._turns = anyio.CapacityLimiter(AT_ONCE)

    async def get(self, need: Need) -> None:
        """Pull the image or record its failure. After a temporary failure, the pull is tried again with pauses."""
        host = registry(need.reference)
        async with self._turns:
            for pause in (*PAUSES, None):
                failure = self._silent.get(host) or await self._own(need, host)
                if failure and failure.elsewhere:
                    failure = await self._elsewhere(need, failure)
                if failure is None:
                    self._emit(ImageState(need.reference, "pulled", self.swaps.get(need.reference, "")))
                    return
                if not failure.passing or pause is None:
                    self.failures[need.reference] = failure
                    self._emit(ImageState(need.reference, "failed", failure.cause))
                    return
                self._emit(ImageState(need.reference, "pulling", f"{failure.cause}: again in {pause:.0f} s"))
                await anyio.sleep(pause)

    async def _own(self, need: Need, host: str) -> Failure | None:
        """Pull from the image's own registry; return why that failed. A mirror with the image ends the wait."""
        failure: Failure | None = None
        answered = anyio.Event()
        async with anyio.create_task_group() as tasks:

            async def pull() -> None:
                nonlocal failure
                failure = await self._pull(need, need.reference, answered, self._patience)
                tasks.cancel_scope.cancel()

            async def leave() -> None:
                nonlocal failure
                await self._given_up[host].wait()
                if not answered.is_set():
                    failure = self._silent[host]
                    tasks.cancel_scope.cancel()

            tasks.start_soon(pull)
            tasks.start_soon(leave)
            if any(candidates(need.reference, mirror) for mirror in self._mirrors):
                with anyio.move_on_after(SHORT_TIMEOUT):
                    await answered.wait()
                if not answered.is_set() and await self._find(need, {}) and not answered.is_set():
                    failure = SILENT
                    tasks.cancel_scope.cancel()
        if failure and failure.impossible and not failure.passing:
            self._silent[host] = failure
            self._given_up[host].set()
        return failure

    async def _elsewhere(self, need: Need, failure: Failure) -> Failure | None:
        """Pull from a mirror; if that fails, return the failure with the answer of each mirror."""
        tried: dict[str, Failure] = {}
        pulled: dict[str, Failure] = {}
        while (name := self._only(need, tried) or await self._find(need, tried)) is not None:
            fault = await self._pull(need, name, anyio.Event(), MIRROR_TIMEOUT)
            if fault is None:
                self.swaps[need.reference] = name
                return None
            tried[name] = fault
            if not fault.absent:
                pulled[name] = fault
            if len(self._mirrors) == 1:
                self._note_silent(self._mirrors[0], fault)
        # Failed pulls take precedence, then the first name.
        return self._with_answers(failure, [*reversed(tried.items()), *pulled.items()])

    def _with_answers(self, failure: Failure, tries: Iterable[tuple[str, Failure]]) -> Failure:
        """The failure with the answer of each mirror; of several tries, the last one counts."""
        faults = {mirror: self._silent[mirror] for mirror in self._mirrors if mirror in self._silent}
        faults |= {
            mirror: fault for name, fault in tries for mirror in self._mirrors if name.startswith(f"{mirror}/")
        }
        causes = (f"{mirror}: {fault.cause}" for mirror, fault in faults.items())
        hint = next((fault.hint for fault in faults.values() if fault.hint and not fault.absent), None)
        return replace(failure, cause="; ".join([failure.cause, *causes]), hint=failure.hint or hint)

    def _only(self, need: Need, tried: Collection[str]) -> str | None:
        """The next name to pull from the only mirror, which need not be asked first."""
        if len(self._mirrors) == 1 and self._mirrors[0] not in self._silent:
            return next((name for name in candidates(need.reference, self._mirrors[0]) if name not in tried), None)
        return None

    async def _find(self, need: Need, tried: dict[str, Failure]) -> str | None:
        """The name under which a mirror has the image: all mirrors are asked at once, the first answer counts.

        Names in `tried` are left out; names that a mirror does not have are added to it.
        """
        names: list[str] = []
        async with anyio.create_task_group() as tasks:

            async def ask(mirror: str) -> None:
                for name in candidates(need.reference, mirror):
                    if mirror not in self._silent and name not in tried:
                        if fault := await self._asked(mirror, name):
                            tried[name] = fault
                        else:
                            names.append(name)
                            tasks.cancel_scope.cancel()
                            return

            for mirror in self._mirrors:
                tasks.start_soon(ask, mirror)
        return names[0] if names else None

    async def _asked(self, mirror: str, name: str) -> Failure | None:
        """Why the mirror does not have the name. A mirror that does not answer is reported once."""
        failure = SILENT
        with anyio.move_on_after(MIRROR_TIMEOUT):
            try:
                await self._engine.images.distribution(name, await self._auth(registry(name)))
            except CallError as error:
                failure = self._read(error, name)
            else:
                return None
        self._note_silent(mirror, failure)
        return failure

    def _note_silent(self, mirror: str, failure: Failure) -> None:
        if mirror not in self._silent and failure.impossible:
            self._silent[mirror] = failure
            self._emit(Notice(f"the mirror {mirror} is not asked any more: {failure.cause}", failure.hint))

    async def _pull(self, need: Need, name: str, answered: anyio.Event, seconds: float) -> Failure | None:
        """Pull the image under this name; return why that failed. The first answer must come within `seconds`."""
        reported, auth = 0.0, await self._auth(registry(name))
        self._emit(ImageState(need.reference, "pulling", "" if name == need.reference else name))
        with anyio.move_on_after(seconds) as patience:

            def take(progress: TransferProgress) -> None:
                nonlocal reported
                answered.set()
                patience.deadline = float("inf")
                if progress.layers and (now := anyio.current_time()) >= reported + EVERY:
                    reported = now
                    self._emit(ImageState(need.reference, "pulling", str(progress)))

            try:
                await self._engine.images.pull(name, platform=need.platform, auth=auth, on_progress=take)
            except CallError as error:
                return self._read(error, name)
            return None
        return SILENT

    async def _auth(self, host: str) -> str:
        """The registry's credentials; empty if their helper fails, since most images are public."""
        async with self._asking[host]:
            if host not in self._credentials:
                try:
                    self._credentials[host] = await credentials(host)
                except DevenvError as error:
                    self._credentials[host], self._helper_failures[host] = "", error
            return self._credentials[host]

    def _read(self, error: CallError, name: str) -> Failure:
        """The failure for the engine's error; a refusal also names a credential helper that failed."""
        failure, helper = read_failure(error.reason, name), self._helper_failures.get(registry(name))
        if helper is None or failure.elsewhere:
            return failure
        return replace(failure, cause=f"{failure.cause}: {helper.said}", hint=helper.hint)
