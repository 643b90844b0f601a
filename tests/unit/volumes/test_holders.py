"""Holders: recorded before they exist, of any image that works, and removed after a killed process."""

from __future__ import annotations

import pytest

from devenv.docker import process
from devenv.errors import EngineError
from devenv.model.containers import Container, Network, ProjectState
from devenv.model.snapshot import Reader
from devenv.state import unfinished
from support.transfer import DATA, Played

pytestmark = pytest.mark.anyio


async def test_a_holder_is_recorded_before_it_exists(played: Played) -> None:
    """It is recorded by a random name, so that a cleanup after a death finds it; then by its id."""
    await played.volume_transfer.save(DATA, (), settled=True)
    name = played.engine.recorded.decode().split('"')[3]
    assert name.startswith("devenv-")
    assert len(name) == len("devenv-") + 16
    made = played.volume_transfer.run.made
    assert made.holds(Container("x", name, "", "created", ours=False, holds="p_data"))
    assert made.holds(Container(f"id-{name}", "renamed", "", "created", ours=False))
    assert not made.holds(Container("x", "devenv-0123456789abcdef", "", "created", ours=False, holds="p_data"))


async def test_holder_uses_any_image(played: Played) -> None:
    """The image is that of a container with the volume, or any other; without an image it is an error with a hint."""
    user = Container("c", "c", "web", "exited", ours=True, image="gone", volumes=("p_data",))
    played.engine.refused = {"gone", "image"}
    await played.volume_transfer.save(DATA, (user,), settled=True)
    played.engine.refused = {"gone", "image", "another"}
    with pytest.raises(EngineError, match="no such image: another"):
        await played.volume_transfer.save(DATA, (user,), settled=True)


async def test_holders_of_dead_processes_are_removed(played: Played) -> None:
    """Holders of this owner are removed, and what they had paused continues; others stay."""
    holder = Container("h", "devenv-1", "", "created", ours=True, holds="p_data")
    other = Container("o", "devenv-2", "", "created", ours=False, holds="p_more")
    still = [Container(n, n, "web", "paused", ours=True, volumes=(v,)) for n, v in (("a", "p_data"), ("b", "p_more"))]
    played.engine.there = {"h": ("", {}), "o": ("", {})}
    project_state = ProjectState((holder, other, *still), (Network("n", "n", ours=True),))
    assert await played.volume_transfer.holders.mend(project_state)
    assert (list(played.engine.there), played.engine.paused) == (["o"], [("a", False)])
    assert not await played.volume_transfer.holders.mend(ProjectState((other,)))


async def test_containers_that_a_killed_process_had_paused_go_on(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the process lives, they stay paused, and so do those that somebody else has paused."""
    ours, theirs = (Container(name, name, "web", "paused", ours=True) for name in ("a", "b"))
    transfer, project_state = played.volume_transfer, ProjectState((ours, theirs))
    unfinished.note_paused(transfer.run, [ours])
    assert not await transfer.holders.mend(project_state)
    monkeypatch.setattr(process, "start_time", lambda _: "another process")
    assert await transfer.holders.mend(project_state)
    assert played.engine.paused == [("a", False)]
    assert not await transfer.holders.mend(project_state)


async def test_an_image_that_the_engine_lacks_is_not_replaced_by_another(played: Played) -> None:
    """Files of another image say nothing, and no container is created for them."""

    async def variables(_: str) -> dict[str, str]:
        return {"PG_MAJOR": "17"}

    played.engine.refused = {"missing"}
    played.engine.images.variables = variables
    assert await played.volume_transfer.holders.modes("missing", ["/a"]) == {}
    assert await played.volume_transfer.holders.reader("missing", with_system=True) == Reader("postgres 17")
    assert played.engine.tried == ["missing"] * 2
    assert played.engine.there == {}
