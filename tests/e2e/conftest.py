"""Fixtures for the tests of whole runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from conftest import newer_compose_env
from support import far as machines
from support.cli import StartDevenv
from support.docker_cli import BASE_IMAGE
from support.far import Far
from support.lab import Lab
from support.lab_stack import LabStack
from support.stack import unique_name
from support.upper import Up


@pytest.fixture
def up(devenv: StartDevenv) -> Up:
    """Starts `devenv up`: `up(stack, *args)`, or `up.ready(stack, *args)` to wait for it."""
    return Up(devenv)


@pytest.fixture
def lab_stacks(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., LabStack]]:
    """Makes projects on a lab's engine: `lab_stacks(lab, compose="installed", within=()) -> LabStack`."""
    made: list[LabStack] = []

    def make(lab: Lab, compose: str = "installed", within: Sequence[str] = ()) -> LabStack:
        plugins = {} if compose == "installed" else newer_compose_env()
        name = unique_name(request.node.originalname)
        made.append(LabStack(lab, tmp_path / f"lab_stack{len(made)}", name, plugins, within))
        return made[-1]

    yield make
    for lab_stack in made:
        lab_stack.remove()


@pytest.fixture
def lab_stack(lab: Lab, lab_stacks: Callable[..., LabStack]) -> LabStack:
    """A project on an engine that reaches only the test's fronts at 127.0.0.1."""
    return lab_stacks(lab)


@pytest.fixture(scope="module")
def far(engine: str, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """The other machine."""
    if sys.platform != "linux" or os.geteuid() != 0 or not machines.is_possible():
        pytest.skip("another machine needs root on Linux, sshd and ip")
    with machines.far(tmp_path_factory.mktemp("far") / "engine", BASE_IMAGE) as machine:
        yield machine
