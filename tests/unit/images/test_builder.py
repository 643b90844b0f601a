"""The builder that is selected in Buildx."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.images.builder import foreign_builder

HERE = Endpoint("unix:///var/run/docker.sock")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Buildx, with one builder of each kind."""
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
    error = foreign_builder(HERE)
    assert (error.message.split()[2:4] if error else None) == ([name, "(docker-container)"] if name else None)
    assert error is None or error.hint == "BUILDX_BUILDER=default devenv up"
