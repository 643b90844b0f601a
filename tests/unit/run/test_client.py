"""The client of a run's socket: which run it asks, and what it prints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from devenv.run import client


@contextmanager
def answering(folder: Path, answer: str, project: str = "shop", place: str = "/src/shop") -> Iterator[list[bytes]]:
    """A run in the folder that gives one answer; the list has its request."""
    folder.mkdir(parents=True)
    (folder / client.PLACE).write_text(f"{project}\n{place}")
    requests: list[bytes] = []
    with client.socket_path(str(folder)) as path, closing(socket.socket(socket.AF_UNIX)) as server:
        assert path is not None
        server.bind(path)
        server.listen()

        def serve() -> None:
            stream, _ = server.accept()
            with stream:
                requests.append(stream.recv(1000))
                stream.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        yield requests
        thread.join()


def place(runs: Path, name: str, project: str, folder: str) -> str:
    """Leave a run's file with its project and folder; the path of the run."""
    (runs / name).mkdir(parents=True)
    (runs / name / client.PLACE).write_text(f"{project}\n{folder}")
    return str(runs / name)


def test_the_nearest_folder_counts(tmp_path: Path) -> None:
    """Or the project that is named; a folder whose name only begins alike is another one."""
    shop, api = place(tmp_path, "1", "shop", "/src/shop"), place(tmp_path, "2", "api", "/src/shop/api")
    beside = place(tmp_path, "3", "api-2", "/src/shop/api")
    (tmp_path / "4").mkdir()
    for folder, runs in {"/src/shop": [shop], "/src/shop2": [], "/src": []}.items():
        assert list(client.folders(str(tmp_path), folder, "")) == runs
    assert sorted(client.folders(str(tmp_path), "/src/shop/api/src", "")) == [api, beside]
    assert list(client.folders(str(tmp_path), "/elsewhere", "shop")) == [shop]


def test_a_project_below_another_one_is_not_answered_by_that(tmp_path: Path) -> None:
    """Its own run may not be up."""
    inner = tmp_path / "shop/tools/api"
    (inner / "src").mkdir(parents=True)
    run = place(tmp_path / "runs", "1", "shop", str(tmp_path / "shop"))
    (tmp_path / "shop/compose.yml").touch()
    assert list(client.folders(str(tmp_path / "runs"), str(inner / "src"), "")) == [run]
    (inner / "docker-compose.yaml").touch()
    assert list(client.folders(str(tmp_path / "runs"), str(inner / "src"), "")) == []
    assert list(client.folders(str(tmp_path / "runs"), str(inner), "")) == []


def test_a_missing_state_folder_has_no_runs(tmp_path: Path) -> None:
    """The first command of a user."""
    assert list(client.folders(str(tmp_path / "none"), "/", "")) == []


@pytest.mark.parametrize("depth", ["run", "x" * 120])
def test_an_answer_is_printed(tmp_path: Path, depth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a folder whose path is longer than the address of a socket can be."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "devenv-compose/runs" / depth
    with answering(folder, '1\n{"settled": false}\nweb  boom', place=str(tmp_path)) as requests:
        assert client.quick(["web", "--synced", "--timeout=9"]) == (1, "web  boom")
    assert requests == [b"settle\0service=web\0synced=yes\0timeout=9\n"]


def test_a_document_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--output json`; the environment may name the project."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "shop")
    with answering(tmp_path / "devenv-compose/runs/1", '0\n{"settled": true}\nweb  healthy') as requests:
        assert client.quick(["--output", "json"]) == (0, '{"settled": true}')
    assert requests == [b"settle\0timeout=60\n"]


def test_the_client_loads_next_to_nothing(tmp_path: Path) -> None:
    """Neither typer nor json: the command is typed after each save."""
    code = "import sys; from devenv.__main__ import main; print(main(['settle']), *sorted(sys.modules))"
    with answering(tmp_path / "devenv-compose/runs/1", "0\n{}\nweb  healthy", place=str(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
    answer, modules = done.stdout.splitlines()
    assert (answer, modules.split()[0]) == ("web  healthy", "0")
    heavy = {"typer", "anyio", "asyncio", "json", "re", "socket", "typing", "subprocess", "devenv.errors"}
    assert heavy & {*modules.split()} == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-f", "x.yml"], ["--timeout", "soon"], ["--output", "xml"], []], ids=" ".join
)
def test_other_command_lines_are_not_quick(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another way explains them; so it does if no run answers."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    place(tmp_path / "devenv-compose/runs", "dead", "shop", "/")
    assert client.quick(arguments) is None


def test_down_asks_the_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what selects engine and project here."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(client, "settings", lambda: ["DOCKER_HOST=unix:///e"])
    with answering(tmp_path / "devenv-compose/runs/1", "") as requests:
        stream = client.begin_down(["-p", "shop", "-v", "--output=json"])
        assert stream is not None
        assert stream.recv(1) == b""
        stream.close()
    about = "policy=drop\0project=shop\0setting=DOCKER_HOST=unix:///e"
    assert requests == [f"end\0{about}\n".encode()]


@pytest.mark.parametrize(
    "words",
    [
        ["-v", "--snapshot"],
        ["shop"],
        ["--yes"],
        ["-f", "x.yml"],
        ["--help"],
        ["-q"],
        ["--output", "xml"],
        ["-p", "api"],
        ["-v", "-p"],
        ["--output"],
        ["-p=shop"],
        ["-p", "shop", "--project-name", "api"],
    ],
    ids=" ".join,
)
def test_other_ways_down(tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends the run, or explains what is wrong; no run is asked."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    place(tmp_path / "devenv-compose/runs", "1", "shop", str(tmp_path))
    monkeypatch.setattr(client, "_connected", lambda *_: pytest.fail("asked"))
    assert client.begin_down(words) is None


def test_a_keeper_that_has_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files may be there, and the folder of the command may not."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    place(tmp_path / "devenv-compose/runs", "1", "shop", str(tmp_path))
    assert client.begin_down([]) is None
    here.rmdir()
    assert client.begin_down(["-p", "shop"]) is None
