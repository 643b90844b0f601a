"""The overrides of a run for its images, the builder, and why a build failed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import pytest

from devenv.docker.compose_failures import BuildError
from devenv.docker.endpoint import Endpoint
from devenv.events import Event, Notice
from devenv.host.package_managers import PackageSettings
from devenv.images import acquire
from devenv.images.acquire import AcquiredImages
from devenv.images.host_settings import derive
from devenv.images.needs import needs
from devenv.images.prepare import PreparedImages, build, prepare_images
from devenv.model.images import BUILT_ON, ImageOptions
from devenv.model.project import Build, Project, Service
from support.engine import Image, MemoryEngine, MemoryHost

pytestmark = pytest.mark.anyio

STAND_IN = "stand-in.devenv/node:22"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A service that is built on node:22, and a database."""
    (tmp_path / "Dockerfile").write_text("# syntax=docker/dockerfile:1\nFROM node:22\nENV OWN=1\n")
    services = (Service("web", build=Build(str(tmp_path), args=(("Own_Arg", "1"),))), Service("db", image="mysql:9"))
    return Project("shop", str(tmp_path), (), services)


@pytest.fixture
def prepare(project: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Prepare the project's images; `swaps` and `frontends` are what acquiring them gave."""
    host = MemoryHost()
    engine = MemoryEngine(host)
    monkeypatch.setenv("BUILDX_BUILDER", "")
    monkeypatch.setenv("BUILDX_CONFIG", "/nowhere")

    async def run(
        options: ImageOptions | None = None,
        *,
        swaps: dict[str, str] | None = None,
        frontends: dict[str, str | None] | None = None,
        reported: frozenset[Notice] = frozenset(),
        images: tuple[Image, ...] = (),
    ) -> tuple[PreparedImages, list[Event]]:
        events: list[Event] = []
        host.images = {image.id: image for image in images}

        async def acquire_images(*_: object, **__: object) -> AcquiredImages:
            texts = acquire.dockerfiles(project)
            return AcquiredImages(swaps or {}, frontends or {}, needs(project, texts, "linux/amd64"), texts)

        monkeypatch.setattr(acquire, "acquire_images", acquire_images)
        prepared = await prepare_images(engine, project, options or ImageOptions(), events.append, reported=reported)
        return prepared, events

    return run


async def test_nothing_changes_if_all_images_are_here(prepare: Any) -> None:
    """No swap, no argument, no copy of the Dockerfile, and no notice."""
    prepared, events = await prepare()
    assert (prepared.images, prepared.environment, events) == ({}, {}, [])
    change = prepared.builds["web"]
    assert (change.bases, change.arguments, change.dockerfile, change.labels) == ({}, {}, None, {})


async def test_a_build_uses_the_swap_of_its_base(prepare: Any) -> None:
    """An image that is built on a stand-in has a label that says so; an image of another service is not a base."""
    prepared, _ = await prepare(swaps={"node:22": STAND_IN, "mysql:9": "mirror.test/mysql:9"})
    assert prepared.images == {"node:22": STAND_IN, "mysql:9": "mirror.test/mysql:9"}
    change = prepared.builds["web"]
    assert (change.bases, change.labels) == ({"node:22": STAND_IN}, {BUILT_ON: STAND_IN})


async def test_a_frontend_under_another_name(prepare: Any) -> None:
    """The build gets the name as an argument."""
    prepared, events = await prepare(frontends={"docker/dockerfile:1": "mirror.test/docker/dockerfile:1"})
    assert prepared.builds["web"].arguments == {"BUILDKIT_SYNTAX": "mirror.test/docker/dockerfile:1"}
    assert events == []


async def test_a_frontend_that_nobody_has(prepare: Any, project: Project) -> None:
    """The build gets a copy of the Dockerfile without the line, next to the `.dockerignore`; reported once."""
    ignore = Path(project.directory, "Dockerfile.dockerignore")
    ignore.write_text("x\n")
    prepared, (notice,) = await prepare(frontends={"docker/dockerfile:1": None})
    copy = Path(prepared.builds["web"].dockerfile)
    assert copy.read_text().splitlines() == ["# not used: syntax=docker/dockerfile:1", "FROM node:22", "ENV OWN=1"]
    assert Path(f"{copy}.dockerignore").read_text() == "x\n"
    assert notice.message.endswith("the engine's own builder reads the Dockerfile of web")
    again, events = await prepare(frontends={"docker/dockerfile:1": None}, reported=prepared.reported)
    assert (events, again.reported) == ([], prepared.reported)


async def test_host_settings_reach_builds_and_containers(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments that the build sets and variables that the image or its Dockerfile sets are left alone."""
    derived = "inside.devenv/node:22-0"

    async def host_settings() -> PackageSettings:
        return PackageSettings(npm={"registry": "https://npm.test/"})

    async def derive_images(*_: object) -> dict[str, str]:
        return {"node:22": derived}

    async def step_arguments(*_: object) -> dict[str, str]:
        return {"HTTP_PROXY": "http://proxy.test", "OWN_ARG": "2"}

    monkeypatch.setattr(derive, "host_settings", host_settings)
    monkeypatch.setattr(derive, "derive", derive_images)
    monkeypatch.setattr(derive, "environment", lambda _: {"CA": "/ca", "OWN": "2", "IMAGE": "3"})
    monkeypatch.setattr("devenv.images.prepare.step_arguments", step_arguments)
    image = Image("sha256:1", {derived}, environment=["IMAGE=1"])
    prepared, _ = await prepare(ImageOptions(host_settings=True), images=(image,))
    assert prepared.host_settings
    arguments = prepared.builds["web"].arguments
    assert arguments == {"CA": "/ca", "OWN": "2", "IMAGE": "3", "HTTP_PROXY": "http://proxy.test"}
    assert prepared.environment == {"web": {"CA": "/ca"}}


async def test_changed_dockerfiles_need_another_preparation(prepare: Any, project: Project) -> None:
    """It is current as long as the text of each Dockerfile stays."""
    prepared, _ = await prepare()
    assert await prepared.is_current(project)
    Path(project.directory, "Dockerfile").write_text("FROM node:20\n")
    assert not await prepared.is_current(project)


def test_a_new_preparation_counts_before_the_old_one() -> None:
    """Entries that only the old preparation has stay."""
    first, second = Notice("first"), Notice("second")
    old = PreparedImages({"a": "1", "b": "1"}, reported=frozenset([first]))
    merged = PreparedImages({"a": "2"}, host_settings=True, reported=frozenset([second])).merged_over(old)
    assert (merged.images, merged.host_settings) == ({"a": "2", "b": "1"}, True)
    assert merged.reported == {first, second}


async def test_secrets_among_build_arguments_are_reported(prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image keeps them in its history; a builder that does not see the engine's images is reported as well."""
    monkeypatch.setattr(
        "devenv.images.prepare.foreign_builder", lambda _: Notice("the builder box does not see the engine's images")
    )
    monkeypatch.setattr(
        "devenv.images.prepare.secret_arguments_notice", lambda name, _: Notice(f"{name} keeps its arguments")
    )
    _, events = await prepare()
    assert [event.message for event in events] == [
        "the builder box does not see the engine's images",
        "web keeps its arguments",
    ]


if TYPE_CHECKING:
    from devenv.docker.cli import Compose


HERE = Endpoint("unix:///var/run/docker.sock")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            'failed to do request: Head "https://registry-1.docker.io/v2/x": dial tcp: lookup: no such host',
            "the build of `a` failed: docker.io does not answer: its name is not found (DNS)",
        ),
        (
            'Get "https://me:c4n4ry@files.test/x": dial tcp: connection refused',
            "the build of `a` failed: files.test does not answer: connection refused",
        ),
        (
            "fatal: unable to access: i/o timeout",
            "the build of `a` failed: a server does not answer: no answer in time",
        ),
        ("x: not found", "the build of `a` failed: image or tag not found"),
        ("something else", "the build of `a` failed: something else"),
    ],
)
def test_a_failed_build_names_the_silent_server(reason: str, expected: str) -> None:
    """The address is shown without its login."""

    class Failing:
        async def build(self, *_: object) -> None:
            raise BuildError("a", reason)

    project = Project("p", "/p", (), ())
    with pytest.raises(BuildError) as caught:
        anyio.run(lambda: build(cast("Compose", Failing()), ["a"], lambda _: None, project, PreparedImages()))
    assert caught.value.message == expected
