"""The protocols are what the engine and Compose do, and no more than the product asks of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import devenv
from devenv.docker import protocols
from devenv.docker.archive import Archive
from devenv.docker.client import Engine
from devenv.docker.compose import Compose
from devenv.docker.containers import Containers
from devenv.docker.exec import Exec
from devenv.docker.images import Images
from devenv.docker.networks import Networks
from devenv.docker.volumes import Volumes

if TYPE_CHECKING:
    from devenv.docker.protocols import ComposeVerbs, DockerEngine
    from support.engine import MemoryCompose, MemoryEngine

    # mypy checks that these four fulfil the protocols.

    def _engine(engine: Engine) -> DockerEngine:
        return engine

    def _in_memory(engine: MemoryEngine) -> DockerEngine:
        return engine

    def _compose(compose: Compose) -> ComposeVerbs:
        return compose

    def _compose_in_memory(compose: MemoryCompose) -> ComposeVerbs:
        return compose


CLASSES = {
    "ContainerControl": Containers,
    "ContainerFiles": Archive,
    "ContainerCommands": Exec,
    "VolumeStore": Volumes,
    "NetworkStore": Networks,
    "ImageStore": Images,
    "DockerEngine": Engine,
    "ComposeVerbs": Compose,
}
GROUPS = {
    "ContainerControl": "containers",
    "ContainerFiles": "archive",
    "ContainerCommands": "exec",
    "VolumeStore": "volumes",
    "NetworkStore": "networks",
    "ImageStore": "images",
}
PROTOCOLS = {
    name: protocol
    for name, protocol in vars(protocols).items()
    if inspect.isclass(protocol) and protocol.__module__ == protocols.__name__
}
METHODS = [
    (name, method)
    for name, protocol in PROTOCOLS.items()
    for method, function in vars(protocol).items()
    if inspect.isfunction(function) and not method.startswith("_")
]
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for path in Path(devenv.__file__).parent.rglob("*.py")
    if path.parent.name != "docker"
)


def test_every_protocol_has_a_class() -> None:
    assert PROTOCOLS.keys() == CLASSES.keys()


@pytest.mark.parametrize(("protocol", "method"), METHODS)
def test_a_method_has_the_parameters_of_its_class(protocol: str, method: str) -> None:
    real = inspect.signature(getattr(CLASSES[protocol], method))
    declared = inspect.signature(getattr(PROTOCOLS[protocol], method))
    assert [(p.name, p.kind) for p in declared.parameters.values()] == [
        (p.name, p.kind) for p in real.parameters.values()
    ]


@pytest.mark.parametrize(("protocol", "method"), METHODS)
def test_a_method_is_used_outside_its_package(protocol: str, method: str) -> None:
    call = rf"\.{GROUPS[protocol]}\.{method}\b" if protocol in GROUPS else rf"\.{method}\b"
    assert re.search(call, SOURCES)
