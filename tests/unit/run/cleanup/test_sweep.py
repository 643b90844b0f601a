"""One attempt to end containers: what waits for what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from devenv.errors import EngineError
from devenv.events import Event
from devenv.model.containers import Container, Network
from devenv.run.cleanup.progress import TeardownProgress
from devenv.run.cleanup.sweep import Sweep
from devenv.tasks import each

pytestmark = pytest.mark.anyio

DB = Container("id-db", "db", "db", "running", ours=True, volumes=("data",), networks=("net",))
API = Container("id-api", "api", "api", "running", ours=True, volumes=("data",), depends_on=("db",))


class Calls(list[str]):
    """An engine that records its calls; those in `refused` fail."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused
        self.engine: Any = SimpleNamespace(
            containers=SimpleNamespace(stop=lambda c: self.call(f"stop {c.name}"), remove=self.drop),
            networks=SimpleNamespace(remove=lambda key: self.call(f"remove {key}")),
        )

    async def drop(self, key: str) -> None:
        """Remove a container."""
        await self.call(f"remove {key}")

    async def call(self, text: str) -> None:
        """Record the call. Raises EngineError if it is refused."""
        self.append(text)
        await checkpoint()
        if text in self.refused:
            raise EngineError("device or resource busy")


def swept(calls: Calls, *containers: Container) -> Sweep:
    async def keep_log(container: Container) -> None:
        await calls.call(f"log {container.name}")

    events = list[Event]()
    return Sweep(calls.engine, TeardownProgress(events.append, anyio.Event()), containers, keep_log)


async def test_a_container_stops_after_its_dependents() -> None:
    """Its removal waits for its own stop only."""
    calls = Calls()
    await each(swept(calls, DB, API).end, (DB, API))
    assert calls.index("stop api") < calls.index("stop db")
    assert [call for call in calls if "db" in call] == ["stop db", "log db", "remove id-db"]


async def test_an_ended_container_is_not_stopped() -> None:
    calls = Calls()
    ended = Container("id-db", "db", "db", "exited", ours=True)
    await swept(calls, ended).end(ended)
    assert calls == ["log db", "remove id-db"]


@pytest.mark.parametrize(
    ("refused", "stopped", "removed"),
    [
        ((), True, True),
        (("stop db",), True, True),
        (("remove id-db",), True, False),
        (("stop db", "remove id-db"), False, False),
    ],
)
async def test_a_volume_is_free_once_all_its_users_have_ended(
    refused: tuple[str, ...], stopped: bool, removed: bool
) -> None:
    """A container that did not stop has ended once it is removed; one that was neither may still write."""
    sweep = swept(Calls(*refused), DB, API)
    outcomes = dict[str, bool]()

    async def wait(work: str) -> None:
        if work == "end":
            await each(sweep.end, (DB, API))
        else:
            outcomes[work] = await getattr(sweep, f"until_{work}")("data")

    await each(wait, ("stopped", "removed", "end"))
    assert outcomes == {"stopped": stopped, "removed": removed}


async def test_a_network_goes_after_its_containers() -> None:
    calls = Calls()
    sweep = swept(calls, DB, API)
    network = Network("id-net", "net", ours=True)
    ends = [partial(sweep.end, container) for container in (DB, API)]
    parts: list[Callable[[], Awaitable[object]]] = [partial(sweep.remove_network, network), *ends]
    await each(lambda part: part(), parts)
    assert calls[-1] == "remove id-net"
