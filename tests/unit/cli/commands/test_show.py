"""The bare status, when `devenv ps --watch` looks again, and the URLs of a project, against an engine in memory."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest

from devenv import __version__
from devenv.cli import main
from devenv.cli.commands import show as command
from devenv.compose.outline import Selection
from devenv.docker import context, process
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, EngineError, StateError, UsageError
from devenv.events import Published
from devenv.inspect import status as inspection
from devenv.model.containers import Container, ProjectState
from devenv.model.ps import Stands
from devenv.run import urls
from devenv.run.urls import Addresses
from devenv.state.identity import Place
from devenv.state.ledger import begin
from devenv.state.run_dir import Run
from devenv.tasks import first
from devenv.ui.hints import ProjectOptions
from support.engine import Fault, MemoryEngine, MemoryHost
from support.memory.client import MEMORY
from support.memory.played import placed
from support.schemas import checked_document

pytestmark = pytest.mark.anyio

URL = "http://localhost:8080/"
NOW = dt.datetime(2026, 11, 29, 12, 0, 0, tzinfo=dt.UTC)
WEB = Container("1", "p-web-1", "web", "running", ours=True, started_at="2026-11-29T11:59:30.123Z")


@pytest.fixture
def host() -> MemoryHost:
    """A container of `web` that has run for half a minute."""
    made = MemoryHost(now=int(NOW.timestamp() * 1e9))
    placed(made, "web", started=int((NOW.timestamp() - 30) * 1e9))
    return made


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: MemoryHost) -> Any:
    """The output for a project of `web`, `db` and, with its profile, `tool`, while these actions happen."""
    (tmp_path / "compose.yml").write_text("services: {web: {}, db: {}, tool: {profiles: [x]}}\n")
    monkeypatch.setattr(command, "TOGETHER", 0.0)

    async def run(
        *services: str,
        actions: Sequence[str] = (),
        watch: bool = False,
        seconds: float = 0.2,
        looks: int = 1000,
        found: list[Stands] | None = None,
    ) -> list[Stands]:
        engine = MemoryEngine(host)
        engine.faults.on("GET containers/json", Fault.REFUSED, after=looks)
        monkeypatch.setattr(Engine, "connect", lambda: contextlib.nullcontext(engine))
        found = [] if found is None else found
        selection = Selection(str(tmp_path), project_name="p")
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: command._show(selection, services, found.append, watch=watch))
                while actions and len(found) < 2:  # noqa: ASYNC110 - at first, and when the stream of events begins
                    await anyio.sleep(0.01)
                for action in actions:
                    host.emit_container_event(host.container("id-web-1"), action)
                    await anyio.wait_all_tasks_blocked()
                await anyio.sleep(seconds)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first(group) from None
        return found

    return run


async def test_ps_lists_enabled_and_named_services_once(shown: Any) -> None:
    """Services that are on, and those that are named; ages are by the engine's clock."""
    (found,) = await shown()
    assert [(row.service, row.state, row.age) for row in found.services] == [
        ("web", "running", 30),
        ("db", "absent", None),
    ]
    (found,) = await shown("tool", "web")
    assert [row.service for row in found.services] == ["web", "tool"]
    with pytest.raises(UsageError, match="there is no service `wbe`"):
        await shown("wbe")


@pytest.mark.parametrize(("is_quick", "is_here"), [(True, True), (True, False), (False, True), (False, False)])
async def test_ps_uses_the_run_on_this_engine_only(
    shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_quick: bool, is_here: bool
) -> None:
    """If its containers were removed, a run of the same project on another engine is not reported."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", MEMORY.host)
    at = MEMORY if is_here else Endpoint("unix:///other.sock")
    run = Run.open("key", at, "p")
    ledger = begin(ProjectState(), {}, project="p", place=Place("/p"), engine="key", endpoint=at.host, context=None)
    run.write(replace(ledger, phase="detached"))
    run.remember({"began": ledger.began, "images": {"db": "i"}})
    found: list[Stands] = []
    if is_quick:
        monkeypatch.setattr(context, "local_containers", lambda _: ((WEB,), NOW))
        assert command._show_quickly(Selection(str(tmp_path), project_name="p"), (), found.append)
    else:
        found = await shown()
    assert [service.phase for service in found[0].services] == ["started", "removed" if is_here else "absent"]


async def test_ps_watch_looks_again_after_state_changes(shown: Any) -> None:
    """At the start of the stream, and at what changes a state; what a health check runs is nothing."""
    actions = ["die", "exec_create: /check", "exec_die", "health_status: healthy", "top"]
    assert len(await shown(actions=actions, watch=True)) == 4


async def test_ps_watch_updates_ages_without_events(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """But after a while ages are others."""
    assert len(await shown(watch=True, seconds=0.5)) == 2, "once at first, and once the stream begins"
    monkeypatch.setattr(command, "LOOK_AGAIN", 0.05)
    assert len(await shown(watch=True, seconds=0.5)) > 3


async def test_ps_watch_ends_with_the_engine(shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the end, all containers that existed were shown."""
    monkeypatch.setattr(command, "LOOK_AGAIN", 0.05)
    found: list[Stands] = []
    with pytest.raises(EngineError, match="cannot reach the Docker engine"):
        await shown(watch=True, seconds=20, looks=3, found=found)
    assert len(found) == 3


async def test_ps_asks_a_local_engine_without_an_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the arguments need more than the quick way has, nothing is printed yet."""
    (tmp_path / "compose.yml").write_text("services: {web: {}}\n")
    found: list[Stands] = []
    asked: list[str] = []

    def containers(project: str) -> Any:
        asked.append(project)
        return ((WEB,), NOW) if project == "p" else None

    monkeypatch.setattr(context, "local_containers", containers)
    assert command._show_quickly(Selection(str(tmp_path), project_name="p"), (), found.append)
    assert [row.container for row in found[0].services] == ["p-web-1"]
    assert not command._show_quickly(Selection(str(tmp_path), project_name="q"), (), found.append)
    (tmp_path / "compose.yml").write_text("name: ${NAME}\nservices: {web: {}}\n")
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    assert not command._show_quickly(Selection(str(tmp_path)), (), found.append)
    assert (asked, len(found)) == (["p", "q"], 1)


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("2026-11-29T11:59:00.5Z", 60),
        ("2026-11-29T11:59:00Z", 60),
        ("2026-11-29T12:00:09Z", 0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_age_of_a_container(at: str, seconds: float | None) -> None:
    """A container that never started has no age, and a start in the future has age 0."""
    assert command._age(at, NOW) == seconds


def test_the_status_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On stdout, with what can be typed."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    assert command.bare() == 0
    out, err = capfd.readouterr()
    assert "devenv new" in out
    assert err == ""
    command._print_status(ProjectOptions(), None, quiet=True)
    assert capfd.readouterr().out == out.splitlines(keepends=True)[0]


@pytest.mark.parametrize("typed", ["-p shop", "--isolated=demo", "--isolated", "-f c.yml --profile debug"])
def test_commands_to_type_select_the_project_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], typed: str
) -> None:
    """In the status, in lines for people, in errors and in JSON."""
    for name in ("compose.yml", "c.yml"):
        (tmp_path / name).write_text("name: p\nservices: {web: {}, sh: {profiles: [debug]}}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    monkeypatch.chdir(tmp_path)
    assert main.run([*typed.split(), "--output", "json"]) == 0
    answer = checked_document("devenv", capfd.readouterr().out)
    assert [each["command"] for each in answer["commands"]] == [f"devenv {typed} doctor", "devenv --help"]
    monkeypatch.setattr(context, "local_containers", lambda _: ((), NOW))
    assert main.run(["ps", *typed.split()]) == 0
    assert f"(devenv {typed} up)" in capfd.readouterr().err
    assert main.run([*typed.split(), "logs", "--tail", "x"]) == 2
    assert f"hint: devenv {typed} logs --tail 100\n" in capfd.readouterr().err


@pytest.mark.parametrize("output", ["text", "json"])
def test_ps_of_a_project_that_is_down_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], output: str
) -> None:
    """Beside the list, for people only; with a container it says nothing."""
    (tmp_path / "compose.yml").write_text("name: p\nservices: {web: {}}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    for containers in ((), (WEB,)):
        monkeypatch.setattr(context, "local_containers", lambda _, found=containers: (found, NOW))
        assert main.run(["ps", "--output", output]) == 0
        text = "" if containers or output == "json" else "p is not up (devenv up)\n"
        assert capfd.readouterr().err == text


def test_version_includes_that_of_compose(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The version of Compose is in a second line; in JSON it is null if there is no docker."""

    async def run(_: Sequence[str]) -> process.Completed:
        return process.Completed(0, b"Docker Compose version v2.40.3\n", b"")

    async def fail(_: Sequence[str]) -> NoReturn:
        raise EngineError("`docker` is not installed")

    monkeypatch.setattr(process, "run", run)
    assert main.run(["version"]) == 0
    assert capfd.readouterr().out.splitlines() == [f"devenv {__version__}", "Docker Compose version v2.40.3"]
    monkeypatch.setattr(process, "run", fail)
    assert main.run(["version", "--output", "json"]) == 0
    assert checked_document("version", capfd.readouterr().out)["compose"] is None


@pytest.mark.parametrize(
    ("error", "code", "text"), [(KeyboardInterrupt(), 130, ""), (StateError("no room"), 3, "error: no room\n")]
)
def test_errors_are_those_of_other_commands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    """An error is one line and an exit code; Ctrl-C exits with 130 and prints nothing."""

    async def here(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(inspection, "here", here)
    assert (command.bare(), capfd.readouterr().err) == (code, text)


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
        return await command._sites(Selection(str(tmp_path), project_name="p"), service)

    return run


@pytest.mark.parametrize("service", [None, "web"])
async def test_open_prints_addresses_of_running_services(find: Any, service: str | None) -> None:
    """The addresses of all services are printed, or those of the named service."""
    assert await find(service, Addresses((URL,), ())) == ("p", (URL,))


@pytest.mark.parametrize(
    ("service", "known", "kind", "message"),
    [
        ("wbe", Addresses((), ()), UsageError, "there is no service `wbe`"),
        ("db", Addresses((), ()), DevenvError, "db is not running"),
        ("tool", Addresses((), ()), DevenvError, "tool is not running"),
        (None, Addresses((), ()), DevenvError, "no port is published"),
        (
            None,
            Addresses((), (Published("web", 5432, "localhost:5432"),)),
            DevenvError,
            "no published port answers with HTTP: web 5432 at localhost:5432",
        ),
    ],
)
async def test_open_says_what_is_missing(
    find: Any, service: str, known: Addresses, kind: type[DevenvError], message: str
) -> None:
    """The error names what is missing: the service, a running container, a port, or HTTP on the port."""
    with pytest.raises(kind) as raised:
        await find(service, known)
    assert raised.value.message == message
