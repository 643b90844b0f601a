"""The container and the command of `devenv shell`, against an engine in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from devenv.cli.commands.containers import _answer, _argv
from devenv.compose.outline import Selection
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, UsageError
from support.engine import Container, MemoryEngine, MemoryHost, Refused
from support.memory.played import placed

pytestmark = pytest.mark.anyio

Placed = tuple[str, str, int]  # service, state, number
LOCAL = ["docker", "--host", "unix:///e"]


def engine_with(*services: Placed, programs: str = "sh", best: str = "/bin/sh") -> MemoryEngine:
    """Containers that have some programs; others fail in either way that engines have."""
    host = MemoryHost()
    for service, state, number in services:
        placed(host, service, state, number=number)

    def execution(_: Container, argv: Sequence[str], __: object) -> tuple[int, bytes]:
        if argv[0] in programs.split():
            return 0, f"{best}\n".encode()
        if argv[0] == "sh":
            raise Refused(400, "executable file not found")
        return 127, b"not found"

    host.execution = execution
    return MemoryEngine(host, Endpoint("unix:///e"))


WEB, DB = ("web", "running", 1), ("db", "running", 1)


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command in a project of `web`, `db` and, with its profile, `tool`."""
    (tmp_path / "compose.yml").write_text("services: {web: {}, db: {}, tool: {profiles: [x]}}\n")

    async def run(engine: MemoryEngine, service: str | None, *command: str, ask: Any = None, tty: bool = True) -> Any:
        monkeypatch.setattr(Engine, "connect", lambda: contextlib.nullcontext(engine))
        return await _argv(Selection(str(tmp_path), project_name="p"), service, command, ask, tty=tty)

    return run


@pytest.mark.parametrize(
    ("programs", "best", "shell_"),
    [
        ("sh", "/bin/bash", "/bin/bash"),
        ("sh", "/bin/ash\nmore", "/bin/ash"),
        ("sh", "", "sh"),
        ("/busybox/sh", "", "/busybox/sh"),
        ("/usr/bin/bash", "/usr/bin/bash", "/usr/bin/bash"),
    ],
)
async def test_shell_uses_the_best_shell(go: Any, programs: str, best: str, shell_: str) -> None:
    """The shell is the best one that the container reports, or else the program that was asked."""
    engine = engine_with(WEB, programs=programs, best=best)
    assert await go(engine, "web") == [*LOCAL, "exec", "-it", "id-web-1", shell_]


async def test_an_image_without_a_shell_is_an_error_but_runs_programs(go: Any) -> None:
    """The hint says how."""
    engine = engine_with(WEB, programs="")
    with pytest.raises(DevenvError, match="the image of `web` has no shell") as raised:
        await go(engine, "web")
    assert (raised.value.hint or "").startswith("devenv shell web -- ")
    assert (await go(engine, "web", "/app", "-v", tty=False))[-4:] == ["-i", "id-web-1", "/app", "-v"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("ls",), ["ls"]),
        (("ls", "a b"), ["ls", "a b"]),
        (("cd src && ls",), ["/bin/sh", "-c", "cd src && ls"]),
        ((" ls ",), [" ls "]),
    ],
)
async def test_shell_runs_a_command_unchanged(go: Any, command: tuple[str, ...], words: list[str]) -> None:
    """Only a single argument with several words is run by the shell."""
    assert (await go(engine_with(WEB), "web", *command))[6:] == words


async def test_shell_uses_the_only_running_service(go: Any) -> None:
    """Of its containers the first; what has ended does not count."""
    engine = engine_with(("db", "exited", 1), WEB, ("web", "running", 2))
    assert (await go(engine, None))[5] == "id-web-1"
    with pytest.raises(DevenvError, match="nothing of this project is running"):
        await go(engine_with(("db", "exited", 1)), None)


async def test_one_of_several_services_has_to_be_chosen(go: Any) -> None:
    """With a terminal, devenv asks for the service; without a terminal it is an error."""
    assert (await go(engine_with(WEB, DB), None, ask=lambda names: names[0]))[5] == "id-db-1"
    with pytest.raises(UsageError, match="several services run: db, web") as raised:
        await go(engine_with(WEB, DB), None)
    assert raised.value.hint == "devenv shell db"


@pytest.mark.parametrize(
    ("service", "error", "hint"),
    [
        ("wbe", "there is no service `wbe`", "Did you mean `web`?"),
        ("tool", "tool is not running", "devenv up"),
        ("db", "db is not running (exited)", "devenv logs db"),
    ],
)
async def test_a_service_that_does_not_run_is_an_error(go: Any, service: str, error: str, hint: str) -> None:
    """The error says what to do."""
    with pytest.raises(DevenvError) as raised:
        await go(engine_with(WEB, ("db", "exited", 1)), service)
    assert (raised.value.message, raised.value.hint) == (error, hint)


def test_chosen_service_is_a_name_or_a_number() -> None:
    """A name that is a number is the name."""
    assert [_answer(answer, ["db", "3", "web"]) for answer in ("web", "1", "3")] == ["web", "db", "3"]
    for answer in ("0", "4", "x", "", "²"):
        with pytest.raises(UsageError):
            _answer(answer, ["db", "3", "web"])
