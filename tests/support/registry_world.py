"""An engine and registries made of tables, for tests that acquire and pull images without a network."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.docker.images import LocalImage, OnProgress, TransferProgress
from devenv.docker.transport import CallError
from devenv.events import Emit, Event, ImageState, Notice
from devenv.images import pull as pulls
from devenv.images.acquire import AcquiredImages, acquire_images
from devenv.images.needs import exact
from devenv.images.standins.recipes import Recipe
from devenv.model.images import canonical, registry
from devenv.model.project import Project, Service

NO_ENGINE = Engine(cast("Client", None), Endpoint("unix:///x"))
NO_ENGINE.platform = "linux/amd64"
MIRRORS = ("m.example/", "n.example/")
NO_HOST = "Error response from daemon: lookup registry.test: no such host"
DENIED = "Error response from daemon: pull access denied"


@dataclass
class World:
    """An engine that has the images `here`, and registries that refuse those in `refuse`, or give the image.

    Those in `silent` never answer. Those in `passing` fail so often with that text first. Mirrors have `mirrored`;
    hosts in `dead` do not answer.
    """

    here: dict[str, str] = field(default_factory=dict)  # name -> platform
    refuse: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    passing: dict[str, list[str]] = field(default_factory=dict)
    mirrored: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    pulled: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    looks: int = 0
    shown: dict[str, str] = field(default_factory=dict)  # reference -> the credentials of the pull

    async def local_images(self, references: Iterable[str]) -> tuple[LocalImage, ...]:
        """The requested images that the engine has."""
        self.looks += 1
        full = {canonical(name): platform for name, platform in self.here.items()}
        names = {exact(reference) for reference in references} & full.keys()
        return tuple(
            LocalImage(f"sha256:{'1' * 64}", (name,), 5_000_000, "2026-01-02T03:04:05Z", platform=full[name])
            for name in sorted(names)
        )

    async def pull(self, reference: str, *, platform: str | None, auth: str, on_progress: OnProgress) -> None:
        """Pull an image to its end."""
        self.pulled.append(f"{reference} [{platform}]" if platform else reference)
        self.shown[reference] = auth
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(0.01)
            if reference in self.silent:
                await anyio.sleep_forever()
            if self.passing.get(reference):
                raise CallError(500, self.passing[reference].pop(0), "pulling")
            if refused := self.refuse.get(reference) or self._refused(reference):
                raise CallError(500, refused, "pulling")
            for progress in (
                TransferProgress(),
                TransferProgress(0, 1),
                TransferProgress(1, 2, 5_000_000, 10_000_000),
            ):
                on_progress(progress)
                await anyio.sleep(pulls.EVERY)
        finally:
            self.at_once -= 1

    async def distribution(self, reference: str, auth: str = "") -> str:
        """The answer of a registry about a manifest."""
        self.asked.append(reference)
        self.shown[reference] = auth
        if refused := self._refused(reference):
            raise CallError(404, refused, "asking")
        return f"sha256:{'2' * 64}"

    def _refused(self, reference: str) -> str | None:
        if registry(reference) in self.dead:
            return "connection refused"
        if reference in self.mirrored:
            return None
        return self.refuse.get(reference) or ("manifest unknown" if reference.startswith(MIRRORS) else None)

    async def make(self, _: Engine, recipes: Iterable[Recipe], emit: Emit) -> None:
        """Make everything that is requested."""
        self.made = [recipe.reference for recipe in recipes]
        for reference in self.made:
            emit(ImageState(reference, "made"))

    def texts(self) -> list[str]:
        """The events as text."""
        return [
            event.message if isinstance(event, Notice) else f"{event.reference} {event.state} {event.detail}".strip()
            for event in self.events
            if isinstance(event, Notice | ImageState)
        ]


def a_project(folder: Path, *services: Service) -> Project:
    return Project("todo", str(folder), (str(folder / "compose.yml"),), services)


def run(world: World, project: Project, *, stand_ins: bool = False, mirrors: Iterable[str] = ()) -> AcquiredImages:
    async def main() -> AcquiredImages:
        return await acquire_images(
            NO_ENGINE, project, mirrors=tuple(mirrors), stand_ins=stand_ins, emit=world.events.append
        )

    return anyio.run(main)


@contextlib.asynccontextmanager
async def table_engine() -> AsyncIterator[Engine]:
    """An engine, represented by tables only."""
    yield NO_ENGINE
