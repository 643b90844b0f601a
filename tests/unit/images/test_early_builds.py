"""Builds that begin while other images are being pulled."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from devenv.errors import DevenvError
from devenv.events import Event, Problem
from devenv.images import early_builds
from devenv.images.early_builds import EarlyBuilds
from devenv.images.prepare import PreparedImages

pytestmark = pytest.mark.anyio


@dataclass
class Builds:
    """Builds that end when their service is let go; services in `failing` fail then."""

    begun: list[tuple[int, Sequence[str]]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    gates: dict[str, anyio.Event] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    early: EarlyBuilds = field(init=False)

    async def build(self, services: Sequence[str], _: PreparedImages, number: int) -> None:
        """Record the build, and end it when its services are let go."""
        self.begun.append((number, services))
        for service in services:
            if service in self.gates:
                await self.gates[service].wait()
            if service in self.failing:
                raise DevenvError(f"{service} failed", hint=f"repair {service}")

    async def offer(self, *services: str) -> None:
        """Offer the services, and wait until they are begun."""

        async def prepared() -> PreparedImages:
            return PreparedImages()

        self.early.offer(services, prepared)
        await anyio.wait_all_tasks_blocked()


@pytest.fixture
async def builds(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Builds]:
    monkeypatch.setattr(early_builds, "TOGETHER", 0.0)
    made = Builds()
    async with anyio.create_task_group() as tasks:
        made.early = EarlyBuilds(tasks, made.build, made.events.append)
        yield made
        tasks.cancel_scope.cancel()


async def test_a_later_service_does_not_wait_for_a_build(builds: Builds) -> None:
    """Each service is built once, and each build has a number of its own."""
    builds.gates = {"a": anyio.Event()}
    await builds.offer("a")
    await builds.offer("a", "b")
    await builds.offer("a", "b")
    assert builds.begun == [(1, ["a"]), (2, ["b"])]


async def test_services_that_are_offered_together_are_one_build(builds: Builds) -> None:
    """Of offers that follow each other at once, the last one counts."""

    async def prepared() -> PreparedImages:
        return PreparedImages()

    builds.early.offer(["a"], prepared)
    builds.early.offer(["a", "b"], prepared)
    await anyio.wait_all_tasks_blocked()
    assert builds.begun == [(1, ["a", "b"])]


async def test_nothing_begins_after_the_last_image(builds: Builds) -> None:
    """What was offered just before is left to build."""

    async def prepared() -> PreparedImages:
        return PreparedImages()

    builds.early.offer(["a"], prepared)
    builds.early.close(["a"])
    assert await builds.early.left(["a"]) == ("a",)
    await anyio.wait_all_tasks_blocked()
    assert builds.begun == []


@pytest.mark.parametrize("independent", [True, False])
async def test_only_a_service_that_may_use_another_image_waits_for_its_build(
    builds: Builds, *, independent: bool
) -> None:
    """An image that is built here may be the base of another."""
    builds.gates = {"a": anyio.Event()}
    await builds.offer("a")
    builds.early.close(["a", "b"] if independent else ["a"])
    left: list[Any] = []

    async def ask() -> None:
        left.append(await builds.early.left(["a", "b"]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert left == ([("b",)] if independent else [])
        builds.gates["a"].set()
    assert left == [("b",)]


async def test_the_first_failure_is_raised_and_the_others_are_reported(builds: Builds) -> None:
    """Not before all images have arrived: the pulls are not cut off."""
    builds.failing = {"a", "b"}
    await builds.offer("a")
    await builds.offer("a", "b")
    builds.early.close(["a", "b", "c"])
    assert builds.events == []
    with pytest.raises(DevenvError, match="a failed"):
        await builds.early.left(["a", "b", "c"])
    assert builds.events == [Problem("b failed", "repair b")]


async def test_failures_are_reported_if_an_image_is_missing(builds: Builds) -> None:
    """That ends the run, and the next run would fail by the build."""
    builds.failing = {"a"}
    await builds.offer("a")
    builds.early.report_failures()
    assert builds.events == [Problem("a failed", "repair a")]
