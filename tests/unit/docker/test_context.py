"""The docker CLI's own settings."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from devenv.docker import context, inspect


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker CLI's folder, empty, and no variable that names an engine."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


def test_the_folder_of_the_settings(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert context.config_folder() == str(config)
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", "/home/me")
    assert context.config_folder() == "/home/me/.docker"


@pytest.mark.parametrize(
    ("variable", "settings", "expected"),
    [
        (None, None, None),
        (None, {"currentContext": "there"}, "there"),
        (None, {"currentContext": "default"}, None),
        (None, {"currentContext": 3}, None),
        (None, [], None),
        ("other", {"currentContext": "there"}, "other"),
        ("default", {"currentContext": "there"}, None),
        ("", {"currentContext": "there"}, "there"),
    ],
)
def test_the_context_in_force(
    config: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, settings: Any, expected: str | None
) -> None:
    """The variable counts before the settings; unreadable settings name no context."""
    if variable is not None:
        monkeypatch.setenv("DOCKER_CONTEXT", variable)
    if settings is not None:
        (config / "config.json").write_text(json.dumps(settings))
    assert context.current() == expected


@pytest.mark.parametrize(
    ("host", "expected"), [("unix:///x.sock", "/x.sock"), ("ssh://me@there", None), (None, None), (3, None)]
)
def test_the_socket_of_a_context(
    config: Path, monkeypatch: pytest.MonkeyPatch, host: Any, expected: str | None
) -> None:
    """There is a socket only if the context's endpoint is one."""
    monkeypatch.setenv("DOCKER_CONTEXT", "there")
    folder = config / "contexts/meta" / hashlib.sha256(b"there").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    assert context.socket_path() == expected


def test_the_socket_without_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST, or else the default socket; none of a context that is unknown."""
    assert context.socket_path() == "/var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///y.sock")
    assert context.socket_path() == "/y.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://there:2375")
    assert context.socket_path() is None
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "unknown")
    assert context.socket_path() is None


def test_an_engine_is_selected(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context of the name counts first, then an address, then an ssh host; what was selected before is gone."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://there:2375")
    monkeypatch.setenv("DOCKER_CONTEXT", "")
    folder = config / "contexts/meta" / hashlib.sha256(b"office").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": "ssh://me@there"}}}))
    for name, expected in (
        ("office", (None, "office")),
        ("far", ("ssh://far", None)),
        ("ssh://far:24", ("ssh://far:24", None)),
        ("default", (None, "default")),
    ):
        context.select(name)
        assert (os.environ.get("DOCKER_HOST"), os.environ.get("DOCKER_CONTEXT")) == expected


def test_compose_does_not_log_in_to_read_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only for an engine elsewhere, Compose gets an address at which nobody answers."""
    assert context.offline_compose() == ["docker", "compose"]
    monkeypatch.setenv("DOCKER_HOST", "ssh://far")
    assert context.offline_compose() == ["docker", "--host", "unix:///dev/null", "compose"]


SHOWN = {
    "Id": "1",
    "Name": "/p-web-1",
    "Config": {"Labels": {"com.docker.compose.service": "web", "com.docker.compose.project": "p"}},
    "State": {"Status": "running", "StartedAt": "2026-11-29T11:00:00Z"},
    "RestartCount": 2,
}
ONE_OFF = {"com.docker.compose.oneoff": "True"}
DATE = "Date: Sun, 29 Nov 2026 12:00:00 GMT\r\n"
Answer = Callable[[str], bytes]


def answer_of(value: Any, status: str = "200 OK", date: str = DATE) -> bytes:
    """An answer of the engine in HTTP/1.0."""
    return f"HTTP/1.0 {status}\r\n{date}Content-Type: application/json\r\n\r\n{json.dumps(value)}".encode()


def engine(target: str) -> bytes:
    """A container of a service, and a one-off container."""
    return answer_of(
        [{"Id": "1", "Labels": {}}, {"Id": "2", "Labels": ONE_OFF}] if "containers/json" in target else SHOWN
    )


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """An engine with these answers, and the targets of the requests."""
    path, asked = str(tmp_path / "e.sock"), list[str]()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()

        def start(answer: Answer) -> list[str]:
            def run() -> None:
                while True:
                    try:
                        client, _ = server.accept()
                    except OSError:
                        return
                    with closing(client):
                        asked.append(client.recv(1 << 16).split(b" ")[1].decode())
                        client.sendall(answer(asked[-1]))

            threading.Thread(target=run, daemon=True).start()
            return asked

        yield start
        server.shutdown(socket.SHUT_RDWR)


def test_containers_and_the_time_are_read(serve: Callable[[Answer], list[str]]) -> None:
    """They are found by the project's label; one-off containers are not inspected."""
    asked = serve(engine)
    result = context.local_containers("p")
    assert result is not None
    (container,), now = result
    assert (container.service, container.state, container.restarts, container.ours) == ("web", "running", 2, False)
    assert now == dt.datetime(2026, 11, 29, 12, tzinfo=dt.UTC)
    assert [target.partition("?")[0] for target in asked] == ["/containers/json", "/containers/1/json"]
    assert "com.docker.compose.project%3Dp" in asked[0]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: b"",
        lambda _: b"nonsense",
        lambda _: answer_of([], status="500 Internal Server Error"),
        lambda _: answer_of([], date=""),
        lambda _: answer_of([], date="Date: today\r\n"),
        lambda _: answer_of({"message": "no list"}),
        lambda _: answer_of([])[:-1] + b"{",
        lambda target: engine(target) if "containers/json" in target else answer_of({}, status="404 Not Found"),
        lambda target: engine(target) if "containers/json" in target else answer_of({"Id": "1"}),
    ],
)
def test_an_unusual_answer_gives_none(serve: Callable[[Answer], list[str]], answer: Answer) -> None:
    """`Engine` reports the error."""
    assert serve(answer) == []
    assert context.local_containers("p") is None


def test_an_engine_that_is_not_at_a_local_socket_gives_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address or the context is not a socket, or no engine listens."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for host in ("tcp://127.0.0.1:1", "ssh://x", "1.2.3.4", f"unix://{tmp_path}/none.sock"):
        monkeypatch.setenv("DOCKER_HOST", host)
        assert context.local_containers("p") is None
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    assert context.local_containers("p") is None


def test_every_month_is_known() -> None:
    """As HTTP writes it; any other name is an error."""
    for month in range(1, 13):
        moment = dt.datetime(2026, month, 3, 4, 5, 6, tzinfo=dt.UTC)
        assert inspect.time(f"{moment:%a, %d %b %Y %H:%M:%S} GMT") == moment
    for date in ("", "Sun, 03 Foo 2026 00:00:00 GMT", "2026-11-29"):
        with pytest.raises(ValueError):
            inspect.time(date)


def program(path: Path, content: bytes = b"\x7fELF", mode: int = 0o755) -> Path:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("files", "settings", "found"),
    [
        ({}, None, None),
        ({"cli-plugins/docker-compose": 0o755}, None, "cli-plugins"),
        ({"cli-plugins/docker-compose": 0o755, "more/docker-compose": 0o755}, ["more"], "cli-plugins"),
        ({"more/docker-compose": 0o755}, ["nowhere", "more"], "more"),
        ({"more/docker-compose": 0o755}, None, None),
        ({"system/docker-compose": 0o755}, None, "system"),
        ({"cli-plugins/docker-compose": 0o644, "system/docker-compose": 0o755}, None, None),
    ],
)
def test_compose_is_the_plugin_that_the_docker_cli_finds(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, int],
    settings: list[str] | None,
    found: str | None,
) -> None:
    """The first in the folders of the CLI counts; if it is missing or cannot be run, the CLI says so itself."""
    docker = program(config / "bin/docker")
    monkeypatch.setenv("PATH", str(docker.parent))
    monkeypatch.setattr(context, "PLUGIN_FOLDERS", (str(config / "system"),))
    for name, mode in files.items():
        program(config / name, mode=mode)
    if settings is not None:
        more = [str(config / name) for name in settings]
        (config / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": more}))
    argv = ["docker", "compose", "-f", "-", "config"]
    direct = [f"{config}/{found}/docker-compose", *argv[1:]], {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": str(docker)}
    assert context.without_cli(argv) == (direct if found else (argv, {}))


@pytest.mark.parametrize("argv", [["docker", "build", "."], ["docker"], ["git", "compose"]])
def test_other_commands_are_run_as_they_are(config: Path, argv: list[str]) -> None:
    """Only Compose is started without the CLI."""
    program(config / "cli-plugins/docker-compose")
    assert context.without_cli(argv) == (argv, {})


def test_a_docker_command_that_is_not_the_cli_itself_is_run(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script or a program with another name may choose another engine; so may none at all."""
    program(config / "cli-plugins/docker-compose")
    monkeypatch.setenv("PATH", str(config / "bin"))
    argv = ["docker", "compose", "version"]
    assert context.without_cli(argv) == (argv, {})
    docker = program(config / "bin/docker", b"#!/bin/sh\nexec podman $*")
    assert context.without_cli(argv) == (argv, {})
    docker.unlink()
    docker.symlink_to(program(config / "bin/snap"))
    assert context.without_cli(argv) == (argv, {})
    docker.unlink()
    docker.symlink_to(program(config / "app/docker"))
    assert context.without_cli(argv)[0] == [f"{config}/cli-plugins/docker-compose", "compose", "version"]
