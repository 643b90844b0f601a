"""What `up` says about an isolated project: old addresses, commands on old names, files that the tree lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.compose.files import read
from devenv.compose.isolation import isolate
from devenv.compose.outline import Selection
from devenv.compose.parse import parse
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import PortChange
from devenv.docker import process
from devenv.events import Notice
from devenv.run import isolated
from devenv.run.desired import DesiredState
from devenv.run.isolated import report, stale_addresses
from support import worktrees

FILE = """\
name: shop
services:
  web:
    image: a
    container_name: shop_web
    ports: ["8000:80", "9000-9001:90"]
    env_file: [web.env]
    environment:
      API: http://localhost:8000/api
      OTHER: http://localhost:9000
  worker:
    build:
      context: .
      args:
        - SITE=http://127.0.0.1:8000
x-devenv:
  hooks:
    after_healthy: docker exec shop_web true
"""
MODEL: dict[str, Any] = {
    "name": "shop-there",
    "services": {
        "web": {
            "image": "a",
            "container_name": "shop_web",
            "ports": [{"target": 80, "published": "8000"}, {"target": 90, "published": "9000-9001"}],
            "environment": {
                "API": "http://localhost:8000/api", "OTHER": "http://localhost:9000",
                "FROM_FILE": "localhost:8000", "UNSET": None,
            },
        },
        "worker": {"build": {"context": ".", "args": {"SITE": "http://127.0.0.1:8000"}}},
    },
    "x-devenv": {"hooks": {"after_healthy": "docker exec shop_web true"}},
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    """The only backend."""
    return "asyncio"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worktree whose main worktree has local files, which git ignores; it is the current folder."""
    monkeypatch.setattr(isolated, "every_runs", lambda: iter(()))
    main = tmp_path / "shop"
    main.mkdir()
    (main / "compose.yml").write_text(FILE)
    (main / "seed.sh").write_text("#!/bin/sh\ndocker exec -i shop_web seed\n")
    (main / ".gitignore").write_text(".env\nlocal/\ncerts\n*.key\n")
    worktrees.repository(main)
    made = worktrees.add(main, tmp_path / "there")
    for name in (".env", "local/a/b", "local/c", "certs/d", "my.key", "other.key"):
        (main / name).parent.mkdir(parents=True, exist_ok=True)
        (main / name).write_text(name)
    (main / "untracked").write_text("")
    monkeypatch.chdir(made)
    return made


def desired(tree: Path) -> DesiredState:
    """The isolated project, with its ports."""
    model, isolation = isolate(MODEL)
    project = parse(model, directory=str(tree), files=(str(tree / "compose.yml"),))
    hooks = tuple(replace(hook, where="compose.yml:18") for hook in project.hooks)
    loaded = Loaded(replace(project, hooks=hooks), model, isolation=isolation)
    ports = (PortChange("web", "21000", 80), PortChange("web", "21001", 90))
    return DesiredState(loaded, frozenset(model["services"]), ports=ports, auto=True)


async def said(tree: Path, *, is_first: bool = True) -> list[str]:
    """What is reported, with hints."""
    notices: list[str] = []

    def emit(event: object) -> None:
        assert isinstance(event, Notice)
        notices.append(f"{event.message} | {event.hint}" if event.hint else event.message)

    await report(desired(tree), Selection(str(tree)), emit, is_first=is_first)
    return notices


def test_values_that_name_a_moved_port(tree: Path) -> None:
    """With their places: in a mapping, a list, an env file; the variable's value is not shown."""
    (tree / "web.env").write_text("# local\nexport FROM_FILE = localhost:8000\n")
    sources = read([str(tree / "compose.yml")], base=str(tree))
    assert list(stale_addresses(desired(tree), sources)) == [
        "compose.yml:9: API names localhost:8000, which is localhost:21000 in this run",
        "web.env:2: FROM_FILE names localhost:8000, which is localhost:21000 in this run",
        "compose.yml:15: SITE names 127.0.0.1:8000, which is 127.0.0.1:21000 in this run",
    ]


@pytest.mark.anyio
async def test_local_files_of_the_main_tree_are_offered(tree: Path, tmp_path: Path) -> None:
    """Ignored files that the include file names, and `.env`; never what exists, and only before the first start."""
    main = tmp_path / "shop"
    before = (await said(tree))[-1]
    assert before == f"the main worktree has files that this one lacks: ./.env | cp {main}/.env .env"
    (main / ".worktreeinclude").write_text("# local\n/local/a\ncerts/d\n*.key\n!other.key\nuntracked\ncompose.yml\n")
    (tree / ".env").write_text("mine")
    told = (await said(tree))[-1]
    assert told == (
        "the main worktree has files that this one lacks: ./certs, ./local/a, ./my.key | "
        f"cp -R {main}/certs certs && "
        f"mkdir -p local && cp -R {main}/local/a local/a && cp {main}/my.key my.key"
    )
    assert "that this one lacks" not in " ".join(await said(tree, is_first=False))
    await process.run(["sh", "-c", told.partition(" | ")[2]])
    assert ((tree / "local/a/b").read_text(), (tree / ".env").read_text()) == ("local/a/b", "mine")
    assert "that this one lacks" not in " ".join(await said(tree))


@pytest.mark.anyio
async def test_changes_and_commands_on_old_names_are_said(tree: Path) -> None:
    """One line says what was changed; hooks and scripts that name a container are listed with their lines."""
    told = await said(tree)
    changed = "network aliases in place of container names: shop_web; ports are automatic"
    assert told[0] == f"shop-there is isolated: {changed}"
    assert told[-2] == (
        "docker finds no container of this tree by the names in compose.yml:18 (shop_web), seed.sh:2 (shop_web) | "
        "devenv exec web ...   (in place of docker exec shop_web ...)"
    )


@pytest.mark.anyio
async def test_a_run_under_the_old_name_is_said(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one that was started in this folder under the name in the file."""
    runs = [(None, SimpleNamespace(project=name)) for name in ("shop", "other", "shop-there")]
    monkeypatch.setattr(isolated, "every_runs", lambda: iter(runs))
    monkeypatch.setattr(isolated, "began_in", lambda *_: True)
    lines = [line for line in await said(tree) if "also up" in line]
    assert lines == ["this tree is also up as shop, with the data of that project | devenv down -p shop"]
