"""The protocols are what the engine and Compose do, and no more than the product asks of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

import devenv
from devenv.docker import protocols
from devenv.docker.client import Engine
from devenv.docker.compose import Compose

if TYPE_CHECKING:
    from devenv.docker.protocols import (
        ComposeVerbs,
        ContainerCommands,
        ContainerControl,
        ContainerFiles,
        EngineView,
        Identified,
        ImageStore,
        NetworkStore,
        ProjectView,
        VolumeStore,
        Words,
    )
    from support.engine import MemoryCompose, MemoryEngine

    class Everything(
        Identified,
        ProjectView,
        EngineView,
        ContainerControl,
        ContainerFiles,
        ContainerCommands,
        Words,
        VolumeStore,
        NetworkStore,
        ImageStore,
        Protocol,
    ):
        """All that a run asks of an engine; that these four do it, mypy says."""

    def _engine(one: Engine) -> Everything:
        return one

    def _in_memory(one: MemoryEngine) -> Everything:
        return one

    def _compose(one: Compose) -> ComposeVerbs:
        return one

    def _compose_in_memory(one: MemoryCompose) -> ComposeVerbs:
        return one


GROUPS = {
    name: group
    for name, group in vars(protocols).items()
    if inspect.isclass(group) and group.__module__ == protocols.__name__
}
METHODS = [
    (name, method)
    for name, group in GROUPS.items()
    for method, found in vars(group).items()
    if inspect.isfunction(found) and not method.startswith("_")
]


@pytest.mark.parametrize(("group", "method"), METHODS)
def test_a_method_has_the_parameters_that_it_is_said_to_have(group: str, method: str) -> None:
    real = inspect.signature(getattr(Compose if group == "ComposeVerbs" else Engine, method))
    said = inspect.signature(getattr(GROUPS[group], method))
    assert [(p.name, p.kind) for p in said.parameters.values()] == [
        (p.name, p.kind) for p in real.parameters.values()
    ]


SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in Path(devenv.__file__).parent.rglob("*.py")
    if path.parent.name != "engine"
)


@pytest.mark.parametrize("method", sorted({method for _, method in METHODS}))
def test_a_method_is_asked_for_outside_the_engine_room(method: str) -> None:
    assert re.search(rf"\.{method}\b", SOURCES)


def test_no_group_repeats_another() -> None:
    methods = [method for _, method in METHODS]
    assert sorted(methods) == sorted(set(methods))
