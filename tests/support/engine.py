"""The engine and the verbs of Compose in memory, for tests that have no engine: fast, and faulty on demand.

`MemoryHost` is an engine's state. `MemoryEngine` is the product's own client of it, which speaks the Engine API to
`support.memory.routes`; `MemoryCompose` is the product's own Compose, whose child is `support.memory.program`. Both
have one `Faults`. `PlainCompose` and `PlainDocker` do not use devenv. `tests/engine/test_memory.py` runs
the same tests on the real pair.

    host = MemoryHost()
    engine, compose = pair(host)                   # compose(project, directory, model) -> MemoryCompose
    monkeypatch.setattr(stage, "Compose", compose)
"""

from __future__ import annotations

from support.memory.client import MEMORY, MemoryClient, MemoryEngine, factory
from support.memory.compose import Child, ComposeHome, MemoryCompose, build, pair
from support.memory.faults import Crash, Fails, Fault, Faults
from support.memory.files import FOLDER, Node, Tree, pack, unpack
from support.memory.host import (
    BASE_IMAGE,
    Container,
    Image,
    MemoryHost,
    Mount,
    Network,
    Volume,
    default_execution,
    default_program,
)
from support.memory.plain_docker import ComposeError, PlainCompose, PlainDocker
from support.memory.refusal import Refused

__all__ = [
    "BASE_IMAGE",
    "FOLDER",
    "MEMORY",
    "Child",
    "ComposeError",
    "ComposeHome",
    "Container",
    "Crash",
    "Fails",
    "Fault",
    "Faults",
    "Image",
    "MemoryClient",
    "MemoryCompose",
    "MemoryEngine",
    "MemoryHost",
    "Mount",
    "Network",
    "Node",
    "PlainCompose",
    "PlainDocker",
    "Refused",
    "Tree",
    "Volume",
    "build",
    "default_execution",
    "default_program",
    "factory",
    "pack",
    "pair",
    "unpack",
]
