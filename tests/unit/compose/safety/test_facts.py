"""Facts about paths of this machine, with real links, sockets and processes that listen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from devenv.compose.safety.facts import gather, peer, real_path
from devenv.compose.safety.paths import AGENT, HostPath

ENGINE_ANSWER = b"HTTP/1.0 200 OK\r\nApi-Version: 1.45\r\nServer: Docker/26.1.5 (linux)\r\n\r\nOK"
PODMAN_ANSWER = b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 5.0.0\r\n\r\nOK"
LISTENER = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, sys.argv[2].encode(), 0, 0, 0)
link = socket.socket(socket.AF_UNIX)
link.bind(sys.argv[1])
link.listen()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder and a runtime folder of the test, and no engine, agent or keys in the environment."""
    for name in ("SSH_AUTH_SOCK", "KUBECONFIG", "DOCKER_CONTEXT", "DOCKER_CONFIG", "GNUPGHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (tmp_path / "home").mkdir()


Listen = Callable[[str, bytes | None], str]


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Listen on a socket and give each client an answer, or no answer."""
    links: list[socket.socket] = []

    def start(name: str, answer: bytes | None = None) -> str:
        path = str(tmp_path / name)
        link = socket.socket(socket.AF_UNIX)
        link.bind(path)
        link.listen()
        links.append(link)

        def serve() -> None:
            while True:
                try:
                    caller, _ = link.accept()
                except OSError:
                    return
                with caller:
                    if answer is not None:
                        caller.recv(1024)
                        caller.sendall(answer)
                    else:
                        time.sleep(1)

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield start
    for link in links:
        link.shutdown(socket.SHUT_RDWR)
        link.close()


def look(path: str | Path, directory: str = "/nowhere") -> HostPath:
    """The facts about one path."""
    return gather([str(path)], directory).paths[str(path)]


def test_links(tmp_path: Path) -> None:
    """Links are followed at every level, also to paths that do not exist; a folder is not a socket."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("/")
    assert look(tmp_path / "a/etc") == HostPath("/etc", is_socket=False)
    (tmp_path / "gone").symlink_to("nothing")
    assert look(tmp_path / "gone") == HostPath(str(tmp_path / "nothing"))
    (tmp_path / "loop").symlink_to("loop")
    assert look(tmp_path / "loop").is_socket is None
    assert look("/x\0y").is_socket is None
    assert look("etc").real == "/etc"


def test_links_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/proc/self/cwd` is the project for devenv, but `/` for the engine; an unreadable link is not an error."""
    (tmp_path / "own").symlink_to("/proc/self/cwd")
    monkeypatch.chdir(tmp_path)
    assert look(tmp_path / "own/x", str(tmp_path)).real == "/proc/self"
    (tmp_path / "fd").symlink_to("/dev/fd/1")
    assert look(tmp_path / "fd").real == "/proc/self"
    (tmp_path / "first").symlink_to("/proc/1/root/etc")
    assert look(tmp_path / "first").real.startswith("/proc/1/root")

    def denied(path: str) -> str:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "readlink", denied)
    assert look(tmp_path / "first").real == str(tmp_path / "first")


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/usr/../..", "/etc/./", "a/b", "../a", "/usr//bin/env", "/tmp/..", "/var/run/x", "/no/such/../x"],
)
def test_real_path_equals_os_realpath(path: str) -> None:
    """The same as os.path.realpath from the root folder."""
    assert real_path(path) == os.path.realpath(f"/{path.lstrip('/')}")


@pytest.mark.parametrize(
    ("answer", "daemon"),
    [
        (ENGINE_ANSWER, "Docker"),
        (PODMAN_ANSWER, "Podman"),
        (b"HTTP/1.0 200 OK\r\nServer: nginx\r\n\r\nApi-Version: 1", ""),
        (b"5.7.30 mysql\r\napi-version: 1", ""),
        (b"", ""),
        (None, ""),
    ],
)
def test_engine_socket_is_recognized_by_its_answer(listen: Listen, answer: bytes | None, daemon: str) -> None:
    """An engine has any name, or is behind a relay; a socket without an answer takes less than a second."""
    path, began = listen("d.sock", answer), time.monotonic()
    assert look(path) == HostPath(path, is_socket=True, daemon=daemon)
    assert time.monotonic() - began < 0.9
    assert peer(path) == daemon


@pytest.mark.parametrize(
    ("command", "daemon"), [("containerd", "containerd"), ("crio", "CRI-O"), ("dockerd", "Docker"), ("mysqld", "")]
)
def test_daemon_socket_is_recognized_by_its_process(tmp_path: Path, command: str, daemon: str) -> None:
    """Daemons without HTTP are known by the name of the process."""
    path = str(tmp_path / "x.sock")
    argv = [sys.executable, "-c", LISTENER, path, command]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert peer(path) == daemon


def test_socket_without_a_listener_is_harmless(tmp_path: Path) -> None:
    """A socket that a daemon left behind has no daemon."""
    with socket.socket(socket.AF_UNIX) as link:
        link.bind(str(tmp_path / "old.sock"))
    assert look(tmp_path / "old.sock") == HostPath(str(tmp_path / "old.sock"), is_socket=True)


def test_the_engine_in_use(tmp_path: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket is recognized by its inode, also under a second name, and even if nothing answers there."""
    path = listen("e.sock", None)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    os.link(path, tmp_path / "other")
    began = time.monotonic()
    host = gather([str(tmp_path / "other")], "/nowhere")
    assert host.paths[str(tmp_path / "other")].daemon == "Docker"
    assert host.sockets[path] == "Docker"
    assert time.monotonic() - began < 0.3, "it was not asked"


def test_the_engine_of_a_context(tmp_path: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The docker CLI's settings name a context, whose file names the socket."""
    path = listen("c.sock", None)
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    folder = tmp_path / "home/.docker/contexts/meta/0da0dc3d2d2cd09e33b8c9d3a0b5a4ee"
    assert gather([], "/nowhere").sockets.get(path) is None
    import hashlib  # noqa: PLC0415 - only here

    folder = folder.with_name(hashlib.sha256(b"mine").hexdigest())
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(f'{{"Endpoints": {{"docker": {{"Host": "unix://{path}"}}}}}}')
    assert gather([], "/nowhere").sockets[path] == "Docker"
    for wrong in (
        "{",
        "[]",
        '{"Endpoints": {"docker": {"Host": 1}}}',
        '{"Endpoints": {"docker": {"Host": "ssh://x"}}}',
    ):
        (folder / "meta.json").write_text(wrong)
        assert path not in gather([], "/nowhere").sockets


def test_sockets_of_the_user(listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets of the agent and of a rootless engine; links are followed."""
    agent = listen("agent.1", None)
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    engine = listen("rootless", None)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime/docker.sock").symlink_to(engine)
    host = gather([agent], "/nowhere")
    assert host.sockets[agent] == AGENT
    assert host.sockets[engine] == "Docker"
    assert host.paths[agent].daemon == AGENT


def test_keys_in_other_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that the environment names, and targets of links in the home folder."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "home/.ssh").symlink_to("../keys")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/k1:k2:{tmp_path}/k3")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/aws")
    assert set(gather([], "/nowhere").keys) == {f"{tmp_path}/{name}" for name in ("keys", "k1", "k3", "aws")}


def test_home_and_project_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As written and without links."""
    (tmp_path / "link").symlink_to("home")
    monkeypatch.setenv("HOME", f"{tmp_path}/link/")
    host = gather([], f"{tmp_path}/link/app")
    assert host.homes == (f"{tmp_path}/link", f"{tmp_path}/home")
    assert host.projects == (f"{tmp_path}/link/app", f"{tmp_path}/home/app")


def test_the_home_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is looked up; folders of the user, of system users and of the project do not count."""
    import pwd  # noqa: PLC0415 - not on every system

    (tmp_path / "eve").mkdir()
    owner, own = {"uid": 4321}, os.getuid()
    stat = os.stat

    def chowned(path: str) -> object:
        status = stat(path)
        mine = SimpleNamespace(
            st_mode=status.st_mode, st_uid=owner["uid"], st_dev=status.st_dev, st_ino=status.st_ino
        )
        return mine if "eve" in str(path) else status

    entry = SimpleNamespace(pw_name="eve", pw_dir=str(tmp_path / "eve"))
    monkeypatch.setattr(pwd, "getpwuid", {4321: entry, 33: entry}.__getitem__)
    monkeypatch.setattr(os, "stat", chowned)
    assert look(tmp_path / "eve").user == "eve"
    assert look(tmp_path / "eve", f"{tmp_path}/eve").user == ""
    for uid in (own, 33, 65534, 4322):
        owner["uid"] = uid
        assert look(tmp_path / "eve").user == ""
