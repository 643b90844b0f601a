"""Projects on an engine that does not have the files of this machine."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.compose.outline import Selection
from devenv.docker.containers import Archive
from devenv.errors import ConfigError
from devenv.events import Notice
from devenv.model.project import Action
from devenv.run import steps
from devenv.run.remote_files import adapt_once, sees_files, without_place
from support.memory.host import Container, MemoryHost, default_program
from support.memory.machine import Machine, Site
from support.steps import opened

LINES = """services:
  web:
    volumes:
      - ./src:/srv
      - ./app.conf:/etc/app.conf:ro
    configs:
      - source: site
        target: /etc/site
        uid: "33"
        mode: 0440
    secrets: [tok]
configs:
  site: {file: ./site.txt}
secrets:
  tok: {file: ./tok}
"""
SECRET = bytes(range(256)) * 8


def bind(source: Path, target: str, **more: Any) -> dict[str, Any]:
    """An entry of `volumes` in the resolved model."""
    return {"type": "bind", "source": str(source), "target": target, "bind": {"create_host_path": True}, **more}


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with each kind of file, on an engine elsewhere."""
    machine.host.is_elsewhere = True
    folder = machine.folder / "shop"
    web = {
        "volumes": [bind(folder / "src", "/srv"), bind(folder / "app.conf", "/etc/app.conf", read_only=True)],
        "configs": [{"source": "site", "target": "/etc/site", "uid": "33", "mode": 0o440}],
        "secrets": [{"source": "tok"}],
    }
    site = machine.site("shop", web=web)
    named = {
        "configs": {"site": {"name": "shop_site", "file": str(folder / "site.txt")}},
        "secrets": {"tok": {"name": "shop_tok", "file": str(folder / "tok")}},
    }
    site = machine.place(replace(site, model={**site.model, **named}))
    (folder / "compose.yml").write_text(LINES, encoding="utf-8")
    (folder / "src").mkdir()
    for name, content in (("src/index", b"1"), ("app.conf", b"2"), ("site.txt", b"3"), ("tok", SECRET)):
        (folder / name).write_bytes(content)
    return site


@pytest.mark.anyio
@pytest.mark.parametrize("watch", [True, False])
async def test_files_are_there_before_the_start(machine: Machine, shop: Site, *, watch: bool) -> None:
    """Content, owner and permissions; also without a watcher. No mount of this machine is left."""
    started: list[Container] = []

    def program(host: MemoryHost, container: Container) -> None:
        started.append(replace(container, files=container.files.copy()))
        default_program(host, container)

    machine.host.program = program
    command = await machine.run_up(shop, watch=watch)
    assert command.error is None
    (web,) = started
    assert not web.mounts
    files, nodes = web.files.contents(), web.files.nodes
    assert (nodes["etc/site"].uid, nodes["etc/site"].gid, nodes["etc/site"].mode) == (33, 0, 0o440)
    assert (nodes["run/secrets/tok"].uid, nodes["run/secrets/tok"].mode) == (0, 0o444)
    expected = {"srv/index": b"1", "etc/app.conf": b"2", "etc/site": b"3", "run/secrets/tok": SECRET}
    assert {name: files.get(name) for name in expected} == expected
    notices = [event.message for event in command.events if isinstance(event, Notice)]
    assert [notice for notice in notices if notice.startswith("compose.yml:")] == [
        "compose.yml:4: ./src is synced into web in place of the bind mount; what web writes there stays there",
        "compose.yml:5: ./app.conf is synced into web in place of the bind mount",
        "compose.yml:7: the config `site` is copied into web from ./site.txt",
        "compose.yml:11: the secret `tok` is copied into web from ./tok",
    ]


@pytest.mark.anyio
async def test_nothing_is_created_for_what_cannot_be_replaced(machine: Machine, shop: Site) -> None:
    """All places are reported at once, before images."""
    (shop.folder / "src/index").unlink()
    (shop.folder / "tok").unlink()
    command = await machine.run_up(shop)
    assert isinstance(command.error, ConfigError)
    first, *rest = command.error.message.splitlines()
    assert first.endswith("does not have the files of this machine; this cannot be replaced:")
    assert [line.strip() for line in rest] == [
        "compose.yml:4: `web` writes its data into ./src: use a volume: `- src:/srv`",
        "compose.yml:15: the secret `tok` is ./tok, which does not exist: write it",
    ]
    assert not machine.host.containers


@pytest.mark.anyio
async def test_a_single_reason_has_its_place(machine: Machine, shop: Site) -> None:
    """File, line and hint are those of any error."""
    (shop.folder / "tok").unlink()
    command = await machine.run_up(shop)
    assert isinstance(command.error, ConfigError)
    assert (command.error.file, command.error.line, command.error.hint) == ("compose.yml", 15, "write it")


@pytest.mark.anyio
async def test_an_engine_with_the_same_files_keeps_the_mounts(machine: Machine, shop: Site) -> None:
    """A container that mounts the project shows whether it has them; it is removed again."""
    machine.host.is_elsewhere = False
    async with opened(machine, shop) as run:
        taken = await run.after(steps.replace_mounts)
        assert taken.desired.loaded.remote is None
        assert [mount.target for mount in taken.desired.project.service("web").volumes] == ["/srv", "/etc/app.conf"]
        assert not machine.host.containers
        transfer, project = run.context.volume_transfer, run.loaded.project
        machine.host.is_elsewhere = True
        assert not await sees_files(transfer.holders, project)


@pytest.mark.anyio
@pytest.mark.parametrize(("later", "larger"), [(0, 0), (1, 0), (0, 1)])
async def test_another_file_at_the_same_path_is_noticed(
    machine: Machine, shop: Site, monkeypatch: pytest.MonkeyPatch, later: int, larger: int
) -> None:
    """The engine's machine may have a checkout in a folder of the same name: size and time are compared."""
    machine.host.is_elsewhere = False
    own = (shop.folder / "compose.yml").stat()

    async def stat(_archive: Archive, _container: str, _path: str) -> dict[str, Any]:
        changed = dt.datetime.fromtimestamp(int(own.st_mtime) + later, dt.UTC)
        return {"size": own.st_size + larger, "mtime": f"{changed:%Y-%m-%dT%H:%M:%S}.123456789Z"}

    monkeypatch.setattr(Archive, "stat", stat)
    async with opened(machine, shop) as run:
        context = run.context
        is_same = await sees_files(context.volume_transfer.holders, run.loaded.project)
    assert is_same is not bool(later or larger)


@pytest.mark.anyio
async def test_an_unknown_answer_changes_nothing(machine: Machine, shop: Site) -> None:
    """Without a file to compare, an engine at a unix socket has the files of this machine."""
    (shop.folder / "compose.yml").rename(shop.folder / "other.yml")
    async with opened(machine, shop) as run:
        transfer, project = run.context.volume_transfer, run.loaded.project
        assert await sees_files(transfer.holders, project)


@pytest.mark.anyio
async def test_sync_once_uses_the_same_rules(machine: Machine, shop: Site) -> None:
    """`devenv sync` finds them without a message."""
    async with opened(machine, shop) as run:
        context = run.context
        loaded = await adapt_once(shop.loaded(Selection(str(shop.folder))), context.engine, context.run)
        rules = loaded.project.service("web").watch
        assert [(rule.action, rule.target) for rule in rules] == [
            (Action.SYNC, "/srv"), (Action.SYNC, "/etc/app.conf")
        ]  # fmt: skip
        machine.host.is_elsewhere = False
        loaded = await adapt_once(shop.loaded(Selection(str(shop.folder))), context.engine, context.run)
        assert not loaded.project.service("web").watch


def test_a_moved_line_is_no_new_message() -> None:
    """A reload reports what is newly replaced."""
    assert without_place("compose.yml:4: ./src is synced: a") == "./src is synced: a"
