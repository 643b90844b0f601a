"""The address of the engine, by the rules of the docker CLI."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.docker.context import DEFAULT_SOCKET
from devenv.docker.endpoint import Endpoint, reason, require_address, resolve, unreachable
from devenv.doctor import probes
from devenv.doctor.diagnose import diagnose
from devenv.doctor.facts import DoctorFacts
from devenv.errors import DevenvError, EngineError

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("host", "machine"),
    [
        ("unix:///var/run/docker.sock", ""),
        ("ssh://far", "far"),
        ("ssh://me:secret@Far.example:22/run/user/1000/docker.sock", "Far.example"),
        ("tcp://10.0.0.1:2376", "10.0.0.1"),
        ("ssh://me@[::1]:22", "[::1]"),
        ("npipe:////./pipe/docker_engine", "npipe:////./pipe/docker_engine"),
    ],
)
def test_name_of_the_machine(host: str, machine: str) -> None:
    """As the user wrote it, without user, password and port; empty for this machine."""
    assert Endpoint(host).machine == machine


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
    """It is used without settings and variables, as in the docker CLI."""
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
    """A remote engine publishes ports on another machine, and does not see the files of this one."""
    endpoint = Endpoint(host)
    assert (endpoint.socket, endpoint.dialled) == (socket, socket)
    assert endpoint.has_files is endpoint.has_ports is (socket is not None)


def test_an_engine_that_a_line_leads_to() -> None:
    """It is dialled by a socket, and its ports appear here, but not its files; its address stays."""
    endpoint = Endpoint("ssh://me@there", "office", line="/tmp/l/s")
    assert endpoint.dialled == "/tmp/l/s"
    assert endpoint.has_ports
    assert not endpoint.has_files
    assert endpoint.docker_command("ps") == ["docker", "--host", "unix:///tmp/l/s", "ps"]
    assert endpoint.environment["DOCKER_HOST"] == "unix:///tmp/l/s"
    assert Endpoint("ssh://me@there").environment == {}


async def test_a_context_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other engine may be used instead."""
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    with pytest.raises(EngineError, match="gone"):
        await resolve()


FAR = Endpoint("ssh://ann@far:2222")
WRAPPED = (
    "error while Copy (stream to stdout): command [ssh -o ConnectTimeout=30 -- far docker system dial-stdio] has"
    " exited with exit status 255, please make sure the URL is valid, and Docker 18.09 or later is installed on the"
    " remote host: stderr="
)
CHANGED = (
    "@" * 59 + "\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n" + "@" * 59 + "\n"
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\nHost key for far has changed and you have requested"
    " strict checking.\nHost key verification failed.\n"
)
ROWS = [
    (
        "ssh: Could not resolve hostname far: Name or service not known\n",
        "ssh: Could not resolve hostname far: Name or service not known",
        "ssh -p 2222 ann@far   (no such name",
    ),
    (
        "ssh: connect to host far port 2222: Connection refused\n",
        "ssh: connect to host far port 2222: Connection refused",
        "ssh -p 2222 ann@far   (nothing listens",
    ),
    (
        "Welcome to far\nann@far: Permission denied (publickey,password).\n",
        "ann@far: Permission denied (publickey,password)",
        "ssh -p 2222 ann@far   (ssh must log in",
    ),
    (
        "No ED25519 host key is known for far.\nHost key verification failed.\n",
        "Host key verification failed",
        "ssh-keyscan -p 2222 far >> ~/.ssh/known_hosts",
    ),
    (CHANGED, "Host key for far has changed", "ssh-keygen -R far"),
    ("bash: line 1: docker: command not found\n", "docker: command not found", "ssh -p 2222 ann@far docker version"),
    (
        "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.7.0.9 port 22\n",
        "Connection reset by 10.7.0.9 port 22",
        "ssh -p 2222 ann@far   (its sshd ended",
    ),
    ("something new\n", "something new", "ssh -p 2222 ann@far"),
]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker program that prints the content of a file on standard error and fails."""
    (tmp_path / "docker").write_text(f"#!/bin/sh\ncat {tmp_path}/words >&2\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "words"


@pytest.mark.parametrize(("printed", "words", "hint"), ROWS)
async def test_ssh_errors_are_reported(docker: Path, printed: str, words: str, hint: str) -> None:
    """They are in the error of every command, and in the findings of the doctor."""
    docker.write_text(f"{WRAPPED}{printed}\n")
    with anyio.fail_after(20), pytest.raises(EngineError) as caught:
        async with Engine.connect(FAR):
            pass
    assert caught.value.message.startswith("cannot reach the Docker engine at ssh://***@far:2222: ")
    assert words in caught.value.message
    assert (caught.value.hint or "").startswith(hint)
    first, *_ = diagnose(DoctorFacts(**await probes.unreached(FAR, caught.value)))
    assert (first.code, first.message, first.hint) == ("engine-unreachable", caught.value.message, caught.value.hint)


def test_ssh_output_is_cleaned() -> None:
    """Escape sequences, secrets, and lines that are not a reason are removed."""
    assert reason("") == ""
    assert reason("Warning: Permanently added 'far' to the list of known hosts.\n") == ""
    assert reason("debug1: read\n\x1b]0;x\x07\x1b[31mssh: no\x1b[0m\x08 way\n") == "ssh: no way"
    assert "c4n4ry" not in reason("proxy http://ann:c4n4ry@proxy/ failed\n")
    assert reason("failed to open the raw stream connection: dial tcp 10.0.0.1:2376: i/o timeout\n") == (
        "10.0.0.1:2376: i/o timeout"
    )
    assert reason("dial tcp 127.0.0.1:9: connect: connection refused\n") == "127.0.0.1:9: connection refused"
    assert reason("dial tcp: lookup far on 10.0.0.2:53: no such host\n") == "the name far is not found"


def test_hints_for_other_ways() -> None:
    """The hint for a context is a command; no hint has a password."""
    assert unreachable(Endpoint("tcp://h:1", "far"), "", "dial tcp: no route to host").hint == (
        "docker context use default"
    )
    hint = unreachable(Endpoint("ssh://ann:c4n4ry@far"), "", "Connection refused").hint or ""
    assert hint.startswith("ssh ann@far ")
    assert "'" in (unreachable(Endpoint("ssh://a;b"), "", "Connection refused").hint or "")
