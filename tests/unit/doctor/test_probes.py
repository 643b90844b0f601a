"""The collection of the facts, and why an engine cannot be reached."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.docker import process
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.doctor import probes
from devenv.doctor.facts import Tree
from devenv.errors import EngineError
from support.engine import MemoryEngine, MemoryHost

HERE = Selection("/")
HOST = Endpoint("unix:///var/run/docker.sock")


@pytest.mark.anyio
async def test_all_checks_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that hangs is late; the area of a check without a result does not count as checked."""
    monkeypatch.setattr(probes, "TOTAL", 0.1)
    checks = probes._Checks(HERE, lambda _: None)

    async def nothing() -> dict[str, object]:
        return {}

    began = anyio.current_time()
    await checks.run(("machine", 60.0, anyio.sleep_forever), ("project", 60.0, nothing))
    assert anyio.current_time() - began < 5
    assert (checks.late, checks.areas) == (["machine"], [])


@pytest.mark.parametrize(
    ("endpoint", "cause", "code"),
    [
        (HOST, FileNotFoundError(), "engine-missing"),
        (HOST, ConnectionRefusedError(), "engine-stopped"),
        (HOST, PermissionError(), "engine-forbidden"),
        (HOST, TimeoutError(), "engine-silent"),
        (Endpoint("ssh://far.example", "far"), TimeoutError(), "engine-unreachable"),
        (HOST, ValueError(), "engine-unusable"),
        (HOST, None, "engine-unusable"),
    ],
)
def test_why_an_engine_is_not_reached(endpoint: Endpoint, cause: Exception | None, code: str) -> None:
    """The reason depends on the exception below the error."""
    error = EngineError("x")
    error.__cause__ = cause
    reason = anyio.run(probes.unreached, endpoint, error)
    assert code in (reason["address"].state, *(told for told, _ in reason.get("errors", ())))


@pytest.mark.anyio
async def test_a_machine_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools, the engine, proxies and limits are in their groups; the project's groups stay empty."""
    engine = MemoryEngine(MemoryHost(), HOST)

    @contextlib.asynccontextmanager
    async def connect(_: Endpoint) -> AsyncIterator[Engine]:
        yield engine

    async def resolve() -> Endpoint:
        return HOST

    async def run(argv: list[str], **_: object) -> process.Completed:
        if argv[1] == "compose":
            return process.Completed(0, b"v2.40.3\n", b"")
        return process.Completed(1, b"", b"docker: 'buildx' is not a docker command")

    monkeypatch.setattr(probes, "resolve", resolve)
    monkeypatch.setattr(Engine, "connect", connect)
    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name == "docker" else None)
    monkeypatch.setattr(probes, "_answers", lambda _: True)
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"credsStore": "gone"}')
    lines: list[str] = []
    facts = await probes.gather(Selection(str(tmp_path)), lines.append)
    assert (facts.tools.docker, facts.tools.compose, facts.tools.buildx) == (True, "2.40.3", None)
    assert (facts.address.host, facts.address.state) == (HOST.host, "")
    assert (facts.engine.version, facts.engine.platform) == ("26.1.5", "linux/amd64")
    assert facts.proxies.environment == {"HTTPS_PROXY": "http://proxy.test:3128"}
    assert (facts.proxies.exceptions, facts.proxies.dead) == ("localhost", ())
    assert (facts.client.path, facts.client.missing_helpers) == (
        str(tmp_path / "config.json"),
        ("docker-credential-gone",),
    )
    assert facts.machine.disks
    assert (facts.built, facts.tree, [registry.host for registry in facts.images.registries]) == (
        (),
        Tree(),
        ["docker.io"],
    )
    assert facts.errors == ()
    assert {"tools", "engine", "proxies", "machine", "registries"} <= {*facts.checked}
    assert lines[0].startswith("checking ")
