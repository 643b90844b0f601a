"""Calls of the docker CLI and of Compose, and what their failures become."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.docker import cli, process
from devenv.docker.cli import Compose, EarlyCommand
from devenv.docker.compose_failures import BuildError, VerbError
from devenv.errors import EngineError

pytestmark = pytest.mark.anyio

COMPOSE = Compose("p", "/p", b'{"services": {"web": {"build": {"context": "/p"}}}}')
HEAD = ["docker", "compose", "-p", "p", "--project-directory", "/p", "-f", "-"]


class Child:
    """Replaces `process.run`: prints this, and ends with that code."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, printed: bytes = b"", errors: bytes = b"", code: int = 0
    ) -> None:
        self.argv: list[str] = []
        self.env: dict[str, str] = {}

        async def run(
            argv: list[str], *, env: dict[str, str] | None = None, on_error_line: process.OnLine | None = None
        ) -> process.Completed:
            self.argv, self.env = argv, env or {}
            if on_error_line is not None:
                for line in errors.decode().splitlines():
                    on_error_line(line)
            return process.Completed(code, printed, errors)

        monkeypatch.setattr(process, "run", run)


async def test_files_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """No container stays, nothing is pulled, and nothing reaches the network."""
    child = Child(monkeypatch, b"a\nb\n\0\0")
    assert await cli.read("image", "/there", "/missing") == ["a\nb\n", ""]
    assert {"--rm", "--pull=never", "--network=none"} <= {*child.argv}
    assert child.argv[-2:] == ["/there", "/missing"]


async def test_a_build_asks_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(monkeypatch)
    await cli.build("/context", "image", args={"A": "b"}, labels={"l": "v"}, on_step=print)
    assert {"--network=none", "--tag=image", "/context", "--build-arg=A=b", "--label=l=v"} <= {*child.argv}
    assert child.env.items() >= {("BUILDKIT_NO_CLIENT_TOKEN", "1")}


async def test_the_steps_of_a_build_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their places in the Dockerfile, and nothing of BuildKit's own."""
    Child(monkeypatch, errors=b"#1 [internal] load x\n#2 [1/2] FROM a\n#2 DONE 0.1s\n#3 [root 2/2] RUN b\n#3 0.1 out")
    steps: list[str] = []
    await cli.build("/context", "image", args={}, labels={}, on_step=steps.append)
    assert steps == ["1/2", "2/2"]


async def test_an_archive_is_imported_with_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    child = Child(monkeypatch)
    await cli.import_archive("/root.tar", "image", ["ENV A=b"])
    assert child.argv == ["docker", "import", "--change=ENV A=b", "/root.tar", "image"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cli.read("image", "/x"), "image cannot be read: why"),
        (lambda: cli.build("/x", "image", args={}, labels={}, on_step=print), "`docker build` failed: why"),
        (lambda: cli.import_archive("/x", "image", []), "`docker import` failed: why"),
    ],
)
async def test_the_last_line_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], Awaitable[object]], message: str
) -> None:
    Child(monkeypatch, errors=b"first\n why \n\n", code=1)
    with pytest.raises(EngineError) as raised:
        await call()
    assert raised.value.message == message


def test_a_reason_has_an_end() -> None:
    assert cli.last_line("x" * 300) == "x" * 200
    assert cli.last_line(" \n") == "no reason given"


class Verb:
    """Replaces `process.run`: prints these lines, and ends with that code."""

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
    """They are reported also if the verb fails later."""
    lines = (
        " Network p_default  Creating",
        " Container p-web-1  Recreate",
        " Container p-db-1  Running",
        "no memory",
    )
    child, created = Verb(monkeypatch, *lines, code=1), list[tuple[str, str]]()
    with pytest.raises(VerbError, match="no memory"):
        await COMPOSE.create(["web"], force=True, on_created=lambda kind, name: created.append((kind, name)))
    assert created == [("network", "p_default"), ("container", "p-web-1")]
    assert child.argv == [*HEAD, "create", "--no-build", "--force-recreate", "web"]


async def test_the_model_is_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the user's shell sets for Compose do not count."""
    child = Verb(monkeypatch)
    await COMPOSE.start()
    assert (child.argv, child.options["stdin"]) == ([*HEAD, "start"], COMPOSE.model)
    assert child.options["env"]["COMPOSE_FILE"] == ""


async def test_a_build_passes_its_progress_on(monkeypatch: pytest.MonkeyPatch) -> None:
    child, shown = Verb(monkeypatch, "#5 [2/2] RUN x", "#5 ERROR: y", "a reason", code=1), list[str]()
    with pytest.raises(BuildError, match="the build of `web` failed: a reason"):
        await COMPOSE.build(on_line=shown.append)
    assert (child.argv, shown[0]) == ([*HEAD, "build"], "#5 [2/2] RUN x")


@pytest.fixture
def early_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A `docker` that says that it has begun, reads its input, and writes down command line and input at its end."""
    script = f'#!/bin/sh\ntouch {tmp_path}/begun; m=$(cat); [ "$m" ] || exit 14\n'
    script += 'echo " Container web  Created" >&2\necho "#1 built"\n'
    (tmp_path / "docker").write_text(f'{script}echo "$* $m" >>{tmp_path}/done\n')
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


async def until_exists(file: Path) -> None:
    """Wait for a file."""
    with anyio.fail_after(20):
        while not file.exists():  # noqa: ASYNC110 - a child makes it
            await anyio.sleep(0.01)


@contextlib.asynccontextmanager
async def begun(verb: str, folder: Path) -> AsyncIterator[EarlyCommand]:
    """A command that runs, and waits for its model."""
    early = COMPOSE.early(verb)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(early.run)
        await until_exists(folder / "begun")
        assert not (folder / "done").exists()
        yield early


async def test_a_create_that_has_begun_gets_its_model(early_docker: Path) -> None:
    """The child that runs already creates; nothing else is started. A second create is a new child."""
    created = list[str]()
    async with begun("create", early_docker) as early:
        await COMPOSE.create(["web"], early=early, on_created=lambda _, name: created.append(name))
    done = (early_docker / "done").read_text().splitlines()
    assert done == [f"{' '.join(HEAD[1:])} create --no-build {COMPOSE.model.decode()}"]
    assert created == ["web"]
    await COMPOSE.create(["web"], early=early)
    assert len((early_docker / "done").read_text().splitlines()) == 2


async def test_a_create_that_gets_no_model_creates_nothing(
    early_docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input ends with the run, and after a while; a create after that has a child of its own."""
    monkeypatch.setattr(cli, "PATIENCE", 0.2)
    early = COMPOSE.early("create")
    with anyio.fail_after(20):
        await early.run()
    await COMPOSE.create(["web"], early=early)
    assert len((early_docker / "done").read_text().splitlines()) == 1


async def test_a_build_that_has_begun_gets_its_model(early_docker: Path) -> None:
    """The child that runs already builds all services; a later build is a new child, for the services asked for."""
    shown = list[str]()
    async with begun("build", early_docker) as early:
        await COMPOSE.build(["web"], shown.append, early)
    assert shown == ["#1 built"]
    await COMPOSE.build(["web"], early=early)
    model, head = COMPOSE.model.decode(), " ".join(HEAD[1:])
    assert (early_docker / "done").read_text().splitlines() == [f"{head} build {model}", f"{head} build web {model}"]
