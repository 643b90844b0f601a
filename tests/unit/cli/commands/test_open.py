"""The URLs of a project, against an engine in memory."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from devenv.cli.commands import open as opening
from devenv.compose.outline import Selection
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, UsageError
from devenv.events import Published
from devenv.run import urls
from devenv.run.urls import Addresses
from support.engine import MemoryEngine, MemoryHost
from support.memory.played import placed

pytestmark = pytest.mark.anyio
URL = "http://localhost:8080/"


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Looks for the site of a project in which `web` runs and `db` has exited."""
    (tmp_path / "compose.yml").write_text("services: {web: {}, db: {}, tool: {profiles: [x]}}\n")
    host = MemoryHost()
    placed(host, "web", "running", number=1)
    placed(host, "db", "exited", number=1)
    engine = MemoryEngine(host, Endpoint("unix:///e"))
    monkeypatch.setattr(Engine, "connect", lambda: contextlib.nullcontext(engine))

    async def run(service: str | None, known: Addresses) -> tuple[str, tuple[str, ...]]:
        async def addresses(containers: Any, _: str) -> Addresses:
            assert [container.service for container in containers] == ["web"]
            return known

        monkeypatch.setattr(urls, "addresses", addresses)
        return await opening._sites(Selection(str(tmp_path), project_name="p"), service)

    return run


@pytest.mark.parametrize("service", [None, "web"])
async def test_the_addresses_of_what_runs(find: Any, service: str | None) -> None:
    """Of all services, or of the one that is named."""
    assert await find(service, Addresses((URL,), ())) == ("p", (URL,))


@pytest.mark.parametrize(
    ("service", "known", "kind", "message"),
    [
        ("wbe", Addresses((), ()), UsageError, "there is no service `wbe`"),
        ("db", Addresses((), ()), DevenvError, "`db` does not run"),
        ("tool", Addresses((), ()), DevenvError, "`tool` does not run"),
        (None, Addresses((), ()), DevenvError, "no port is published"),
        (
            None,
            Addresses((), (Published("web", 5432, "localhost:5432"),)),
            DevenvError,
            "no published port answers with HTTP: web 5432 at localhost:5432",
        ),
    ],
)
async def test_no_site(find: Any, service: str, known: Addresses, kind: type[DevenvError], message: str) -> None:
    """What is missing: the service, a container that runs, a port, or HTTP on it."""
    with pytest.raises(kind) as raised:
        await find(service, known)
    assert raised.value.message == message
