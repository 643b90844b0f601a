"""The docker CLI's own settings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from devenv.docker import context


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
    """Only of a context whose engine is at a socket."""
    monkeypatch.setenv("DOCKER_CONTEXT", "there")
    folder = config / "contexts/meta" / hashlib.sha256(b"there").hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": host}}}))
    assert context.socket() == expected


def test_the_socket_without_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """DOCKER_HOST, or else the default socket; none of a context that is unknown."""
    assert context.socket() == "/var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///y.sock")
    assert context.socket() == "/y.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://there:2375")
    assert context.socket() is None
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONTEXT", "unknown")
    assert context.socket() is None
