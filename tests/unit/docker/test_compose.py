"""The command lines of Compose, and what it reports while it creates."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.docker import process
from devenv.docker.compose import Compose
from devenv.docker.compose_failures import BuildError, VerbError

pytestmark = pytest.mark.anyio

COMPOSE = Compose("p", "/p", b'{"services": {"web": {"build": {"context": "/p"}}}}')
HEAD = ["docker", "compose", "-p", "p", "--project-directory", "/p", "-f", "-"]


class Child:
    """Stands in for `process.run`: prints these lines, and ends with that code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lines: str, code: int = 0) -> None:
        self.lines, self.code = lines, code
        self.argv: list[str] = []
        self.options: dict[str, Any] = {}
        monkeypatch.setattr(process, "run", self.run)

    async def run(self, argv: list[str], **options: Any) -> process.Completed:
        """The child, ended."""
        self.argv, self.options = argv, options
        for listener in ("on_line", "on_error_line"):
            for line in self.lines:
                if options.get(listener):
                    options[listener](line)
        return process.Completed(self.code, b"", "\n".join(self.lines).encode())


async def test_containers_and_networks_are_reported_as_they_are_created(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the verb fails later."""
    lines = (
        " Network p_default  Creating",
        " Container p-web-1  Recreate",
        " Container p-db-1  Running",
        "no memory",
    )
    child, created = Child(monkeypatch, *lines, code=1), list[tuple[str, str]]()
    with pytest.raises(VerbError, match="no memory"):
        await COMPOSE.create(["web"], force=True, on_made=lambda kind, name: created.append((kind, name)))
    assert created == [("network", "p_default"), ("container", "p-web-1")]
    assert child.argv == [*HEAD, "create", "--no-build", "--force-recreate", "web"]


async def test_the_model_is_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the user's shell sets for Compose do not count."""
    child = Child(monkeypatch)
    await COMPOSE.start()
    assert (child.argv, child.options["stdin"]) == ([*HEAD, "start"], COMPOSE.model)
    assert child.options["env"]["COMPOSE_FILE"] == ""


async def test_a_build_passes_its_progress_on(monkeypatch: pytest.MonkeyPatch) -> None:
    child, shown = Child(monkeypatch, "#5 [2/2] RUN x", "#5 ERROR: y", "a reason", code=1), list[str]()
    with pytest.raises(BuildError, match="the build of `web` failed: a reason"):
        await COMPOSE.build(on_line=shown.append)
    assert (child.argv, shown[0]) == ([*HEAD, "build"], "#5 [2/2] RUN x")
