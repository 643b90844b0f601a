"""`devenv snapshot rm`, and what it means for the next `devenv up`."""

from __future__ import annotations

import pytest

from devenv.errors import StateError, UsageError
from devenv.events import Event, Notice
from devenv.volumes import commands
from devenv.volumes.store import Store
from support.memory.machine import Machine, Site, mounted, shown

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(machine: Machine) -> Site:
    """A project with one service and one named volume."""
    return machine.site("shop", db={"volumes": [mounted("data")]})


def removed(*names: str) -> list[Notice]:
    """The notices of `devenv snapshot rm`."""
    events = list[Event]()
    assert commands.remove(names, events.append) == 0
    return [event for event in events if isinstance(event, Notice)]


async def test_without_the_last_saved_state_up_needs_a_decision(machine: Machine, shop: Site) -> None:
    """`snapshot rm` says so in one line, and it is true."""
    for _ in range(2):
        await machine.run_up(shop)
    old, head = Store.at_home().all()
    first, second = removed(head.id)
    assert first.message == f"removed the snapshot {head.id} of shop/data"
    assert second.message == (
        f"{head.id} was the last saved state of data: the next `devenv up` in {shop.folder} needs --from or --fresh"
    )
    assert second.hint == f"devenv up --from {old.id}"
    refused = await machine.run_up(shop)
    assert isinstance(refused.error, StateError), shown(refused)
    assert (await machine.run_up(shop, source=old.id)).code == 130


async def test_without_another_state_only_an_empty_volume_is_offered(machine: Machine, shop: Site) -> None:
    """The line is the same, the hint is not."""
    await machine.run_up(shop)
    (head,) = Store.at_home().all()
    assert removed(head.id)[1].hint == "devenv up --fresh   (starts empty)"
    assert (await machine.run_up(shop, fresh=True)).code == 130


async def test_nothing_more_is_said_of_other_snapshots(machine: Machine, shop: Site) -> None:
    """No line is added for an older snapshot, or for the last one while an existing volume has a newer state."""
    for _ in range(2):
        await machine.run_up(shop)
    old, head = Store.at_home().all()
    assert len(removed(old.id)) == 1
    await machine.run_up(shop, detach=True)
    assert len(removed(head.id)) == 1
    await machine.down(shop)
    assert (await machine.run_up(shop)).code == 130


async def test_nothing_is_removed_if_one_name_is_unknown(machine: Machine, shop: Site) -> None:
    """The whole command fails."""
    await machine.run_up(shop)
    (head,) = Store.at_home().all()
    with pytest.raises(UsageError):
        removed(head.id, "nope")
    assert Store.at_home().all() == (head,)
