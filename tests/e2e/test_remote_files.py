"""An engine behind a forwarded socket that does not have the files of this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import docker_cli
from support.cli import StartDevenv
from support.elsewhere import elsewhere
from support.stack import Stack, idle_service, place_of, unique_name

pytestmark = pytest.mark.engine

TARGETS = (
    "/srv/www",
    "/etc/one.conf",
    "/other",
    "/run/secrets/tok",
    "/run/secrets/env",
    "/etc/site",
    "/site",
    "/etc/t",
)
SAME = {
    "src/index.html": "/srv/www/index.html",
    "src/sub/private": "/srv/www/sub/private",
    "conf/one.conf": "/etc/one.conf",
    "conf/site": "/site",
    "tok": "/run/secrets/tok",
}
LIST = f"find {' '.join(TARGETS)} -type f -exec stat -c '%n %u:%g %a' {{}} + -exec md5sum {{}} + | sort"


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is empty for the engine."""
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def address(hidden: Path, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of that engine."""
    if os.getuid() != 0:
        pytest.skip("an engine of its own needs root")
    with elsewhere(tmp_path_factory.mktemp("far"), hidden, base_image) as address:
        yield address


@pytest.fixture
def far(hidden: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack on that engine, which all clients of this test use."""
    monkeypatch.setenv("DOCKER_HOST", address)
    name = unique_name("far")
    stack = Stack(hidden / name, name, {"TOK_ENV": "from env"})
    yield stack
    stack.remove()


def write(folder: Path) -> None:
    """The files of the project."""
    for name, content, mode in (
        ("src/index.html", b"index", 0o644),
        ("src/run.sh", b"#!/bin/sh", 0o755),
        ("src/sub/private", b"\0\xff", 0o600),
        ("conf/one.conf", b"one", 0o644),
        ("conf/site", b"site", 0o640),
        ("tok", bytes(range(256)) * 40_000, 0o600),  # above the limit of what is read at once
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)


def web(**more: object) -> dict[str, object]:
    """A service with each kind of file."""
    return idle_service(
        user="33",
        volumes=[
            "./src:/srv/www",
            "./conf/one.conf:/etc/one.conf:ro",
            {"type": "bind", "source": "./src/sub", "target": "/other", "read_only": True},
        ],
        secrets=["tok", {"source": "env", "uid": "101", "gid": "102", "mode": 0o400}],
        configs=[
            {"source": "site", "target": "/etc/site", "uid": "5", "gid": "6", "mode": 0o440},
            "site",
            {"source": "text", "target": "/etc/t"},
        ],
        **more,
    )


def write_model(stack: Stack, **more: object) -> None:
    """The Compose file; `more` are keys of web."""
    stack.compose_file(
        {"web": web(**more), "two": idle_service(volumes=["./src:/two"])},
        secrets={"tok": {"file": "./tok"}, "env": {"environment": "TOK_ENV"}},
        configs={"site": {"file": "./conf/site"}, "text": {"content": "text $$1"}},
    )


def test_every_kind_of_file_is_in_the_containers(far: Stack, devenv: StartDevenv) -> None:
    """Content, owner and permissions; changes follow, a new container gets all again, and no secret is on disk."""
    write(far.folder)
    write_model(far)
    run = devenv("up", cwd=far.folder, env=far.env)
    run.wait_for("ready")
    expected = far.execute("web", "sh", "-c", LIST).splitlines()
    owners = [line for line in expected if ":" in line]
    assert owners == [
        "/etc/one.conf 33:33 644",
        "/etc/site 5:6 440",
        "/etc/t 0:0 444",
        "/other/private 33:33 600",
        "/run/secrets/env 101:102 400",
        "/run/secrets/tok 0:0 444",
        "/site 0:0 444",
        "/srv/www/index.html 33:33 644",
        "/srv/www/run.sh 33:33 755",
        "/srv/www/sub/private 33:33 600",
    ]
    for source, target in SAME.items():
        digest = hashlib.md5((far.folder / source).read_bytes(), usedforsecurity=False).hexdigest()
        assert f"{digest}  {target}" in expected
    assert far.execute("two", "cat", "/two/index.html") == "index"
    message = "./src is synced into web in place of the bind mount; what web writes there stays there"
    assert run.all("notice", message=f"{place_of(far.folder, './src:/srv/www')}: {message}")

    (far.folder / "src/index.html").write_text("saved", encoding="utf-8")
    (far.folder / "conf/site").write_text("changed", encoding="utf-8")
    docker_cli.until(lambda: far.execute("web", "cat", "/srv/www/index.html", "/site"), "savedchanged".__eq__)
    before = far.container("web")
    write_model(far, environment={"A": "1"})
    run.wait_for("reloaded")
    assert far.container("web") != before
    assert [line for line in far.execute("web", "sh", "-c", LIST).splitlines() if ":" in line] == owners
    one_off = devenv("run", "--rm", "web", "sh", "-c", LIST, cwd=far.folder, env=far.env, json_output=False)
    assert one_off.wait(60) == 0
    assert {line.strip() for line in one_off.stray} == set(far.execute("web", "sh", "-c", LIST).splitlines())
    assert f"{place_of(far.folder, './src:/srv/www')}: {message}" in one_off.stderr
    assert run.stop() == 130
    assert not far.leftovers()


def test_what_cannot_be_replaced_is_refused_at_once(far: Stack, devenv: StartDevenv) -> None:
    """Each with its line, before images and containers."""
    (far.folder / "data").mkdir(parents=True)
    volumes = ["/var/run/docker.sock:/s", "./data:/data", "/etc/hosts:/h"]
    far.compose_file({"web": idle_service(volumes=volumes, devices=["/dev/ttyS9:/dev/x"])})
    run = devenv("up", cwd=far.folder, env=far.env)
    assert run.wait() == 5
    for line, message in (
        ("/var/run/docker.sock", "`web` mounts the socket /var/run/docker.sock"),
        ("./data:/data", "`web` writes its data into ./data"),
        ("/etc/hosts", "`web` mounts /etc/hosts, which is outside of the project"),
        ("/dev/ttyS9", "`web` uses the device /dev/ttyS9"),
    ):
        assert f"{place_of(far.folder, line)}: {message}" in run.report()
    assert not far.leftovers()
