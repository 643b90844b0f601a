"""Connections to the engine: closed by another task, and through a child that fails."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.docker.connection import dial
from devenv.docker.endpoint import Endpoint
from devenv.errors import EngineError

pytestmark = pytest.mark.anyio

FAR = Endpoint("ssh://ann@far:2222")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program docker, which the test writes."""
    program = tmp_path / "docker"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


async def test_a_connection_that_another_task_has_closed(tmp_path: Path) -> None:
    """Sending and receiving raise the error for a closed connection."""
    listener = await anyio.create_unix_listener(tmp_path / "s")
    async with listener:
        connection = await dial(Endpoint(f"unix://{tmp_path}/s"))
        await connection.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await connection.receive(10)
        with pytest.raises(anyio.ClosedResourceError):
            await connection.send(b"x")


async def test_a_program_that_floods_its_standard_error_holds_nobody_up(docker: Path) -> None:
    """As ssh does with -v: the last lines count."""
    docker.write_text(
        "#!/bin/sh\nyes debug1: packet | head -c 900000 >&2\necho ssh: connect to host far: timed out >&2\nexit 1\n"
    )
    with anyio.fail_after(20), pytest.raises(EngineError, match="ssh: connect to host far: timed out"):
        async with Engine.connect(FAR):
            pass


async def test_ssh_warning_is_not_a_reason(docker: Path) -> None:
    """A warning is not a reason: the connection only ended."""
    docker.write_text("#!/bin/sh\necho \"Warning: Permanently added 'far' to the list of known hosts.\" >&2\n")
    connection = await dial(FAR)
    with anyio.fail_after(20):
        assert await connection.receive(10) == b""
    await connection.aclose()
