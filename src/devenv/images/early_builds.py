"""Builds that run beside other work: while images are pulled, and while volumes are restored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from devenv.errors import DevenvError
from devenv.events import Emit, Problem

if TYPE_CHECKING:
    from devenv.images.prepare import PreparedImages

TOGETHER = 0.5  # seconds without another image before a build begins: one build of several services takes less time

Prepare = Callable[[], "Awaitable[PreparedImages]"]
Build = Callable[[Sequence[str], "PreparedImages", int], Awaitable[None]]  # services, images, number


class EarlyBuilds:
    """Builds that run in `tasks`, at the same time; `build` gets their numbers, from 1 on.

    A failure is raised by `finish`, once all images have been pulled, or could not be.
    """

    def __init__(self, tasks: TaskGroup, build: Build, emit: Emit) -> None:
        self._tasks = tasks
        self._build = build
        self._emit = emit
        self._offers = 0
        self._begun: dict[str, anyio.Event] = {}  # by service: the end of its build
        self._failures: list[DevenvError] = []
        self._independent: frozenset[str] = frozenset()

    def offer(self, services: Sequence[str], prepare: Prepare) -> None:
        """Build these services, as far as they are not being built, unless more are offered within `TOGETHER`."""
        self._offers += 1
        if not self._begun.keys() >= {*services}:
            self._tasks.start_soon(self._begin, self._offers, services, prepare)

    def close(self, independent: Collection[str] = ()) -> None:
        """Begin no other build. The `independent` services use no image that is built here."""
        self._offers += 1
        self._independent = frozenset(independent)

    async def _begin(self, offer: int, services: Sequence[str], prepare: Prepare) -> None:
        await anyio.sleep(TOGETHER)
        if offer == self._offers:
            left = [service for service in services if service not in self._begun]
            number = len({*self._begun.values()}) + 1

            async def build() -> None:
                await self._build(left, await prepare(), number)

            await self._run(build, self._begins(left))

    def _begins(self, services: Sequence[str]) -> anyio.Event:
        ended = anyio.Event()
        self._begun |= dict.fromkeys(services, ended)
        return ended

    async def _run(self, build: Callable[[], Awaitable[None]], ended: anyio.Event) -> None:
        try:
            await build()
        except DevenvError as error:
            self._failures.append(error)
        ended.set()

    def add(self, services: Sequence[str], build: Callable[[], Awaitable[None]]) -> None:
        """Begin a build of other services at once."""
        self._tasks.start_soon(self._run, build, self._begins(services))

    async def left(self, services: Sequence[str]) -> tuple[str, ...]:
        """The services that remain to be built. Raises a failure of the others, if that is known already.

        If their images may be based on others, those are built first.
        """
        remaining = tuple(service for service in services if service not in self._begun)
        if self._failures or not self._independent.issuperset(remaining):
            await self.finish()
        return remaining

    async def finish(self) -> None:
        """Wait for the builds that have begun. Raises the first failure, and reports the others."""
        for ended in self._begun.values():
            await ended.wait()
        if self._failures:
            error, *self._failures = self._failures
            self.report_failures()
            raise error

    def report_failures(self) -> None:
        """Report builds that have failed, if something else ends the run."""
        for error in self._failures:
            self._emit(Problem(error.said, error.hint))
