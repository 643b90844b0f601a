"""The process behind the engine's socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from devenv.docker import peer
from devenv.docker.endpoint import Endpoint

KERNEL = os.uname().release


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[str]:
    """The address of a socket that this process listens at."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "docker.sock"))
        server.listen()
        yield f"unix://{tmp_path}/docker.sock"


@pytest.fixture
def is_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process count as an engine."""
    monkeypatch.setattr(peer, "ENGINES", (Path("/proc/self/comm").read_text(encoding="utf-8").strip(),))


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="only Linux names the process")
@pytest.mark.usefixtures("is_engine")
async def test_an_engine_in_this_namespace_sees_the_files(listener: str) -> None:
    """The same kernel and the same mounts."""
    assert await peer.sees_files(Endpoint(listener), KERNEL) is True


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="only Linux names the process")
async def test_a_forwarded_socket_says_nothing(listener: str) -> None:
    """Another program listens there, and the engine may be anywhere, also on a machine with the same kernel."""
    assert await peer.sees_files(Endpoint(listener), KERNEL) is None
    assert await peer.is_on_this_machine(Endpoint(listener), KERNEL) is False


@pytest.mark.anyio
@pytest.mark.usefixtures("is_engine")
async def test_an_engine_on_this_machine(listener: str) -> None:
    """Its socket is its own, and its kernel is ours."""
    assert await peer.is_on_this_machine(Endpoint(listener), KERNEL) is True
    assert await peer.is_on_this_machine(Endpoint("unix:///does-not-exist"), KERNEL) is True
    assert await peer.is_on_this_machine(Endpoint(listener), "of a virtual machine") is False
    assert await peer.is_on_this_machine(Endpoint("ssh://far"), KERNEL) is False


@pytest.mark.anyio
@pytest.mark.usefixtures("is_engine")
@pytest.mark.parametrize(
    ("link", "expected"), [("mnt:[1]", None), (PermissionError(), True), (FileNotFoundError(), None)]
)
async def test_namespaces(
    monkeypatch: pytest.MonkeyPatch, listener: str, link: str | OSError, *, expected: bool | None
) -> None:
    """An engine in another namespace may have other files; that of another user cannot be compared."""
    real = os.readlink

    def readlink(path: str) -> str:
        if path.endswith("/ns/mnt") and "self" not in path:
            if isinstance(link, OSError):
                raise link
            return link
        return real(path)

    monkeypatch.setattr(os, "readlink", readlink)
    assert await peer.sees_files(Endpoint(listener), KERNEL) is expected


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "kernel", "expected"),
    [
        ("ssh://far", KERNEL, False),
        ("tcp://127.0.0.1:2375", KERNEL, None),
        ("unix:///var/run/docker.sock", "of a virtual machine", None),
        ("unix:///does-not-exist", KERNEL, True),
    ],
)
async def test_addresses(host: str, kernel: str, *, expected: bool | None) -> None:
    """By ssh, an engine has other files; by other addresses it may have the same."""
    assert await peer.sees_files(Endpoint(host), kernel) is expected
