"""`devenv sync` on the engine in memory: each container once, and nothing deleted that may only not be mounted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.client import Engine
from devenv.errors import UsageError
from devenv.events import Compared, Event, Notice, Problem, ServiceState, Synced
from devenv.sync import once
from devenv.sync.once import SyncRequest
from support.engine import factory
from support.memory import verbs
from support.one_service import OneService

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OneService:
    """A project whose engine is in memory, and its state folder."""
    service = OneService(tmp_path)

    async def load(*_: object, **__: object) -> Loaded:
        return Loaded(service.project, {})

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(resolve, "load", load)
    monkeypatch.setattr(once, "SILENT", 0.0)
    monkeypatch.setattr(Engine, "connect", factory(service.host))
    return service


async def sync(
    service: OneService, *services: str, dry_run: bool = False, verify: bool = False
) -> tuple[int, list[Event]]:
    """The exit code of `devenv sync`, and its events."""
    events: list[Event] = []
    options = SyncRequest(Selection(service.project.directory), services, verify=verify, dry_run=dry_run)
    return await once.sync(options, events.append), events


async def test_each_container_gets_what_it_lacks(service: OneService) -> None:
    service.write("a", "first")
    for number in (1, 2):
        await service.place(number=number)
    service.host.containers["id-web-2"].files.write("src/a", b"first")
    code, events = await sync(service, verify=True)
    assert code == 0
    assert service.files(1) == service.files(2) == {"src/a": b"first"}
    compared = {e.container: e.different for e in events if isinstance(e, Compared)}
    assert compared == {"p-web-1": (), "p-web-2": ()}
    assert any(isinstance(event, Synced) for event in events)


async def test_it_says_whether_the_code_is_broken(service: OneService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The services' logs after the sync decide; a service that does not run is not asked."""
    monkeypatch.setattr(once, "SILENT", 10.0)
    service.write("main.py")
    await service.place("running")
    (web,) = service.host.containers.values()
    for line in ('  File "/src/main.py", line 3', "    x(", "SyntaxError: '(' was never closed"):
        verbs.write_log(service.host, web, line)
    _, events = await sync(service)
    (state,) = [event for event in events if isinstance(event, ServiceState)]
    assert (state.service, state.state) == ("web", "started")
    assert state.error == "main.py:3: SyntaxError: '(' was never closed"
    assert not [event for event in (await sync(service))[1] if isinstance(event, ServiceState)]


@pytest.mark.parametrize("state", ["restarting", "exited"])
async def test_it_says_what_a_service_does_after_the_sync(service: OneService, state: str) -> None:
    """The words are those of `ps`: a container that the engine restarts has not ended."""
    service.write("main.py")
    await service.place("running")
    (web,) = service.host.containers.values()
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        web.state, web.exit_code = state, 3

    await once.sync(SyncRequest(Selection(service.project.directory)), emit)
    (service_state,) = [event for event in events if isinstance(event, ServiceState)]
    assert service_state.state == state
    assert "3" in service_state.detail


async def test_a_dry_run_names_the_operations_and_does_none(service: OneService) -> None:
    path = service.write("a")
    await service.place()
    code, events = await sync(service, dry_run=True)
    assert (code, service.files()) == (0, {})
    assert [event.message for event in events if isinstance(event, Notice)] == [f"web sync /src/a <- {path}"]


async def test_a_path_that_cannot_be_synced_is_an_error(service: OneService) -> None:
    """All else is synced."""
    service.folder.joinpath("loop").symlink_to("loop")
    service.write("a")
    await service.place()
    code, events = await sync(service)
    assert (code, service.files()) == (1, {"src/a": b"x"})
    messages = [event.message for event in events if isinstance(event, Problem)]
    assert messages == ["src/loop: a link that leads to itself: not synced"]


async def test_a_deleted_file_stays_in_a_container_that_does_not_run(service: OneService) -> None:
    """It is an error, which says how many paths those are."""
    service.write("b")
    path = Path(service.write("a"))
    await service.place()
    assert (await sync(service))[0] == 0
    path.unlink()
    code, events = await sync(service)
    assert (code, [*service.files()]) == (1, ["src/a", "src/b"])
    messages = [event.message for event in events if isinstance(event, Problem)]
    assert messages == ["p-web-1 is not running: 1 deleted paths remain in it"]


async def test_nothing_is_deleted_if_the_folder_of_a_rule_is_missing(service: OneService) -> None:
    service.write("a")
    await service.place()
    assert (await sync(service))[0] == 0
    shutil.rmtree(service.folder)
    code, events = await sync(service)
    assert code == 0
    assert [event.message for event in events] == [  # type: ignore[attr-defined]
        "src does not exist or is empty: nothing of it is deleted in containers"
    ]


async def test_without_a_container_nothing_is_done(service: OneService) -> None:
    code, events = await sync(service)
    assert code == 0
    assert [type(event) for event in events] == [Notice]


async def test_a_service_of_another_name_is_an_error(service: OneService) -> None:
    with pytest.raises(UsageError, match="no service `wab`"):
        await sync(service, "wab")
