"""The address of the engine, by the rules of the docker CLI."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import anyio
import pytest

from devenv.docker.context import DEFAULT_SOCKET
from devenv.docker.endpoint import Endpoint, dial, require_address, resolve
from devenv.docker.unreachable import unreachable
from devenv.errors import DevenvError, EngineError

pytestmark = pytest.mark.anyio


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


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker CLI's folder, empty, and no variable that names an engine."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def context(config: Path, name: str, host: str) -> None:
    """A context as `docker context create` writes it."""
    folder = config / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def current(config: Path, content: str) -> None:
    """Write the CLI's settings."""
    (config / "config.json").write_text(content, encoding="utf-8")


async def test_the_default_socket() -> None:
    """Without settings and variables, as for the CLI."""
    assert await resolve() == Endpoint(DEFAULT_SOCKET)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"currentContext": 3}', '{"currentContext": "default"}'])
async def test_settings_that_name_no_context(config: Path, content: str) -> None:
    """Unreadable settings and the context `default` both mean the default socket."""
    current(config, content)
    assert await resolve() == Endpoint(DEFAULT_SOCKET)


async def test_the_current_context(config: Path) -> None:
    """The address is that of the context that the settings name."""
    context(config, "far", "ssh://me@far")
    current(config, '{"currentContext": "far"}')
    assert await resolve() == Endpoint("ssh://me@far", "far")


async def test_variables_take_precedence(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_CONTEXT over the settings, DOCKER_HOST over both."""
    context(config, "far", "ssh://me@far")
    context(config, "near", "unix:///near.sock")
    current(config, '{"currentContext": "far"}')
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    assert await resolve() == Endpoint("unix:///near.sock", "near")
    monkeypatch.setenv("DOCKER_HOST", "tcp://there:2376")
    assert await resolve() == Endpoint("tcp://there:2376")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "unix:///a b/c.sock",
        "fd://",
        "tcp://[::1]:2375",
        "there:2375",
        "ssh://me@there:22/x",
        "npipe:////./pipe/d",
    ],
)
def test_addresses_of_engines(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Every address that the docker CLI accepts is accepted."""
    monkeypatch.setenv("DOCKER_HOST", host)
    require_address()


@pytest.mark.parametrize(
    ("host", "code", "shown"),
    [
        ("http://", 4, "http://"),
        ("tcp://h:notaport", 4, "tcp://h:notaport"),
        ("tcp://a:c4n4ry@h:notaport", 4, "tcp://***@h:notaport"),
        ("tcp://a:c4n4ry/x@h", 4, "tcp://***@h"),
        ("ssh://-oProxyCommand=x", 6, "ssh://-oProxyCommand=x"),
        ("ssh://me@-oProxyCommand=x", 6, "ssh://***@-oProxyCommand=x"),
    ],
)
def test_values_that_are_no_address(monkeypatch: pytest.MonkeyPatch, host: str, code: int, shown: str) -> None:
    """Ssh gets no options from DOCKER_HOST, and nothing is dialled."""
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(DevenvError) as raised:
        require_address()
    assert raised.value.exit_code == code
    assert shown in raised.value.message
    assert "c4n4ry" not in raised.value.message


async def test_an_address_may_have_no_scheme_and_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scheme it is TCP, as for the docker CLI."""
    monkeypatch.setenv("DOCKER_HOST", "a:c4n4ry@h:1")
    assert (endpoint := await resolve()).host == "tcp://a:c4n4ry@h:1"
    assert endpoint.shown == "tcp://***@h:1"
    assert unreachable(endpoint, "").said == "cannot reach the Docker engine at tcp://***@h:1"
    assert unreachable(endpoint, "").hint == "unset DOCKER_HOST"


@pytest.mark.parametrize(
    ("host", "socket"),
    [("unix:///a/b.sock", "/a/b.sock"), ("tcp://127.0.0.1:2375", None), ("ssh://me@there", None)],
)
def test_only_a_unix_socket_is_local(host: str, socket: str | None) -> None:
    """A remote engine publishes ports on another machine."""
    assert Endpoint(host).socket == socket
    assert Endpoint(host).local is (socket is not None)


async def test_a_context_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other engine may be used instead."""
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(EngineError, match="gone"):
        await resolve()
