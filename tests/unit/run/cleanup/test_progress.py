"""What a teardown reports."""

from __future__ import annotations

import anyio
import pytest

from devenv.errors import DevenvError
from devenv.events import Event, Kept, Problem, Removed
from devenv.run.cleanup.progress import DOWN, TeardownProgress

pytestmark = pytest.mark.anyio


@pytest.fixture
def events() -> list[Event]:
    """The reported events."""
    return []


@pytest.fixture
def progress(events: list[Event]) -> TeardownProgress:
    """Nothing has happened yet."""
    return TeardownProgress(events.append, anyio.Event())


async def test_each_object_is_reported_and_counted_once(progress: TeardownProgress, events: list[Event]) -> None:
    """A volume and a network with the same name are two objects."""
    for kind in ("volume", "network", "volume"):
        progress.removed(kind, "p_data")
    assert events == [Removed("volume", "p_data"), Removed("network", "p_data")]
    assert progress.counts == {"network": 1, "volume": 1}


async def test_remaining_objects_have_a_reason_and_a_command(progress: TeardownProgress, events: list[Event]) -> None:
    """The last reason counts; an object that was never tried still exists."""
    progress.failed("network", "net", "first")
    progress.failed("network", "net", "web uses it", "docker network disconnect net web")
    progress.failed("container", "web", "stuck")
    assert progress.has_failed("network", "net")
    assert not progress.has_failed("network", "web")
    progress.report_left(["network net", "container web", "volume p_data"])
    assert events == [
        Problem("network net is left: web uses it", "docker network disconnect net web"),
        Problem("container web is left: stuck", "docker rm -f -v web"),
        Problem("volume p_data is left: still there", DOWN),
    ]


@pytest.mark.parametrize(("hint", "command"), [(True, "docker volume rm p_data"), (False, "")])
async def test_kept_objects_may_have_a_command(
    progress: TeardownProgress, events: list[Event], hint: bool, command: str
) -> None:
    """A volume that is not ours has no command."""
    progress.kept("volume", "p_data", "because", hint=hint)
    assert events == [Kept("volume", "p_data", "because", command)]


async def test_hurry_cancels_the_work(progress: TeardownProgress) -> None:
    """Work that begins later is cancelled, too; without a hurry it is done."""
    done = list[str]()

    async def work() -> None:
        done.append("begun")
        await anyio.sleep(0.01 if len(done) == 1 else 60)
        done.append("done")

    assert await progress.unhurried(work)
    assert done == ["begun", "done"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set_soon, progress.hurry)
        assert not await progress.unhurried(work)
    assert not await progress.unhurried(work)
    assert done == ["begun", "done", "begun"]


async def _set_soon(event: anyio.Event) -> None:
    await anyio.sleep(0.01)
    event.set()


async def test_the_error_of_the_work_is_raised_as_it_is(progress: TeardownProgress) -> None:
    """The error is not in a group."""

    async def fail() -> None:
        raise DevenvError("no")

    with pytest.raises(DevenvError, match="no"):
        await progress.unhurried(fail)
