"""The answers of registries and mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.docker.images import Images
from devenv.docker.transport import CallError
from devenv.doctor import network
from devenv.doctor.facts import EngineInfo, ImageSources, Route
from devenv.doctor.project import ImageSourcesProbe, crlf
from devenv.host import certificates
from devenv.model.project import Build, Project, Service
from support.engine import Image, MemoryEngine, MemoryHost


@pytest.fixture
def quiet_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user settings and no credentials; this machine reaches every registry."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    async def route(*_: object) -> Route:
        return Route("", "", "auth.test")

    async def find(*_: object) -> tuple[frozenset[bytes], frozenset[bytes]]:
        return frozenset(), frozenset()

    monkeypatch.setattr(network, "route", route)
    monkeypatch.setattr(certificates, "find", find)


@pytest.mark.anyio
@pytest.mark.usefixtures("quiet_machine")
async def test_registries_of_a_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each registry is asked once, for a missing image first; built and local images need no registry."""
    asked: list[str] = []

    async def distribution(_: Images, reference: str, auth: str = "") -> str:
        asked.append(reference)
        if reference == "mysql:9":
            raise CallError(500, "lookup registry-1.docker.io: no such host", "asking")
        return "sha256:1"

    monkeypatch.setattr(Images, "distribution", distribution)
    host = MemoryHost()
    host.images = {"sha256:1": Image("sha256:1", {"redis:8"})}
    services = (
        Service("cache", image="redis:8"),
        Service("db", image="mysql:9", platform="linux/arm64"),
        Service("own", image="registry.test/own:1"),
        Service("made", image="stand-in.devenv/made:1"),
    )
    project = Project("shop", "/p", (), services)
    info = EngineInfo(platform="linux/amd64")
    sources: ImageSources = (await ImageSourcesProbe(MemoryEngine(host), project, info, ()).check())["images"]
    assert sorted(asked) == ["mysql:9", "registry.test/own:1"]
    hub, own = sources.registries
    assert (hub.host, hub.missing, hub.recipes, hub.users) == (
        "docker.io",
        ("mysql:9",),
        ("mysql:9",),
        ("service db",),
    )
    assert hub.failure is not None
    assert hub.failure.impossible
    assert (own.host, own.failure, own.missing, own.recipes) == (
        "registry.test",
        None,
        ("registry.test/own:1",),
        (),
    )
    assert sources.foreign == (("mysql:9", "linux/arm64", False),)


@pytest.mark.anyio
@pytest.mark.usefixtures("quiet_machine")
async def test_outside_of_a_project_docker_hub_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first project will need it; mirrors of the engine are its own business then."""
    asked: list[str] = []

    async def distribution(_: Images, reference: str, auth: str = "") -> str:
        asked.append(reference)
        raise CallError(500, "lookup registry-1.docker.io: no such host", "asking")

    monkeypatch.setattr(Images, "distribution", distribution)
    probe = ImageSourcesProbe(MemoryEngine(MemoryHost()), None, EngineInfo(mirrors=("https://m.test/",)), ())
    (hub,) = (await probe.check())["images"].registries
    assert (asked, hub.host, hub.users, hub.missing) == (["library/hello-world"], "docker.io", (), ())


@pytest.mark.anyio
@pytest.mark.usefixtures("quiet_machine")
async def test_an_invalid_mirror_is_an_error_of_the_project(tmp_path: Path) -> None:
    """Nothing is asked then."""
    (tmp_path / "devenv-compose").mkdir()
    (tmp_path / "devenv-compose/config.toml").write_text('[registry]\nmirrors = ["http://mirror.test"]\n')
    project = Project("shop", "/p", (), ())
    seen = await ImageSourcesProbe(MemoryEngine(MemoryHost()), project, EngineInfo(), ()).check()
    ((code, _),) = seen["errors"]
    assert (code, [*seen]) == ("project-wrong", ["errors"])


def test_scripts_with_the_wrong_line_ends(tmp_path: Path) -> None:
    """They are files that a kernel would start, at most three, and none below node_modules."""
    (tmp_path / "node_modules").mkdir()
    for number in range(4):
        (tmp_path / f"{number}.sh").write_bytes(b"#!/bin/sh\r\n")
    for name, text in (
        ("node_modules/x.sh", b"#!/bin/sh\r\n"),
        ("00-notes.sh", b"hello\r\n"),
        ("00-fine.sh", b"#!/bin/sh\n"),
    ):
        (tmp_path / name).write_bytes(text)
    project = Project("p", str(tmp_path), (), (Service("a", build=Build(str(tmp_path))), Service("b", image="x")))
    assert crlf(project) == ("0.sh", "1.sh", "2.sh")
