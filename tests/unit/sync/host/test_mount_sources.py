"""Facts about mounted paths of this machine, and what replaces them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devenv.compose.files import read
from devenv.compose.parse import parse
from devenv.compose.positions import shown
from devenv.compose.remote_files import HostPath, Kind
from devenv.compose.resolve import Loaded
from devenv.sync.host.mount_sources import facts, has_name_of_file, placed, replacements


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("./app.conf", True),
        ("/etc/nginx/nginx.CONF", True),
        ("./.env", True),
        (".env.local", True),
        ("~/.npmrc", True),
        ("./Caddyfile", True),
        ("/var/run/docker.sock", True),
        ("./data", False),
        ("./conf.d", False),
        ("./sites/example.com", False),
        ("./repository.git", False),
        ("./.cache", False),
        ("./postgres-17.2", False),
        ("./profile", False),
    ],
)
def test_names_that_look_like_files(path: str, *, expected: bool) -> None:
    """A name that folders have, too, is excluded: refusing a folder is worse than creating one."""
    assert has_name_of_file(path) is expected


def fact(path: Path, target: str = "/x") -> HostPath:
    """The facts about one path of the project in the folder above it."""
    return facts({str(path): target}, str(path.parent))[str(path)]


def test_kinds_of_paths(tmp_path: Path) -> None:
    """A missing path is lost if its name, or that of its target, is one of a file."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    kinds = {name: fact(tmp_path / name).kind for name in ("file", "pipe", "socket", "data", "a.conf")}
    assert kinds == {
        "file": Kind.FILE, "pipe": Kind.OTHER, "socket": Kind.SOCKET, "data": Kind.MISSING, "a.conf": Kind.LOST
    }  # fmt: skip
    assert fact(tmp_path / "data", "/etc/app.conf").kind is Kind.LOST
    assert fact(Path("/dev/null")).kind is Kind.DEVICE


def test_a_folder_without_files_is_empty(tmp_path: Path) -> None:
    """Placeholders that keep it in a repository do not count, in folders below it neither."""
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (folder / "a/.gitkeep").touch()
    assert fact(folder).is_empty
    (folder / "a/base").touch()
    assert not fact(folder).is_empty


def test_links_lead_to_the_path_as_the_project_has_it(tmp_path: Path) -> None:
    """Also if the folder of the project is behind a link."""
    (tmp_path / "real/releases/5").mkdir(parents=True)
    (tmp_path / "real/current").symlink_to("releases/5")
    (tmp_path / "real/out").symlink_to("/etc")
    (tmp_path / "project").symlink_to("real")
    assert fact(tmp_path / "project/current").real == str(tmp_path / "project/releases/5")
    assert fact(tmp_path / "project/out").real == "/etc"


@pytest.fixture
def another_user() -> Iterator[None]:
    """The user of this process is not root: the one whose access is checked, not the one who acts."""
    is_root = os.getuid() == 0
    if is_root:
        os.setreuid(65534, -1)
    yield
    if is_root:
        os.setreuid(0, -1)


@pytest.mark.usefixtures("another_user")
def test_unreadable_paths(tmp_path: Path) -> None:
    """The engine could read them, this process cannot."""
    (tmp_path / "secret").touch(0)
    assert fact(tmp_path / "secret").unreadable == "permission denied"
    assert not fact(Path("/etc/passwd")).unreadable


def test_generated_files_of_a_folder(tmp_path: Path) -> None:
    """As `add rules` ignores them."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web/package.json").touch()
    assert fact(tmp_path / "web").made == ("**/node_modules/",)


def test_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the environment or from the .env file of the project."""
    (tmp_path / ".env").write_text("B=1\n", encoding="utf-8")
    monkeypatch.setenv("A", "1")
    kinds = facts({"$A": "/a", "$B": "/b", "$C": "/c"}, str(tmp_path))
    assert [path.kind for path in kinds.values()] == [Kind.FILE, Kind.FILE, Kind.LOST]


FILE = """name: p
services:
  web:
    image: i
    read_only: true
    tmpfs: [/run]
    volumes:
      - ./src:/srv
      - ./etc:/proc/x
    secrets: [tok]
secrets:
  tok: {file: ./tok}
"""


def test_targets_without_place_for_a_file_are_refused(tmp_path: Path) -> None:
    """Each remark leads to its line."""
    (tmp_path / "compose.yml").write_text(FILE, encoding="utf-8")
    for name in ("src", "etc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "tok").touch()
    mounts = [
        {"type": "bind", "source": f"{tmp_path}/{s}", "target": t} for s, t in (("src", "/srv"), ("etc", "/proc/x"))
    ]
    web = {"image": "i", "read_only": True, "tmpfs": ["/run"], "volumes": mounts, "secrets": [{"source": "tok"}]}
    model: dict[str, Any] = {"name": "p", "services": {"web": web}, "secrets": {"tok": {"file": f"{tmp_path}/tok"}}}
    project = parse(model, directory=str(tmp_path), files=("compose.yml",))
    _, remote = replacements(Loaded(project, model), ["web"])
    sources = read([str(tmp_path / "compose.yml")], base=str(tmp_path))
    assert [(shown(placed(sources, r)), r.message) for r in remote.refused] == [
        ("compose.yml:8", "service `web` is `read_only`, and no volume is mounted over the `target` /srv"),
        ("compose.yml:9", "the `target` /proc/x belongs to the system: no file can be put there"),
        (
            "compose.yml:10",
            "the `target` /run/secrets/tok is inside the tmpfs /run, where the engine can put no file",
        ),
    ]
