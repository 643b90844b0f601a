"""What `up` does about images, with an engine and registries made of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from devenv.config import load
from devenv.engine import docker
from devenv.engine.docker import LocalImage
from devenv.engine.process import Completed
from devenv.errors import ConfigError, EngineError
from devenv.images import pantry, pulls, standins, survey
from devenv.images.pantry import Provided, provide
from devenv.images.references import canonical
from devenv.model.events import Emit, Event, ImageState, Notice
from devenv.model.project import Build, Project, Service

NO_HOST = "Error response from daemon: lookup registry.test: no such host"
DENIED = "Error response from daemon: pull access denied"


@dataclass
class World:
    """An engine that has `here`, and registries that answer a pull with `refuse[reference]` or give the image."""

    here: set[str] = field(default_factory=set)
    refuse: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    pulled: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    looks: int = 0

    async def local_images(self, references: Iterable[str]) -> tuple[LocalImage, ...]:
        """Those of the images that are here."""
        self.looks += 1
        names = {canonical(reference) for reference in references} & {canonical(name) for name in self.here}
        return tuple(LocalImage(f"sha256:{'1' * 64}", (name,), 5_000_000, "2026-01-02T03:04:05Z") for name in names)

    async def pull(self, reference: str, *, platform: str | None, on_line: Callable[[str], object]) -> Completed:
        """An ended `docker pull`."""
        self.pulled.append(f"{reference} [{platform}]" if platform else reference)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(0.01)
            if reference in self.silent:
                await anyio.sleep_forever()
            if reference in self.refuse:
                return Completed(1, b"", self.refuse[reference].encode())
            for line in ("1: Pulling from x", "aa: Pulling fs layer", "bb: Already exists", "aa: Pull complete"):
                on_line(line)
            return Completed(0, b"", b"")
        finally:
            self.at_once -= 1

    async def manifest(self, reference: str) -> Completed:
        """An ended `docker manifest inspect`."""
        refused = self.refuse.get(reference)
        return Completed(1, b"", refused.encode()) if refused else Completed(0, b"{}", b"")

    async def has_mirrors(self) -> bool:
        """No mirrors here."""
        return False

    async def make(self, references: Iterable[str], emit: Emit) -> dict[str, str]:
        """All that was asked for, as made."""
        self.made = list(references)
        for reference in self.made:
            emit(ImageState(reference, "made"))
        return {reference: f"stand-in.devenv/{reference}" for reference in self.made}

    def texts(self) -> list[str]:
        """The events as text."""
        return [
            event.message if isinstance(event, Notice) else f"{event.reference} {event.state} {event.detail}".strip()
            for event in self.events
            if isinstance(event, Notice | ImageState)
        ]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("local_images", "pull", "manifest", "has_mirrors"):
        monkeypatch.setattr(docker, name, getattr(made, name))
    monkeypatch.setattr(standins, "make", made.make)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A backend built on node:22, and a database."""
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend/Dockerfile").write_text("FROM node:22\n")
    return a_project(
        tmp_path,
        Service("backend", image="example/backend", build=Build(str(tmp_path / "backend"))),
        Service("db", image="mysql:9"),
    )


def test_what_is_here_is_not_pulled(world: World, project: Project) -> None:
    """One look at the engine is enough when everything is there, however the names are written."""
    world.here = {"docker.io/library/node:22", "mysql:9"}
    assert run(world, project) == Provided()
    assert (world.pulled, world.looks) == ([], 1)
    assert world.texts() == ["node:22 present", "mysql:9 present"]


def test_what_is_missing_is_pulled(world: World, project: Project) -> None:
    """Only the missing image is asked for, and its layers are counted."""
    world.here = {"node:22"}
    assert run(world, project, stand_ins=True) == Provided()
    assert world.pulled == ["mysql:9"]
    assert world.texts() == [
        "node:22 present",
        "mysql:9 pulling",
        "mysql:9 pulling 0 of 1 layers",
        "mysql:9 pulling 1 of 2 layers",
        "mysql:9 pulling 2 of 2 layers",
        "mysql:9 pulled",
    ]


def test_stand_ins_take_the_place_of_what_no_registry_gives(world: World, project: Project) -> None:
    """With consent, services and Dockerfiles get stand-ins, in one line."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    provided = run(world, project, stand_ins=True)
    assert provided.images["mysql:9"] == "stand-in.devenv/mysql:9"
    assert provided.bases == {"backend": {"node:22": "stand-in.devenv/node:22"}}
    assert world.texts()[-3:] == [
        "no registry answers: using stand-ins for node:22, mysql:9",
        "node:22 made",
        "mysql:9 made",
    ]


def test_only_what_is_missing_gets_a_stand_in(world: World, project: Project) -> None:
    """A public image that is here is used even if the registry is gone."""
    world.here, world.refuse = {"node:22"}, {"mysql:9": NO_HOST}
    assert run(world, project, stand_ins=True).bases == {}
    assert world.made == ["mysql:9"]


def test_no_stand_ins_without_consent(world: World, project: Project) -> None:
    """Without the flag the error says which images are missing and how to allow stand-ins."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    with pytest.raises(EngineError) as raised:
        run(world, project)
    assert "node:22 (backend/Dockerfile:1)" in raised.value.message
    assert "mysql:9 (service db)" in raised.value.message
    assert "daemon" not in raised.value.message
    assert raised.value.hint == "devenv up --stand-ins"
    assert world.made == []


def test_pull_policies(world: World, tmp_path: Path) -> None:
    """`always` renews, and keeps what is here if no registry answers; `never` never asks."""
    project = a_project(
        tmp_path,
        Service("a", image="always:1", pull_policy="always"),
        Service("b", image="never:1", pull_policy="never"),
        Service("c", image="missing:1", pull_policy="missing"),
    )
    world.here, world.refuse = {"always:1", "never:1", "missing:1"}, {"always:1": NO_HOST}
    assert run(world, project) == Provided()
    assert world.pulled == ["always:1"]
    assert world.texts()[-1] == "no registry answers: always:1 not renewed"
    world.here.remove("never:1")
    with pytest.raises(EngineError, match=r"never:1 .service b.: it is not here, and its pull_policy is never"):
        run(world, project, stand_ins=True)


def test_a_silent_registry_is_given_up_on(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull whose registry says nothing counts as impossible after the time for its first word."""
    monkeypatch.setattr(pulls, "FIRST_WORD", 0.1)
    world.here, world.silent = {"node:22"}, {"mysql:9"}
    assert run(world, project, stand_ins=True).images == {"mysql:9": "stand-in.devenv/mysql:9"}


def test_pulls_are_bounded_and_end_early(world: World, tmp_path: Path) -> None:
    """Four at once; a registry that did not answer four is not asked by those that wait, another one is."""
    services = [Service(f"s{number}", image=f"silent.test/x:{number}") for number in range(9)]
    project = a_project(tmp_path, *services, Service("other", image="fine.test/y:1"))
    world.refuse = {f"silent.test/x:{number}": NO_HOST for number in range(9)}
    with pytest.raises(EngineError, match="9 images cannot be had"):
        run(world, project)
    assert world.most_at_once <= 4
    assert world.pulled.count("fine.test/y:1") == 1
    assert len(world.pulled) <= 6


def test_a_platform_is_pulled_for(world: World, tmp_path: Path) -> None:
    """The service's platform reaches the pull."""
    run(world, a_project(tmp_path, Service("a", image="a:1", platform="linux/arm64")))
    assert world.pulled == ["a:1 [linux/arm64]"]


def test_a_missing_dockerfile_is_named(world: World, project: Project) -> None:
    """The error names the service and the file, before anything is pulled."""
    Path(project.directory, "backend/Dockerfile").unlink()
    with pytest.raises(ConfigError, match="service backend is built from backend/Dockerfile") as raised:
        run(world, project)
    assert raised.value.exit_code == 5
    assert world.pulled == []


def test_dockerfiles_of_every_kind(tmp_path: Path) -> None:
    """Inline ones are read from the model, remote contexts have none, names are relative to the project."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/other.Dockerfile").write_text("FROM a\n")
    project = a_project(
        tmp_path,
        Service("file", build=Build(str(tmp_path / "app"), "other.Dockerfile")),
        Service("inline", build=Build(str(tmp_path), dockerfile_inline="FROM b\n")),
        Service("remote", build=Build("https://example.test/repository.git")),
        Service("image", image="c"),
    )
    found = {service: (one.name, one.text) for service, one in pantry.dockerfiles(project).items()}
    assert found == {
        "file": ("app/other.Dockerfile", "FROM a\n"),
        "inline": ("dockerfile_inline of inline", "FROM b\n"),
    }


def test_survey(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`devenv images` says of each image who needs it and where it would come from, and changes nothing."""

    async def loaded(_: object) -> object:
        return type("Loaded", (), {"project": a_project(Path(project.directory), *project.services, *more)})()

    more = (Service("cache", image="redis:7"), Service("web", image="nginx:1"), Service("own", image="x.test/a:1"))
    monkeypatch.setattr(load, "load", loaded)
    world.here = {"node:22"}
    world.refuse = {"mysql:9": NO_HOST, "redis:7": NO_HOST, "x.test/a:1": DENIED}
    rows = anyio.run(survey.survey, load.Selection(project.directory, (), None, ()))
    assert [(row["image"], row["needed by"], row["from"], row["detail"]) for row in rows] == [
        ("node:22", "backend/Dockerfile:1", "present", "111111111111, 5 MB, of 2026-01-02"),
        ("mysql:9", "service db", "stand-in", "stand-in.devenv/mysql:9: can be made; up --stand-ins"),
        ("redis:7", "service cache", "nowhere", "docker.io does not answer: its name is not found (DNS)"),
        ("nginx:1", "service web", "pull", "docker.io"),
        ("x.test/a:1", "service own", "nowhere", "access is denied"),
    ]
    assert world.pulled == []


def a_project(folder: Path, *services: Service) -> Project:
    return Project("todo", str(folder), (str(folder / "compose.yml"),), services)


def run(world: World, project: Project, *, stand_ins: bool = False) -> Provided:
    async def main() -> Provided:
        return await provide(project, stand_ins=stand_ins, emit=world.events.append)

    return anyio.run(main)
