"""How a new run continues after earlier runs, on an engine in memory."""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.docker.endpoint import Endpoint
from devenv.errors import DevenvError, EngineError, StateError
from devenv.events import Event, Notice
from devenv.model.containers import (
    HASH_LABEL,
    NUMBER_LABEL,
    OLD_LABEL,
    OWNER_LABEL,
    PROJECT_LABEL,
    SERVICE_LABEL,
    VOLUME_LABEL,
    ProjectState,
)
from devenv.run.cleanup import teardown
from devenv.run.takeover import Takeover
from devenv.state import ledger as ledgers
from devenv.state.identity import Content, Place, VolumeRecord, VolumeVerdict
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, place_of
from devenv.volumes.lineage import NOTHING, Lineage, LiveVolume
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store
from devenv.volumes.transfer import VolumeTransfer
from support.engine import BASE_IMAGE, MEMORY, MemoryEngine, MemoryHost, PlainDocker

pytestmark = pytest.mark.anyio

KEY = "an engine"
LINE = Lineage("l1", KEY, Place("/shop"), "shop", "data", "shop_data")


class Earlier:
    """An engine on which a run of the project `shop` died, and the folder that runs it now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.host = MemoryHost()
        self.docker = PlainDocker(self.host)
        self.engine = MemoryEngine(self.host)
        self.run = Run.open(KEY, MEMORY, "shop")
        self.engine.is_ours = self.run.made.holds
        self.told: list[Event] = []
        self.lineages = Lineages.at_home()
        limits = 10**6, 10**8
        self.volume_transfer = VolumeTransfer(
            self.engine, self.told.append, self.run, "shop", str(folder), Store.at_home(), self.lineages, *limits
        )

    def container(self, name: str = "shop-web-1", *, ours: bool = True, starts: bool = True, **more: Any) -> str:
        """The id of a container that a Compose call created, for us or with other labels."""
        labels = {PROJECT_LABEL: "shop", SERVICE_LABEL: "web", NUMBER_LABEL: "1", HASH_LABEL: "h",
                  OWNER_LABEL: self.run.made.owner, **more.pop("labels", {})}  # fmt: skip
        make = self.docker.run if starts else self.docker.create
        made = make(BASE_IMAGE, "sleep", "inf", name=name, labels=labels, **more)
        if ours:
            self.run.made.add(made)
        return made

    def volume(self, name: str = "shop_data", content: str = "", **more: Any) -> VolumeRecord:
        """The record of a volume that the run has created."""
        self.docker.create_volume(name, {PROJECT_LABEL: "shop", VOLUME_LABEL: name.removeprefix("shop_")})
        if content:
            self.docker.write(name, "x", content.encode())
        return replace(VolumeRecord(name, "local", self.created(name), lineage="l1"), **more)

    def created(self, name: str) -> str:
        """The volume's creation time, as the engine reports it."""
        at = self.host.volumes[name].created
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

    def ledger(self, *records: VolumeRecord, place: Place | None = None, **more: Any) -> Ledger:
        """The ledger that is on disk."""
        begun = ledgers.begin(
            ProjectState(), more.pop("times", {}), project="shop", place=place or place_of(str(self.folder)),
            engine=KEY, endpoint=MEMORY.host, context=None,
        )  # fmt: skip
        ledger = replace(begun.with_records(records), **more)
        self.run.write(ledger)
        return ledger

    async def taken(self, earlier: Ledger | None, *, fresh: bool = False) -> tuple[Ledger | None, ProjectState]:
        """Take over the earlier run, and return the ledger and the state to continue with."""
        place = place_of(str(self.folder))
        return await Takeover(self.volume_transfer, place).go(earlier, fresh=fresh)

    def notices(self) -> str:
        """The texts of the notices."""
        return "\n".join(event.message for event in self.told if isinstance(event, Notice))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Earlier:
    """The project, with a state folder of its own and no long pauses."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(teardown, "SWEEP_PAUSE", 0.001)
    return Earlier(tmp_path / "shop")


async def test_no_earlier_run(shop: Earlier) -> None:
    """Containers of plain Compose are listed, and stay."""
    plain = shop.container(ours=False, labels={OWNER_LABEL: ""})
    ledger, project_state = await shop.taken(None)
    assert ledger is None
    assert [(c.id, c.ours) for c in project_state.containers] == [(plain, False)]
    assert (await shop.taken(None, fresh=True))[0] is None
    assert plain in shop.host.containers


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        ({OWNER_LABEL: "ann@laptop-0123456789ab"}, "ann@laptop"),
        ({OWNER_LABEL: "", OLD_LABEL: "shop"}, "a run of devenv that this machine has no record of"),
    ],
)
@pytest.mark.parametrize("fresh", [False, True])
async def test_another_owner_has_the_project(shop: Earlier, labels: dict[str, str], whose: str, fresh: bool) -> None:
    """The error says who and since when; nothing is changed, not even the objects of this owner."""
    theirs = shop.container("shop-db-1", ours=False, labels=labels)
    mine = shop.container()
    earlier = shop.ledger(shop.volume())
    with pytest.raises(StateError, match=rf"^shop is up by {whose} since (\d+-\d+-\d+ )?\d+:\d+:\d+$") as caught:
        await shop.taken(earlier, fresh=fresh)
    assert caught.value.hint == f"devenv up -p shop-{getpass.getuser()}"
    assert {theirs, mine} == shop.host.containers.keys()
    assert "shop_data" in shop.host.volumes
    assert shop.run.read() == earlier


@pytest.mark.parametrize(
    ("owner", "error", "hint"),
    [
        ("ann@laptop-0123456789ab", "the volume shop_data on far belongs to ann@laptop", "shop-bo"),
        (
            "bo@desk-0123456789ab",
            "the volume shop_data on far belongs to bo@desk (with another state folder)",
            "shop-2",
        ),
        ("bo@desk-ffffffffffff", "", ""),
        ("", "", ""),
    ],
)
@pytest.mark.parametrize("machine", ["far", ""])
async def test_volumes_of_another_owner_on_another_machine(
    shop: Earlier, monkeypatch: pytest.MonkeyPatch, machine: str, owner: str, error: str, hint: str
) -> None:
    """They are not used: the name of the project is taken there. On this machine, they are as any other volume."""
    shop.run.made.owner = "bo@desk-ffffffffffff"
    shop.docker.create_volume("shop_data", {PROJECT_LABEL: "shop", VOLUME_LABEL: "data", OWNER_LABEL: owner})
    monkeypatch.setattr(Endpoint, "machine", machine)
    if machine and error:
        with pytest.raises(StateError) as caught:
            await shop.taken(None)
        assert (caught.value.message, caught.value.hint) == (error, f"devenv up -p {hint}")
    else:
        assert (await shop.taken(None))[0] is None
    assert "shop_data" in shop.host.volumes


@pytest.mark.parametrize(
    ("phase", "notice"), [("up", "left 1 container, 1 volume behind; this run takes it over"), ("detached", "")]
)
async def test_earlier_run_of_this_folder_is_continued(shop: Earlier, phase: str, notice: str) -> None:
    """It continues with its containers and volumes; if it died, a notice says so."""
    earlier = shop.ledger(shop.volume(content="x"), phase=phase)
    mine = shop.container(volumes=("shop_data:/data",), starts=False)
    ledger, project_state = await shop.taken(earlier)
    assert ledger == earlier
    assert [c.id for c in project_state.containers if c.ours] == [mine]
    assert len(shop.told) == (1 if notice else 0)
    assert notice in shop.notices()


async def test_helper_containers_of_dead_processes_are_removed(shop: Earlier) -> None:
    """A container that held a volume during a save does not belong to the project."""
    shop.run.made.intend("devenv-0123")
    shop.docker.create(BASE_IMAGE, name="devenv-0123", labels={PROJECT_LABEL: "shop", "devenv.holds": "shop_data"})
    ledger, project_state = await shop.taken(shop.ledger())
    assert ledger is not None
    assert (project_state.containers, shop.host.containers) == ((), {})


# --- folders ----------------------------------------------------------------------------------------------------


async def test_a_renamed_folder_goes_on(shop: Earlier) -> None:
    """A renamed folder is the same folder; if the old path exists, it is another folder."""
    mine = shop.container()
    old = shop.folder.parent / "old"
    earlier = shop.ledger(place=replace(place_of(str(shop.folder)), path=str(old)))
    ledger, _ = await shop.taken(earlier)
    assert ledger == earlier
    old.symlink_to("/nowhere")
    assert (await shop.taken(earlier))[0] is None
    assert mine not in shop.host.containers


@pytest.mark.parametrize(("phase", "starts"), [("up", True), ("left", True), ("detached", False), ("kept", False)])
async def test_dead_run_of_another_folder_is_ended(shop: Earlier, phase: str, starts: bool) -> None:
    """As that folder would end it: its volumes are saved under its name."""
    elsewhere = shop.folder.parent / "elsewhere"
    elsewhere.mkdir()
    mine = shop.container(starts=starts)
    record = shop.volume(content="data")
    shop.volume_transfer.begins(
        replace(LINE, place=Place(str(elsewhere))), LiveVolume("shop_data", record.created or "", 1.0)
    )
    earlier = shop.ledger(record, place=place_of(str(elsewhere)), phase=phase)
    ledger, project_state = await shop.taken(earlier)
    assert (ledger, project_state.containers, project_state.volumes) == (None, (), ())
    assert mine not in shop.host.containers
    (saved,) = shop.volume_transfer.store.all()
    assert (saved.directory, saved.name, saved.lineage) == (str(elsewhere), "shop_data", "l1")
    assert f"ending what the run of {elsewhere} left" in shop.notices()
    assert shop.run.read() is None


@pytest.mark.parametrize("phase", ["detached", "kept"])
@pytest.mark.parametrize("fresh", [False, True])
async def test_detached_run_of_another_folder_is_refused(shop: Earlier, phase: str, fresh: bool) -> None:
    """The run is not changed, and the error names its folder."""
    mine = shop.container()
    earlier = shop.ledger(place=Place("/elsewhere"), phase=phase, began=0.0)
    with pytest.raises(StateError, match="the project shop is up from /elsewhere since") as caught:
        await shop.taken(earlier, fresh=fresh)
    assert "devenv up -p shop-2" in (caught.value.hint or "")
    assert "devenv down -p shop" in (caught.value.hint or "")
    assert mine in shop.host.containers


async def test_run_of_another_folder_that_cannot_be_ended_is_refused(shop: Earlier) -> None:
    """A volume in use is neither used nor removed."""
    record = shop.volume(content="data")
    user = shop.docker.run(BASE_IMAGE, name="user", volumes=("shop_data:/data",))
    earlier = shop.ledger(record, place=Place("/elsewhere"), phase="left")
    with pytest.raises(StateError, match="left of the run of /elsewhere: volume shop_data"):
        await shop.taken(earlier)
    assert user in shop.host.containers
    assert shop.docker.read("shop_data", "x") == b"data"


async def test_fresh_ends_the_earlier_run(shop: Earlier) -> None:
    """`--fresh` ends what the run before left, and saves its volumes first."""
    mine = shop.container()
    earlier = shop.ledger(shop.volume(content="data"), phase="detached")
    ledger, project_state = await shop.taken(earlier, fresh=True)
    assert (ledger, project_state.containers, project_state.volumes) == (None, (), ())
    assert mine not in shop.host.containers
    assert [snapshot.name for snapshot in shop.volume_transfer.store.all()] == ["shop_data"]


async def test_fresh_fails_if_parts_remain(shop: Earlier) -> None:
    """If an object remains, the run does not begin."""
    earlier = shop.ledger(shop.volume(content="data"))
    shop.docker.run(BASE_IMAGE, name="user", volumes=("shop_data:/data",))
    with pytest.raises(StateError, match="left of the run before: volume shop_data"):
        await shop.taken(earlier, fresh=True)


# --- volumes ----------------------------------------------------------------------------------------------------


async def test_removed_volume_leaves_the_ledger(shop: Earlier) -> None:
    """It is created again from its snapshot, so it no longer belongs to the earlier run."""
    gone, stays = shop.volume("shop_gone"), shop.volume("shop_stays")
    shop.docker.remove_volume("shop_gone")
    ledger, _ = await shop.taken(shop.ledger(gone, stays))
    assert ledger is not None
    assert ledger.volumes == (stays,)


@pytest.mark.parametrize("content", list(Content))
async def test_a_volume_that_was_created_again(shop: Earlier, content: Content) -> None:
    """It is not ours: it is neither removed nor saved nor restored, whatever the old record says."""
    record = shop.volume(content=content.value)
    record = replace(record, content=content)
    shop.docker.create_volume("other")
    earlier = shop.ledger(record, times={"other": shop.created("other")})
    shop.docker.remove_volume("shop_data")
    shop.host.advance(5)
    shop.volume(content="theirs")
    ledger, _ = await shop.taken(earlier)
    assert ledger is not None
    assert ledger.volumes == ()
    assert "the volume shop_data is not the one that devenv created" in shop.notices()
    assert shop.docker.read("shop_data", "x") == b"theirs"
    assert shop.volume_transfer.store.all() == ()


async def test_volumes_of_a_data_folder_that_was_moved(shop: Earlier) -> None:
    """All volumes of the engine have new times: ours are recognized by name, and recorded with their new times."""
    records = [shop.volume("shop_a"), shop.volume("shop_b")]
    shop.docker.create_volume("other")
    earlier = shop.ledger(*records, times={"other": shop.created("other")})
    shop.host.advance(5)
    shop.host.move_root("/mnt/docker")
    ledger, project_state = await shop.taken(earlier)
    assert ledger is not None
    assert ledger.creates == ("shop_a", "shop_b")
    assert "its data folder was moved" in shop.notices()
    everything = await shop.engine.volumes.times()
    assert {judgement.verdict for judgement in ledger.judged(project_state, everything=everything)} == {
        VolumeVerdict.LIKELY
    }
    shop.host.advance(5)
    for name in ("shop_a", "shop_b"):
        shop.docker.remove_volume(name)
        shop.volume(name)
    again = ledger.judged(await shop.engine.project_state("shop"), everything=await shop.engine.volumes.times())
    assert {judgement.verdict for judgement in again} == {VolumeVerdict.OTHER}


@pytest.mark.parametrize("is_used", [False, True])
async def test_a_volume_that_was_created_and_never_recorded(shop: Earlier, is_used: bool) -> None:
    """The run died in between, or it was devenv 0.1: its identity is recorded now."""
    record = shop.volume()
    if is_used:
        shop.container(volumes=("shop_data:/data",))
    ledger, _ = await shop.taken(shop.ledger(VolumeRecord("shop_data", lineage="l1")))
    assert ledger is not None
    assert ledger.volumes == (replace(record, is_proven=is_used),)


# --- restores that were cut off ---------------------------------------------------------------------------------


async def saved(shop: Earlier, content: str) -> VolumeRecord:
    """The record of a volume that was being restored from a saved state with this content when the run died."""
    record = shop.volume(content=content)
    shop.volume_transfer.begins(LINE, LiveVolume("shop_data", record.created or "", 1.0))
    volume = await shop.engine.volumes.inspect("shop_data")
    assert volume is not None
    head = await shop.volume_transfer.save(volume, (), settled=True, lineage="l1")
    return replace(record, content=Content.RESTORING, source=(head.id, "data"))


@pytest.mark.parametrize("content", ["saved state", "saved", ""])
async def test_a_part_of_what_was_restored_is_restored_again(shop: Earlier, content: str) -> None:
    """It is on disk already: the volume is removed without another snapshot."""
    record = await saved(shop, "saved state")
    shop.docker.write("shop_data", "x", content.encode())
    before = shop.volume_transfer.store.all()
    ledger, project_state = await shop.taken(shop.ledger(record))
    assert ledger is not None
    assert (ledger.volumes, project_state.volumes, shop.host.volumes) == ((), (), {})
    assert shop.volume_transfer.store.all() == before
    line = shop.lineages.get("l1")
    assert line is not None
    assert (line.torn, line.live, line.head) == (NOTHING, None, record.source)


async def test_data_written_after_a_restore_is_kept(shop: Earlier) -> None:
    """The content is saved before the volume is removed; the next step asks which of the two states to use."""
    record = await saved(shop, "saved state")
    shop.docker.write("shop_data", "new", b"written since")
    ledger, _ = await shop.taken(shop.ledger(record))
    assert ledger is not None
    assert (ledger.volumes, shop.host.volumes) == ((), {})
    head, torn = shop.volume_transfer.store.all()
    line = shop.lineages.get("l1")
    assert line is not None
    assert (line.head, line.torn) == ((head.id, "data"), (torn.id, "data"))


async def test_a_volume_that_others_use_meanwhile(shop: Earlier) -> None:
    """The error names the user; nothing is removed, and no partial state is saved."""
    record = await saved(shop, "saved state")
    shop.docker.run(BASE_IMAGE, name="user", volumes=("shop_data:/data",))
    shop.docker.create(BASE_IMAGE, name="admin", volumes=("shop_data:/data",))
    earlier = shop.ledger(record)
    before = shop.volume_transfer.store.all()
    with pytest.raises(StateError, match=r"shop_data was being restored .* admin, user now use") as caught:
        await shop.taken(earlier)
    assert "docker rm -f admin user" in (caught.value.hint or "")
    assert (shop.volume_transfer.store.all(), shop.run.read()) == (before, earlier)
    assert shop.docker.read("shop_data", "x") == b"saved state"


async def test_volume_that_cannot_be_saved_is_not_removed(shop: Earlier, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full, or the connection is lost: the volume stays, and so does its record."""
    record = await saved(shop, "saved state")
    shop.docker.write("shop_data", "new", b"written since")
    earlier = shop.ledger(record)

    async def lost(*_: object, **__: object) -> None:
        raise EngineError("connection lost")

    monkeypatch.setattr(shop.engine.archive, "download", lost)
    with pytest.raises(DevenvError, match="connection lost"):
        await shop.taken(earlier)
    assert shop.docker.read("shop_data", "new") == b"written since"
    assert shop.run.read() == earlier
    assert os.listdir(shop.volume_transfer.store.path) == [record.source[0]]
