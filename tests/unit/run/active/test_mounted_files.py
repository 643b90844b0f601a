"""Files of configs and secrets in the containers of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from devenv.events import Notice, Problem
from devenv.run.active import mounted_files
from support.memory.machine import Machine, Site


@pytest.fixture
def shop(machine: Machine) -> Site:
    """Two containers with a config, on an engine elsewhere."""
    machine.host.is_elsewhere = True
    folder = machine.folder / "shop"
    configs = [{"source": "site", "target": "/site.txt"}, {"source": "site", "target": "/etc/site"}]
    site = machine.site("shop", web={"configs": configs, "scale": 2}, other={})
    named = {"site": {"name": "shop_site", "file": str(folder / "site.txt")}}
    site = machine.place(replace(site, model={**site.model, "configs": named}))
    (folder / "compose.yml").write_text("services:\n  web:\n    configs: [site]\n", encoding="utf-8")
    (folder / "site.txt").write_text("1", encoding="utf-8")
    return site


async def until(path: Path, machine: Machine, content: bytes) -> None:
    """Return when every container of web has the content."""
    with anyio.fail_after(20):
        while {  # noqa: ASYNC110 - the engine in memory has no event for it
            container.files.read(name)
            for container in machine.host.containers.values()
            if "web" in container.name
            for name in (path.name, f"etc/{path.stem}")
        } != {content}:
            await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_a_changed_file_is_copied_again(machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into each container; a file that is gone stays in them until it is back."""
    monkeypatch.setattr(mounted_files, "LOOK_EVERY", 0.01)
    file = shop.folder / "site.txt"
    async with anyio.create_task_group() as tasks:
        command = await machine.up(shop, tasks=tasks, watch=True)
        await until(file, machine, b"1")
        file.write_text("2", encoding="utf-8")
        await until(file, machine, b"2")
        file.unlink()
        await anyio.sleep(0.05)
        file.write_text("3", encoding="utf-8")
        await until(file, machine, b"3")
        command.interrupt()
        await command.over.wait()
    assert not [event for event in command.events if isinstance(event, Problem)]
    notices = [event.message for event in command.events if isinstance(event, Notice)]
    assert "the changed config `site` is copied into web again" in notices
