"""What `up` does about images, with an engine and registries made of tables."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from devenv.compose import resolve
from devenv.docker.cli import LocalImage
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.docker.images import Images, OnProgress, Progress
from devenv.docker.transport import CallError
from devenv.errors import ConfigError, EngineError
from devenv.events import Emit, Event, ImageState, Notice
from devenv.host import proxies
from devenv.images import acquire, listing
from devenv.images import pull as pulls
from devenv.images.acquire import AcquiredImages, acquire_images
from devenv.images.mirrors import exact
from devenv.images.standins import build
from devenv.model.image_ref import canonical, registry
from devenv.model.project import Build, Project, Service

NO_ENGINE = Engine(cast("Client", None), Endpoint("unix:///x"))
NO_ENGINE.platform = "linux/amd64"
MIRRORS = ("m.example/", "n.example/")
NO_HOST = "Error response from daemon: lookup registry.test: no such host"
DENIED = "Error response from daemon: pull access denied"


@dataclass
class World:
    """An engine that has `here`, and registries that refuse what is in `refuse`, or give the image.

    Those of `silent` say nothing for ever. What is in `passing` fails so often with that text first. Mirrors have
    `mirrored`; a `dead` one (by host) is not there.
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
    shown: dict[str, str] = field(default_factory=dict)  # reference -> what came with the pull

    async def local_images(self, references: Iterable[str]) -> tuple[LocalImage, ...]:
        """Those of the images that are here."""
        self.looks += 1
        full = {canonical(name): platform for name, platform in self.here.items()}
        names = {exact(reference) for reference in references} & full.keys()
        return tuple(
            LocalImage(f"sha256:{'1' * 64}", (name,), 5_000_000, "2026-01-02T03:04:05Z", platform=full[name])
            for name in sorted(names)
        )

    async def pull(self, reference: str, *, platform: str | None, auth: str, on_progress: OnProgress) -> None:
        """A pull that has ended."""
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
            if reference in self.refuse:
                raise CallError(500, self.refuse[reference], "pulling")
            for progress in (Progress(), Progress(0, 1), Progress(1, 2, 5_000_000, 10_000_000)):
                on_progress(progress)
                await anyio.sleep(pulls.EVERY)
        finally:
            self.at_once -= 1

    async def distribution(self, reference: str, auth: str = "") -> str:
        """What a registry says of a manifest."""
        self.asked.append(reference)
        self.shown[reference] = auth
        if registry(reference) in self.dead:
            raise CallError(500, "connection refused", "asking")
        refused = None if reference in self.mirrored else self.refuse.get(reference)
        if refused is None and reference.startswith(MIRRORS) and reference not in self.mirrored:
            refused = "manifest unknown"
        if refused:
            raise CallError(404, refused, "asking")
        return f"sha256:{'2' * 64}"

    async def make(self, _: Engine, references: Iterable[str], emit: Emit) -> dict[str, str]:
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
    for name in ("local_images", "pull", "distribution"):
        monkeypatch.setattr(Images, name, getattr(made, name))
    monkeypatch.setattr(build, "make", made.make)
    monkeypatch.setattr(pulls, "EVERY", 0.01)
    monkeypatch.setattr(pulls, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(pulls, "SHORT_TIMEOUT", 0.1)
    monkeypatch.setattr(Engine, "connect", nobody)
    monkeypatch.setenv("DOCKER_CONFIG", "/nowhere")
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


def test_local_images_are_not_pulled(world: World, project: Project) -> None:
    """One look at the engine is enough when everything is there, however the names are written."""
    world.here = dict.fromkeys(("docker.io/library/node:22", "mysql:9"), "")
    assert run(world, project) == AcquiredImages()
    assert (world.pulled, world.looks) == ([], 1)
    assert world.texts() == ["node:22 present", "mysql:9 present"]


def test_missing_images_are_pulled(world: World, project: Project) -> None:
    """Only the missing image is asked for, and its layers are counted."""
    world.here = {"node:22": ""}
    assert run(world, project, stand_ins=True) == AcquiredImages()
    assert world.pulled == ["mysql:9"]
    assert world.texts() == [
        "node:22 present",
        "mysql:9 pulling",
        "mysql:9 pulling 0 of 1 layers",
        "mysql:9 pulling 1 of 2 layers, 5 of 10 MB",
        "mysql:9 pulled",
    ]


def test_stand_ins_replace_images_that_no_registry_gives(world: World, project: Project) -> None:
    """With consent, services and Dockerfiles get stand-ins, in one line."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    provided = run(world, project, stand_ins=True)
    assert provided.swaps == {"node:22": "stand-in.devenv/node:22", "mysql:9": "stand-in.devenv/mysql:9"}
    assert world.texts()[-3:] == [
        "no registry answers: using stand-ins for node:22, mysql:9",
        "node:22 made",
        "mysql:9 made",
    ]


def test_only_what_is_missing_gets_a_stand_in(world: World, project: Project) -> None:
    """A public image that is here is used even if the registry is gone."""
    world.here, world.refuse = {"node:22": ""}, {"mysql:9": NO_HOST}
    assert run(world, project, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}
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
    world.here, world.refuse = dict.fromkeys(("always:1", "never:1", "missing:1"), ""), {"always:1": NO_HOST}
    assert run(world, project) == AcquiredImages()
    assert world.pulled == ["always:1"]
    assert world.texts()[-1] == "no registry answers: always:1 not renewed"
    del world.here["never:1"]
    with pytest.raises(EngineError, match=r"never:1 .service b.: it is not here, and its pull_policy is never"):
        run(world, project, stand_ins=True)


def test_a_dockerfile_named_in_lower_case(tmp_path: Path) -> None:
    """Builders accept `dockerfile` if there is no `Dockerfile`; a missing file is named as it is written."""
    (tmp_path / "dockerfile").write_text("FROM a:1\n", encoding="utf-8")
    project = a_project(tmp_path, Service("a", build=Build(str(tmp_path))))
    assert acquire.dockerfiles(project)["a"].name == "dockerfile"
    with pytest.raises(ConfigError, match="from other/Dockerfile, which cannot be read"):
        acquire.dockerfiles(a_project(tmp_path, Service("a", build=Build(f"{tmp_path}/other"))))


def test_a_silent_registry_is_given_up_on(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull without an answer fails after the timeout for the first byte."""
    monkeypatch.setattr(pulls, "FIRST_BYTE_TIMEOUT", 0.1)
    world.here, world.silent = {"node:22": ""}, {"mysql:9"}
    assert run(world, project, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}


def test_an_existing_stand_in_shortens_the_wait(world: World, project: Project) -> None:
    """A registry that was silent in the last run is likely to be silent again."""
    world.here, world.silent = {"node:22": "", "stand-in.devenv/mysql:9": ""}, {"mysql:9"}
    began = time.monotonic()
    assert run(world, project, stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}
    assert time.monotonic() - began < pulls.FIRST_BYTE_TIMEOUT / 2


def test_pulls_are_bounded_and_end_early(world: World, tmp_path: Path) -> None:
    """Eight at once; a registry that did not answer is not asked by those that wait, another one is."""
    services = [Service(f"s{number}", image=f"silent.test/x:{number}") for number in range(20)]
    project = a_project(tmp_path, *services, Service("other", image="fine.test/y:1"))
    world.refuse = {f"silent.test/x:{number}": NO_HOST for number in range(20)}
    with pytest.raises(EngineError, match="20 images are not available"):
        run(world, project)
    assert world.most_at_once <= 8
    assert world.pulled.count("fine.test/y:1") == 1
    assert len(world.pulled) <= 10


def test_a_mirror_gives_what_its_registry_does_not(world: World, project: Project) -> None:
    """Both forms at every mirror; the image keeps the mirror's name, and services and builds are given that."""
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    world.mirrored = {"n.example/x/docker.io/library/node:22", "m.example/library/mysql:9"}
    provided = run(world, project, mirrors=("m.example", "https://n.example/x/"))
    assert provided.swaps == {
        "node:22": "n.example/x/docker.io/library/node:22",
        "mysql:9": "m.example/library/mysql:9",
    }
    assert "mysql:9 pulled m.example/library/mysql:9" in world.texts()
    assert not [event for event in world.events if isinstance(event, Notice)]


def test_a_mirror_is_not_asked_for_what_its_registry_gives(world: World, project: Project) -> None:
    """A name means its own registry as long as that answers, even with a refusal."""
    world.refuse, world.mirrored = {"mysql:9": DENIED}, {"m.example/library/mysql:9"}
    with pytest.raises(EngineError, match="access is denied"):
        run(world, project, mirrors=("m.example",))
    assert world.asked == []


def test_a_mirror_that_answers_ends_the_wait_for_a_silent_registry(world: World, project: Project) -> None:
    """After the time of impatience a mirror that has the image ends the wait, and the silent pull with it."""
    world.here, world.silent = {"node:22": ""}, {"mysql:9"}
    world.mirrored = {"m.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example",)).swaps == {"mysql:9": "m.example/library/mysql:9"}
    assert world.at_once == 0


def test_a_dead_mirror_is_reported_once(world: World, tmp_path: Path) -> None:
    """It is not asked for the images after the first ones, and the cause of the failure names no mirror."""
    services = [Service(f"s{number}", image=f"x:{number}") for number in range(9)]
    world.refuse = {f"x:{number}": NO_HOST for number in range(9)}
    world.dead, world.mirrored = {"m.example"}, {f"n.example/library/x:{number}" for number in range(9)}
    provided = run(world, a_project(tmp_path, *services), mirrors=("m.example", "n.example"))
    assert len(provided.swaps) == 9
    assert [text for text in world.texts() if "m.example" in text] == [
        "the mirror m.example is not asked any more: connection refused"
    ]
    assert len([name for name in world.asked if name.startswith("m.example")]) <= 8


def test_the_next_mirror_is_asked_after_a_wrong_digest(world: World, project: Project) -> None:
    """The next mirror with the image is asked; if none is left, the error names the fault of each."""
    world.here = {"node:22": ""}
    world.refuse = {"mysql:9": NO_HOST, "m.example/library/mysql:9": "manifest verification failed for digest"}
    world.mirrored = {"m.example/library/mysql:9", "n.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example", "n.example")).swaps == {"mysql:9": "n.example/library/mysql:9"}
    with pytest.raises(EngineError, match=r"DNS.; m.example: the content does not match its digest"):
        run(world, project, mirrors=("m.example",))


def test_a_pull_in_progress_has_no_timeout(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout is for the first answer only."""
    monkeypatch.setattr(pulls, "FIRST_BYTE_TIMEOUT", 0.2)
    monkeypatch.setattr(pulls, "EVERY", 0.15)
    world.here = {"node:22": ""}
    assert run(world, project) == AcquiredImages()
    assert world.texts()[-1] == "mysql:9 pulled"


def test_a_slow_mirror_does_not_delay_others(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a mirror has the image, the calls to the others are cancelled."""

    async def distribution(_: Images, reference: str, auth: str = "") -> str:
        if reference.startswith("m.example"):
            await anyio.sleep_forever()
        return await world.distribution(reference, auth)

    monkeypatch.setattr(Images, "distribution", distribution)
    monkeypatch.setattr(pulls, "MIRROR_TIMEOUT", 0.5)
    world.here, world.refuse, world.mirrored = {"node:22": ""}, {"mysql:9": NO_HOST}, {"n.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example", "n.example")).swaps == {"mysql:9": "n.example/library/mysql:9"}
    assert not [event for event in world.events if isinstance(event, Notice)]


def test_a_renewed_image_counts_before_a_local_one(world: World, tmp_path: Path) -> None:
    """`always`: the registry's own image takes the place of what a mirror gave on another day."""
    world.here = {"m.example/library/a:1": ""}
    project = a_project(tmp_path, Service("a", image="a:1", pull_policy="always"))
    assert run(world, project, mirrors=("m.example",)) == AcquiredImages()
    world.refuse = {"a:1": NO_HOST}
    assert run(world, project, mirrors=("m.example",)).swaps == {"a:1": "m.example/library/a:1"}
    assert world.texts()[-1] == "no registry answers: a:1 not renewed"


def test_a_silent_mirror_times_out(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has so many seconds to say whether it has an image."""

    async def distribution(*_: object) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(Images, "distribution", distribution)
    monkeypatch.setattr(pulls, "MIRROR_TIMEOUT", 0.1)
    world.here, world.refuse = {"node:22": ""}, {"mysql:9": NO_HOST}
    assert run(world, project, mirrors=("m.example",), stand_ins=True).swaps == {"mysql:9": "stand-in.devenv/mysql:9"}
    assert "the mirror m.example is not asked any more: no answer in time" in world.texts()


def test_a_local_image_of_another_name_needs_no_registry(world: World, project: Project) -> None:
    """What was loaded from an archive, or came from a mirror, is there the next time without a question."""
    world.here = dict.fromkeys(("loaded.devenv/docker.io/library/node:22", "m.example/library/mysql:9"), "")
    provided = run(world, project, mirrors=("m.example",))
    assert provided.swaps == {
        "node:22": "loaded.devenv/docker.io/library/node:22",
        "mysql:9": "m.example/library/mysql:9",
    }
    assert (world.pulled, world.asked, world.looks) == ([], [], 2)
    world.refuse = {"mysql:9": NO_HOST}
    with pytest.raises(EngineError, match="mysql:9"):
        run(world, project)


def test_a_temporary_failure_is_tried_again(world: World, project: Project) -> None:
    """A busy registry is asked again, three times at most; a refusal, once."""
    world.here = {"node:22": ""}
    world.passing = {"mysql:9": ["toomanyrequests", "unexpected EOF", "received unexpected HTTP status: 502"]}
    assert run(world, project) == AcquiredImages()
    assert world.pulled == ["mysql:9"] * 4
    assert "mysql:9 pulling the connection broke: again in 0 s" in world.texts()
    world.passing = {"mysql:9": ["toomanyrequests"] * 9}
    with pytest.raises(EngineError, match="limit of pulls is reached") as raised:
        run(world, project, stand_ins=True)
    assert (raised.value.hint, len(world.pulled)) == ("docker login", 8)
    world.passing, world.refuse = {}, {"mysql:9": DENIED}
    with pytest.raises(EngineError, match="access is denied"):
        run(world, project)
    assert len(world.pulled) == 9


def test_a_pull_limit_leads_to_the_mirror_without_a_pause(world: World, project: Project) -> None:
    """The mirror is asked before the registry is asked again."""
    world.here, world.passing = {"node:22": ""}, {"mysql:9": ["toomanyrequests"] * 9}
    world.mirrored = {"m.example/library/mysql:9"}
    assert run(world, project, mirrors=("m.example",)).swaps == {"mysql:9": "m.example/library/mysql:9"}
    assert world.pulled == ["mysql:9", "m.example/library/mysql:9"]


def test_an_image_for_another_processor_does_not_count(world: World, tmp_path: Path) -> None:
    """It is pulled for the platform that the service names; variants of one do not matter."""
    world.here = {"a:1": "linux/amd64", "b:1": "linux/arm64", "c:1": "linux/amd64"}
    services = [Service(name, image=f"{name}:1", platform="linux/arm64/v8") for name in "ab"]
    run(world, a_project(tmp_path, *services, Service("c", image="c:1")))
    assert world.pulled == ["a:1 [linux/arm64/v8]"]


def test_a_frontend_that_cannot_be_pulled(world: World, project: Project) -> None:
    """It comes from a mirror, or is reported as missing: a build must not fail because of that line."""
    Path(project.directory, "backend/Dockerfile").write_text("# syntax=docker/dockerfile:1\nFROM node:22\n")
    world.here = dict.fromkeys(("node:22", "mysql:9"), "")
    world.refuse = {"docker/dockerfile:1": NO_HOST}
    assert run(world, project).frontends == {"docker/dockerfile:1": None}
    world.mirrored = {"m.example/docker/dockerfile:1"}
    provided = run(world, project, mirrors=("m.example",))
    assert provided.frontends == {"docker/dockerfile:1": "m.example/docker/dockerfile:1"}
    world.refuse, world.mirrored = {"docker/dockerfile:1": DENIED}, set()
    with pytest.raises(EngineError, match="docker/dockerfile:1"):
        run(world, project)


def test_each_registry_gets_only_its_own_credentials(
    world: World, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials of one registry never go to another; a missing helper is named if the registry refuses."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(
        '{"auths": {"m.example": {"auth": "dTpw"}}, "credHelpers": {"n.example": "x-"}}'
    )
    world.refuse = {"node:22": NO_HOST, "mysql:9": NO_HOST}
    world.mirrored = {"m.example/library/node:22", "n.example/library/mysql:9"}
    run(world, project, mirrors=("m.example", "n.example"))
    assert {registry(name) for name, auth in world.shown.items() if auth} == {"m.example"}
    world.refuse = {"node:22": NO_HOST, "n.example/a:1": DENIED}
    with pytest.raises(EngineError, match=r"access is denied: .* `docker-credential-x-` is not installed") as raised:
        run(world, a_project(tmp_path, Service("a", image="n.example/a:1")))
    assert "docker login n.example" in str(raised.value.hint)


def test_an_invalid_mirror_is_reported_first(world: World, project: Project) -> None:
    """A wrong entry is an error of the settings, before anything is asked."""
    with pytest.raises(ConfigError, match="port 99999"):
        run(world, project, mirrors=("m.example:99999",))
    assert world.looks == 0


def test_child_processes_get_the_proxies(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's proxies are used if the environment has none; an invalid proxy is reported first."""
    world.here = dict.fromkeys(("node:22", "mysql:9"), "")
    for name in (name for one in proxies.VARIABLES for name in (one, one.lower())):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname="Darwin"))
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.test:3128"})
    run(world, project)
    assert os.environ["HTTPS_PROXY"] == os.environ["https_proxy"] == "http://proxy.test:3128"
    monkeypatch.setenv("HTTP_PROXY", "http://user:p%40ss@h:99999")
    with pytest.raises(ConfigError, match=r"no proxy's address: http://\*\*\*@h:99999"):
        run(world, project)
    assert world.looks == 1


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


def test_a_dockerfile_that_is_a_pipe(tmp_path: Path) -> None:
    """A pipe is not opened."""
    os.mkfifo(tmp_path / "Dockerfile")
    with pytest.raises(ConfigError, match="no plain file"):
        acquire.dockerfiles(a_project(tmp_path, Service("a", build=Build(str(tmp_path)))))


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
    found = {service: (one.name, one.text) for service, one in acquire.dockerfiles(project).items()}
    assert found == {
        "file": ("app/other.Dockerfile", "FROM a\n"),
        "inline": ("dockerfile_inline of inline", "FROM b\n"),
    }


def test_list_images(world: World, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`devenv images` lists each image, who needs it and where it would come from, and changes nothing."""

    async def loaded(_: object) -> object:
        return type("Loaded", (), {"project": a_project(Path(project.directory), *project.services, *more)})()

    more = (Service("cache", image="redis:6"), Service("web", image="nginx:1"), Service("own", image="x.test/a:1"))
    monkeypatch.setattr(resolve, "load", loaded)
    world.here = {"node:22": ""}
    world.refuse = {"mysql:9": NO_HOST, "redis:6": NO_HOST, "x.test/a:1": DENIED}
    rows = anyio.run(listing.list_images, resolve.Selection(project.directory, (), None, ()))
    age = listing._age("2026-01-02T03:04:05Z", time.time())
    mysql = "stand-in.devenv/mysql:9, MySQL of Debian sid, can be made: devenv up --stand-ins"
    assert [(row.image, row.users, row.source, row.detail) for row in rows] == [
        ("node:22", ("backend/Dockerfile:1",), "present", f"5.0 MB, {age}, 111111111111"),
        ("mysql:9", ("service db",), "stand-in", mysql),
        ("redis:6", ("service cache",), "nowhere", "docker.io does not answer: its name is not found (DNS)"),
        ("nginx:1", ("service web",), "registry", "docker.io"),
        ("x.test/a:1", ("service own",), "nowhere", "access is denied"),
    ]
    assert world.pulled == []


def a_project(folder: Path, *services: Service) -> Project:
    return Project("todo", str(folder), (str(folder / "compose.yml"),), services)


def run(world: World, project: Project, *, stand_ins: bool = False, mirrors: Iterable[str] = ()) -> AcquiredImages:
    async def main() -> AcquiredImages:
        return await acquire_images(
            NO_ENGINE, project, mirrors=tuple(mirrors), stand_ins=stand_ins, emit=world.events.append
        )

    return anyio.run(main)


@contextlib.asynccontextmanager
async def nobody() -> AsyncIterator[Engine]:
    """An engine that only tables stand for."""
    yield NO_ENGINE


def test_a_failed_pull_ends_the_wait_of_others_for_that_registry(world: World, tmp_path: Path) -> None:
    """One pull fails because of DNS; others without an answer so far go on to the mirror at once."""
    project = a_project(tmp_path, *(Service(f"s{number}", image=f"x:{number}") for number in range(4)))
    world.refuse = {"x:0": NO_HOST}
    world.silent = {f"x:{number}" for number in range(1, 4)}
    world.mirrored = {f"m.example/library/x:{number}" for number in range(4)}
    began = time.monotonic()
    assert len(run(world, project, mirrors=("m.example",)).swaps) == 4
    assert time.monotonic() - began < pulls.FIRST_BYTE_TIMEOUT / 2
