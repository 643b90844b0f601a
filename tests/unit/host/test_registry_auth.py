"""The value of X-Registry-Auth, from the settings of the docker CLI."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.errors import DevenvError
from devenv.host.registry_auth import HUB_KEY, credentials

CANARY = "c4n4ry"
BASIC = base64.b64encode(f"user:{CANARY}:x".encode()).decode()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker CLI's config.json in a temporary folder, which is also on PATH."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "config.json"


@pytest.mark.parametrize(
    ("host", "auths", "known"),
    [
        ("r.test", {"r.test": {"auth": BASIC}}, {"username": "user", "password": f"{CANARY}:x"}),
        ("r.test", {"https://r.test/v1/": {"auth": BASIC}}, {"username": "user", "password": f"{CANARY}:x"}),
        ("docker.io", {HUB_KEY: {"auth": BASIC}}, {"username": "user", "password": f"{CANARY}:x"}),
        ("r.test:5000", {"r.test:5000": {"identitytoken": CANARY, "auth": BASIC}}, {"identitytoken": CANARY}),
        ("r.test", {"r.test:5000": {"auth": BASIC}}, None),
        ("r.test", {"r.test": {"auth": "abc"}}, None),
        ("r.test", {"r.test": {}}, None),
        ("r.test", {"r.test": None}, None),
        ("docker.io", None, None),
    ],
)
def test_credentials_for_a_registry_are_read(
    config: Path, host: str, auths: Any, known: dict[str, str] | None
) -> None:
    """Each registry gets only the credentials for its own name and port."""
    config.write_text(json.dumps({"auths": auths}))
    assert header(host) == (known and {**known, "serveraddress": HUB_KEY if host == "docker.io" else host})


def test_missing_file_gives_no_credentials(config: Path) -> None:
    """Without a login there are no credentials; a file without an object counts as empty."""
    assert header("r.test") is None
    config.write_text("[]")
    assert header("r.test") is None


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_helper_is_asked_on_its_standard_input(config: Path, key: str) -> None:
    """The registry's helper, or the default helper, returns user and secret, or a token."""
    program(config.parent, 'read -r key; printf \'{"Username": "u", "Secret": "%s"}\' "$1-$key"')
    config.write_text(json.dumps({key: "safe" if key == "credsStore" else {"r.test": "safe"}}))
    assert header("r.test") == {"username": "u", "password": "get-r.test", "serveraddress": "r.test"}
    program(config.parent, 'echo \'{"Username": "<token>", "Secret": "t"}\'')
    assert header("r.test") == {"identitytoken": "t", "serveraddress": "r.test"}


def test_helper_without_credentials_is_no_error(config: Path) -> None:
    """`not found` is not an error."""
    config.write_text('{"credsStore": "safe"}')
    program(config.parent, "echo credentials not found in native keychain; exit 1")
    assert header("r.test") is None


@pytest.mark.parametrize("script", [None, f"echo {CANARY}; exit 1", f"echo '[\"{CANARY}\"]'", "sleep 9"])
def test_a_helper_that_cannot_be_used(config: Path, script: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the helper and what to type, and repeats nothing that it printed."""
    monkeypatch.setattr("devenv.host.registry_auth.PATIENCE", 0.3)
    config.write_text('{"credsStore": "safe"}')
    if script:
        program(config.parent, script)
    with pytest.raises(DevenvError, match="docker-credential-safe") as raised:
        header("r.test")
    assert raised.value.exit_code == 4
    assert raised.value.hint is not None
    assert "docker login r.test" in raised.value.hint
    assert CANARY not in f"{raised.value.message}{raised.value.hint}"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff",
        None,
        b'{"auths": 5}',
        b'{"credHelpers": ["a"]}',
        b'{"credsStore": 5}',
        b'{"proxies": {"default": "x"}}',
        b'{"proxies": {"default": {"httpProxy": 5}}}',
    ],
)
def test_a_broken_file_is_named(config: Path, content: bytes | None) -> None:
    """The place of the error is the file."""
    if content is None:
        config.mkdir()
    else:
        config.write_bytes(content)
    with pytest.raises(DevenvError) as raised:
        header("r.test")
    assert (raised.value.exit_code, raised.value.file) == (5, str(config))


def program(folder: Path, script: str) -> None:
    path = folder / "docker-credential-safe"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def header(host: str) -> dict[str, str] | None:
    value = anyio.run(credentials, host)
    return json.loads(base64.urlsafe_b64decode(value)) if value else None
