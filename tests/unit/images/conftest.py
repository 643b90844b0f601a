"""Fixtures of tests on acquiring and pulling images."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.docker.client import Engine
from devenv.docker.images import Images
from devenv.images import pull as pulls
from devenv.images.standins import build
from devenv.model.project import Build, Project, Service
from support.registry_world import World, a_project, table_engine


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("local_images", "pull", "distribution"):
        monkeypatch.setattr(Images, name, getattr(made, name))
    monkeypatch.setattr(build, "make", made.make)
    monkeypatch.setattr(pulls, "EVERY", 0.01)
    monkeypatch.setattr(pulls, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(pulls, "SHORT_TIMEOUT", 0.1)
    monkeypatch.setattr(Engine, "connect", table_engine)
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
