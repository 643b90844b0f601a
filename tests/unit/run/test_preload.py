"""The project is read while the modules of `devenv up` are imported."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.docker.cli import EarlyCommand
from devenv.docker.endpoint import Endpoint
from devenv.errors import ConfigError
from devenv.remote import line
from devenv.run.preload import UpOptions, up

pytestmark = pytest.mark.anyio
LOADED: Any = object()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps in order; `up` waits for the project."""
    seen: list[str] = []
    begun = anyio.Event()

    async def read(_: Selection, **__: Any) -> Any:
        seen.append("reads")
        with anyio.fail_after(20):
            await begun.wait()
        seen.append("has read")
        return LOADED

    async def rise(options: UpOptions, emit: Any, *more: Any) -> int:
        emit("rises")
        begun.set()
        assert options.ahead is not None
        assert await options.ahead() is LOADED
        emit("has it")
        return len(more)

    module = types.ModuleType("devenv.run.up")
    module.up = rise  # type: ignore[attr-defined] # modules are made like this
    monkeypatch.setitem(sys.modules, "devenv.run.up", module)
    monkeypatch.setattr(resolve, "load", read)
    return seen


async def test_project_is_read_while_modules_are_imported(steps: list[str]) -> None:
    """Reading begins before `up` is imported, and is waited for only when the project is needed."""
    assert await up(UpOptions(Selection("/")), steps.append, "controller") == 1  # type: ignore[arg-type] # text as events
    assert steps == ["reads", "rises", "has read", "has it"]


async def test_a_login_begins_while_the_project_is_read(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For an engine that is reached by ssh; it is closed once the run has ended. Another engine needs none."""

    @contextlib.contextmanager
    def begun(endpoint: Endpoint) -> Iterator[Any]:
        steps.append(f"logs in to {endpoint.host}")
        yield types.SimpleNamespace(begin_to_ask=lambda command: steps.append(command[:18]))
        steps.append("closed")

    async def rise(options: UpOptions, *_: Any) -> int:
        assert options.login is not None
        login = await options.login()
        return 0 if login is None else len(login)

    monkeypatch.setattr(line, "begun", begun)
    monkeypatch.setattr(sys.modules["devenv.run.up"], "up", rise)
    for host, code in (("ssh://far", 2), ("unix:///here.sock", 0)):
        monkeypatch.setenv("DOCKER_HOST", host)
        assert await up(UpOptions(Selection("/")), steps.append) == code  # type: ignore[arg-type] # as above
    assert [step for step in steps if step != "reads"] == ["logs in to ssh://far", "cat /proc/net/tcp ", "closed"]


@pytest.mark.parametrize(
    ("host", "options", "is_built", "expected"),
    [
        ("unix:///here.sock", {}, True, ["build", "create"]),
        ("unix:///here.sock", {}, False, ["create"]),
        ("unix:///here.sock", {"build": False}, True, ["create"]),
        ("ssh://far", {}, True, []),
    ],
)
async def test_compose_starts_once_the_project_has_its_name(
    steps: list[str],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    options: dict[str, Any],
    is_built: bool,
    expected: list[str],
) -> None:
    """Its commands wait for their models; for another machine they need its line first, and `up` starts them."""

    async def child(early: EarlyCommand) -> None:
        steps.append(" ".join(early.argv[1:]))

    async def read(_: Selection, on_named: Any, **__: Any) -> Any:
        on_named("shop", "/shop", is_built)
        return LOADED

    async def rise(options: UpOptions, *_: Any) -> int:
        assert options.ahead is not None
        await options.ahead()
        await anyio.lowlevel.checkpoint()
        steps.extend(options.early)
        return 0

    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setattr(line, "begun", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(EarlyCommand, "run", child)
    monkeypatch.setattr(resolve, "load", read)
    monkeypatch.setattr(sys.modules["devenv.run.up"], "up", rise)
    assert await up(UpOptions(Selection("/"), **options), steps.append) == 0  # type: ignore[arg-type] # as above
    head = "compose -p shop --project-directory /shop -f -"
    verbs = {"build": f"{head} build", "create": f"{head} create --no-build"}
    assert steps == [*(verbs[verb] for verb in expected), *expected]


async def test_error_is_raised_when_the_project_is_awaited(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As reading raised it, and not in a group."""

    async def read(_: Selection, **__: Any) -> Any:
        raise ConfigError("broken")

    monkeypatch.setattr(resolve, "load", read)
    with pytest.raises(ConfigError, match="broken"):
        await up(UpOptions(Selection("/")), steps.append)  # type: ignore[arg-type] # as above
    assert steps == ["rises"]


async def test_the_end_of_the_run_ends_the_reading(steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was asked to end before it had its project leaves nothing going on."""

    async def rise(*_: Any) -> int:
        return 130

    monkeypatch.setattr(sys.modules["devenv.run.up"], "up", rise)
    assert await up(UpOptions(Selection("/")), steps.append) == 130  # type: ignore[arg-type] # as above
    assert steps == ["reads"]
