"""Which builder a build uses, and why it failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio
import pytest

from devenv.docker.compose_failures import BuildError
from devenv.docker.endpoint import Endpoint
from devenv.images.build import build, foreign_builder

if TYPE_CHECKING:
    from devenv.docker.compose import Compose


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
            raise BuildError("the build of `a`", reason)

    with pytest.raises(BuildError) as caught:
        anyio.run(lambda: build(cast("Compose", Failing()), ["a"], lambda _: None, host_settings=False))
    assert caught.value.message == expected


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Buildx's folder, with one builder of each kind."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("BUILDX_BUILDER", raising=False)
    monkeypatch.delenv("BUILDX_CONFIG", raising=False)
    instances = tmp_path / "buildx/instances"
    instances.mkdir(parents=True)
    for name, driver in (("box", "docker-container"), ("own", "docker")):
        (instances / name).write_text(json.dumps({"Name": name, "Driver": driver}))
    return tmp_path / "buildx"


@pytest.mark.parametrize(
    ("current", "variable", "name"),
    [
        (None, "", None),
        (None, "box", "box"),
        (None, "own", None),
        (None, "default", None),
        ({"Key": HERE.host, "Name": "box"}, "", "box"),
        ({"Key": HERE.host, "Name": "box"}, "default", None),
        ({"Key": "unix:///elsewhere", "Name": "box"}, "", None),
        ({"Key": "unix:///elsewhere", "Name": "box", "Global": True}, "", "box"),
        ({"Key": HERE.host, "Name": ""}, "", None),
        ([], "", None),
    ],
)
def test_which_builder_is_selected(
    folder: Path, monkeypatch: pytest.MonkeyPatch, current: object, variable: str, name: str | None
) -> None:
    """The variable counts before the choice that was made for this engine, or for all."""
    if current is not None:
        (folder / "current").write_text(json.dumps(current))
    monkeypatch.setenv("BUILDX_BUILDER", variable)
    told = foreign_builder(HERE)
    assert (told.message.split()[2:4] if told else None) == ([name, "(docker-container)"] if name else None)
    assert told is None or told.hint == "BUILDX_BUILDER=default devenv up"
