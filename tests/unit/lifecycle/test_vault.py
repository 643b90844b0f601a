"""The containers that hold volumes while these are saved, against an engine that is played."""

from __future__ import annotations

# ruff: noqa: D102 - the fake speaks the words of what it stands for
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.lifecycle.snapshots import Vault
from devenv.lifecycle.store import Store
from devenv.model.observed import Volume

pytestmark = pytest.mark.anyio


class SlowEngine:
    """Takes a moment to answer; what it has begun by then it does, whoever waits for it."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.there: set[str] = set()

    async def images(self) -> tuple[str, ...]:
        return ("image",)

    async def create_container(self, _wish: Mapping[str, Any]) -> str:
        self.asked.set()
        self.there.add("holder")
        await anyio.sleep(0.05)
        return "holder"

    async def save(self, *_what: object, **_how: object) -> None:
        await anyio.sleep(60)

    async def remove_container(self, container_id: str) -> None:
        self.there.discard(container_id)


async def test_a_save_that_is_given_up_leaves_no_container(tmp_path: Path) -> None:
    """Also where the engine was just making one."""
    engine = SlowEngine()
    vault = Vault(engine, lambda _: None, "p", "/p", Store(str(tmp_path)), 100, 100)  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:

        async def save() -> None:
            await vault.save(Volume("v", "p", "data"), (), settled=True)

        tasks.start_soon(save)
        await engine.asked.wait()
        tasks.cancel_scope.cancel()
    assert engine.there == set()
    assert Store(str(tmp_path)).all() == ()
