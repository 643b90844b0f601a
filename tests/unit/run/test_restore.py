"""The content of new volumes, and which existing volumes may be used, on an engine in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.compose.parse import parse
from devenv.compose.resolve import Loaded
from devenv.errors import DevenvError, RefusedError, StateError, UsageError
from devenv.events import Event, Notice
from devenv.model.containers import PROJECT_LABEL, VOLUME_LABEL, Container, ProjectState, Volume
from devenv.model.snapshot import Reader, Snapshot
from devenv.run.desired import DesiredState, observe
from devenv.run.restore import FRESH, InitialVolumes, NewVolume, VolumeChoice, date
from devenv.state import ledger as ledgers
from devenv.state.identity import Place, VolumeRecord
from devenv.state.ledger import Ledger
from devenv.state.run_dir import Run, place_of
from devenv.volumes.lineage import NOTHING, Beginning, Lineage, LiveVolume, Start, WantedVolume
from devenv.volumes.lineages import Lineages, ProjectVolumes
from devenv.volumes.store import Store
from devenv.volumes.transfer import VolumeTransfer
from support.engine import MEMORY, MemoryEngine, MemoryHost, PlainDocker
from support.memory.files import Tree
from support.memory.machine import model, mounted

pytestmark = pytest.mark.anyio

KEY = "an engine"
NOW = time.time()


class Shop:
    """The project `shop` in a folder: a database with the volume `data`, which does not exist on the engine yet."""

    def __init__(self, folder: Path, project: str = "shop", host: MemoryHost | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.place = place_of(str(folder))
        self.project = project
        self.model = model(project, db={"image": "mysql:9", "volumes": [mounted("data")]})
        self.host = host or MemoryHost()
        self.docker = PlainDocker(self.host)
        self.engine = MemoryEngine(self.host)
        run = Run.open(KEY, MEMORY, project)
        self.told: list[Event] = []
        limits = 10**6, 10**8
        self.volume_transfer = VolumeTransfer(
            self.engine, self.told.append, run, project, self.place.path, Store.at_home(), Lineages.at_home(), *limits
        )

    @property
    def name(self) -> str:
        """The real name of the volume."""
        return str(self.model["volumes"]["data"]["name"])

    async def initial(self) -> InitialVolumes:
        """The volumes as they are now."""
        files = (f"{self.place.path}/compose.yml",)
        loaded = Loaded(parse(self.model, directory=self.place.path, files=files), self.model)
        desired = DesiredState(loaded, frozenset(self.model["services"]), await observe(self.engine, ProjectState()))
        volumes = ProjectVolumes(desired.project, self.volume_transfer, self.place, KEY, MEMORY.host)
        return InitialVolumes(desired, volumes)

    def ledger(self, *records: VolumeRecord) -> Ledger:
        """The ledger of a run that has created these volumes."""
        begun = ledgers.begin(
            ProjectState(), {}, project=self.project, place=self.place, engine=KEY, endpoint=MEMORY.host, context=None
        )
        return begun.with_records(records)

    async def plan(self, *records: VolumeRecord, **more: Any) -> tuple[NewVolume, ...]:
        """The volumes to create."""
        return await (await self.initial()).plan(self.ledger(*records), {*self.model["volumes"]}, **more)

    async def one(self, **more: Any) -> NewVolume:
        """The only volume to create."""
        (restore,) = await self.plan(**more)
        return restore

    async def asked(self, name: str) -> Mapping[str, Snapshot]:
        """The snapshots that `up --from` chooses."""
        return (await self.initial()).volumes.asked(name)

    def save(self, set_id: str, ago: float = 60.0, **more: Any) -> Snapshot:
        """Put a snapshot into the store, by default of the lineage `l1`."""
        store = self.volume_transfer.store
        with store.draft(set_id, "data", limit=10**6) as (draft, path):
            draft.write(bytes(10240))
            digest = draft.finish(path)
            made = Snapshot(
                set_id, "data", self.name, self.project, self.place.path, MEMORY.host, time.time() - ago, draft.size,
                draft.stored, digest, lineage="l1",
            )  # fmt: skip
            snapshot = replace(made, **more)
            store.commit(snapshot, path)
        return snapshot

    def line(self, state: Snapshot | None = None, **more: Any) -> Lineage:
        """Write the lineage of the volume to disk."""
        lineage = Lineage("l1", KEY, self.place, self.project, "data", self.name)
        if state is not None:
            lineage = replace(lineage, head=(state.id, "data"), saved=state.created)
        self.volume_transfer.lineages.write(lineage := replace(lineage, **more))
        return lineage

    async def volume(self, name: str = "", labels: Mapping[str, str] | None = None) -> Volume:
        """Create the volume."""
        compose = {PROJECT_LABEL: self.project, VOLUME_LABEL: "data"}
        self.docker.create_volume(name or self.name, compose if labels is None else labels)
        inspected = await self.engine.volumes.inspect(name or self.name)
        assert inspected is not None
        return inspected

    def notices(self) -> str:
        """The notices with their hints."""
        return "\n".join(f"{event.message} | {event.hint}" for event in self.told if isinstance(event, Notice))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The project, with a state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Shop(tmp_path / "shop")


# --- beginnings -------------------------------------------------------------------------------------------------


async def test_new_volume_begins_empty(shop: Shop) -> None:
    """It begins empty, with a lineage of its own, and nothing is reported."""
    new = await shop.one()
    assert (new.resource.name, new.images, new.snapshot, new.parent) == ("shop_data", ("mysql:9",), None, NOTHING)
    assert (new.lineage.engine, new.lineage.place, new.lineage.key) == (KEY, shop.place, "data")
    assert shop.told == []
    assert shop.volume_transfer.lineages.all() == ()


async def test_the_head_is_restored(shop: Shop) -> None:
    """Nothing that is only newer: no import, no other lineage, no snapshot of unknown origin."""
    head = shop.save("1", 60)
    shop.save("2", 50, lineage="l2")
    shop.save("3", 40, lineage="", automatic=False)
    shop.save("4", 30, lineage="", directory="/else")
    line = shop.line(head)
    new = await shop.one()
    assert (new.snapshot, new.lineage, new.parent) == (head, line, ("1", "data"))
    assert shop.told == []


async def test_unused_volumes_are_not_created(shop: Shop) -> None:
    """Neither are external volumes, or existing volumes of devenv."""
    shop.model["volumes"] |= {"idle": {"name": "shop_idle"}, "outer": {"name": "outer", "external": True}}
    shop.model["services"]["db"]["volumes"].append(mounted("outer", "/outer"))
    assert [new.resource.key for new in await shop.plan()] == ["data"]
    await shop.volume()
    assert await shop.plan(VolumeRecord("shop_data")) == ()
    assert shop.told == []


async def test_fresh_starts_all_volumes_empty(shop: Shop) -> None:
    """`--fresh` ignores saved, requested and interrupted states; the lineage continues."""
    head = shop.save("1")
    line = shop.line(head, asked=("9", "data"), torn=("8", "data"))
    new = await shop.one(fresh=True)
    assert (new.snapshot, new.lineage) == (None, line)


async def test_volume_on_a_host_folder_is_not_restored(shop: Shop) -> None:
    """A volume that is bound to a folder has the content of that folder."""
    shop.line(shop.save("1"))
    shop.model["volumes"]["data"]["driver_opts"] = {"type": "none", "o": "bind", "device": "/srv"}
    new = await shop.one()
    assert (new.snapshot, new.wish["driver_opts"]["device"]) == (None, "/srv")


async def test_requested_snapshot_is_restored(shop: Shop) -> None:
    """`snapshot restore` requests it, or `up --from`, which overrides that and an interrupted state."""
    head, older, imported = shop.save("1", 60), shop.save("0", 90), shop.save("2", 30, lineage="", title="seed")
    line = shop.line(head, asked=("0", "data"))
    new = await shop.one()
    assert (new.snapshot, new.lineage, new.parent) == (older, line, ("0", "data"))
    shop.line(head, asked=("0", "data"), torn=("8", "data"))
    for name in ("2", "seed"):
        assert (await shop.one(asked=await shop.asked(name))).snapshot == imported
    assert shop.told == []


async def test_volume_is_empty_after_down_volumes(shop: Shop) -> None:
    """`down --volumes`: it begins empty, with a notice."""
    shop.line(shop.save("1"), asked=NOTHING)
    assert (await shop.one()).snapshot is None
    assert "data starts empty after `down --volumes`" in shop.notices()


@pytest.mark.parametrize("name", ["nobody", "1"])
async def test_unknown_snapshot_is_an_error(shop: Shop, name: str) -> None:
    """A set that does not exist, or that has none of the project's volumes."""
    shop.model["services"]["db"]["volumes"] = [mounted("more")]
    shop.model["volumes"] = {"more": {"name": "shop_more"}}
    shop.model["volumes"]["data"] = {"name": "data", "external": True}
    shop.save("1")
    with pytest.raises(UsageError) as caught:
        await shop.asked(name)
    assert caught.value.hint == "devenv snapshot list"


# --- what cannot be begun with ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head": ("9", "data")}, "data: its last saved state, 9, saved "),
        ({"asked": ("9", "data")}, "data: the state that was asked for, 9 is missing"),
    ],
)
async def test_missing_head_is_an_error(shop: Shop, change: dict[str, Any], said: str) -> None:
    """Nothing older is restored by itself: the error names the snapshots and the command."""
    older = shop.save("1", 90)
    shop.save("2", 80, settled=False)
    shop.save("3", 10, lineage="l2")
    shop.line(older, **change)
    with pytest.raises(StateError) as caught:
        await shop.plan()
    assert caught.value.message.startswith(said)
    assert caught.value.message.endswith("is missing or cannot be read")
    hint = caught.value.hint or ""
    assert hint.startswith("devenv up --from 1 ")
    assert hint.endswith("or: devenv up --fresh   (starts empty)")


async def test_a_head_whose_note_is_damaged(shop: Shop) -> None:
    """It is treated as missing."""
    head = shop.save("1")
    shop.line(head)
    note = Path(shop.volume_transfer.store.archive(head).replace(".tar.gz", ".json"))
    note.write_text("{")
    with pytest.raises(StateError, match=r"its last saved state, 1, saved .* is missing or cannot be read") as caught:
        await shop.plan()
    assert caught.value.hint == "devenv up --fresh   (starts empty)"


async def test_interrupted_restore_requires_a_decision(shop: Shop) -> None:
    """The user decides: the error has both states, their dates, and the commands."""
    head, torn = shop.save("1", 7200), shop.save("2", 60, settled=False)
    shop.line(head, torn=("2", "data"))
    with pytest.raises(StateError) as caught:
        await shop.plan()
    dates = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.created)) for snapshot in (head, torn)]
    assert all(date in caught.value.message for date in dates)
    assert caught.value.hint == "devenv up --from 1, or: devenv up --from 2"
    for name in ("1", "2"):
        assert (await shop.one(asked=await shop.asked(name))).parent == (name, "data")


async def test_another_database_beside_another_volume(shop: Shop) -> None:
    """A saved volume of another service in the same set does not decide what the database's is."""
    shop.line(shop.save("1", 60, database="mysql 8"))
    store = shop.volume_transfer.store
    with store.draft("1", "uploads", limit=10**6) as (draft, path):
        draft.write(bytes(10240))
        digest = draft.finish(path)
        store.commit(replace(store.all()[0], volume="uploads", digest=digest, database="", lineage="l2"), path)
    assert (await shop.one()).snapshot is None
    assert "db is mysql 9 and could not read it" in shop.notices()


async def test_state_of_another_c_library_is_not_restored(shop: Shop) -> None:
    """A state records its image; an image of the same version with another sort order does not get it."""

    def image(os_release: str) -> None:
        files = Tree()
        files.write("usr/lib/os-release", os_release.encode())
        shop.host.add_image("mysql:9", files=files)

    shop.line()
    image("ID=alpine\nVERSION_ID=3.22.1\n")
    user = Container("c", "shop-db-1", "db", "exited", ours=True, image="mysql:9", database="mysql 9")
    saved = await shop.volume_transfer.save(await shop.volume(), [user], settled=True, lineage="l1")
    assert (saved.libc, saved.distribution) == ("musl", "alpine 3.22.1")
    shop.host.volumes.clear()
    assert (await shop.one()).snapshot == saved
    image('ID=debian\nVERSION_ID="13"\n')
    assert (await shop.one()).snapshot is None
    expected = "0 s ago by mysql 9 on musl (alpine 3.22.1); db is mysql 9 on glibc (debian 13) and sorts text"
    assert expected in shop.notices()
    with pytest.raises(RefusedError, match=r"is mysql 9 on glibc \(debian 13\): it sorts text in another order"):
        await shop.plan(asked=await shop.asked(saved.id))
    assert not shop.host.containers


async def test_state_of_another_database_is_not_restored(shop: Shop) -> None:
    """It gets an older state that its image can read, or none, with a notice."""
    shop.save("0", 90, database="mysql 9")
    shop.line(shop.save("1", 60, database="mysql 8"))
    new = await shop.one()
    assert new.parent == ("0", "data")
    assert "data was last saved 1 min ago by mysql 8; db is mysql 9 and could not read it: an older" in shop.notices()
    shop.told.clear()
    shop.volume_transfer.store.remove(shop.volume_transfer.store.all()[0])
    assert (await shop.one()).snapshot is None
    assert "it starts empty" in shop.notices()
    with pytest.raises(RefusedError, match="the snapshot 1 of data was written by mysql 8, and db is mysql 9"):
        await shop.plan(asked=await shop.asked("1"))


async def test_state_of_an_unhealthy_run_is_not_restored(shop: Shop) -> None:
    """Its state is not the head; a notice says that it exists."""
    shop.save("2", 180, settled=False)
    shop.line(shop.save("1", 600))
    assert (await shop.one()).parent == ("1", "data")
    message = "data was last saved 3 min ago, before db was up for the first time: an older one is restored"
    assert f"{message} | devenv up --from 2" in shop.notices()


# --- whose data -------------------------------------------------------------------------------------------------


async def test_a_second_clone_begins_empty(shop: Shop, tmp_path: Path) -> None:
    """Its project name is the same: it begins empty, and a notice says whose data exist and how to restore them."""
    shop.line(shop.save("1"))
    clone = Shop(tmp_path / "clone", host=shop.host)
    new = await clone.one()
    assert (new.snapshot, new.lineage.place) == (None, clone.place)
    assert new.lineage.id != "l1"
    message = f"data starts empty; its data was saved 1 min ago for {shop.place.path}"
    assert f"{message} | devenv snapshot restore 1" in clone.notices()


async def test_what_devenv_0_1_saved_elsewhere(shop: Shop) -> None:
    """Of another folder, which no longer exists, with this project name: a notice says so; imports do not count."""
    shop.save("1", lineage="", directory="/gone/shop")
    shop.save("2", 1, lineage="", directory="/else", automatic=False)
    assert (await shop.one()).snapshot is None
    assert "for /gone/shop, which no longer exists | devenv snapshot restore 1" in shop.notices()


async def test_what_the_folder_saved_under_another_name(shop: Shop) -> None:
    """As in a worktree before it had a name of its own, even if the file named the volume."""
    shop.save("1", project="acme")
    assert (await shop.one()).snapshot is None
    message = "data starts empty; its data was saved 1 min ago for the project acme in this folder"
    assert f"{message} | devenv snapshot restore 1" in shop.notices()


async def test_renamed_folder_keeps_its_data(shop: Shop, tmp_path: Path) -> None:
    """It continues with its data under its new path, with a notice."""
    head = shop.save("1")
    shop.line(head)
    (tmp_path / "shop").rename(tmp_path / "store")
    store = Shop(tmp_path / "store", project="store", host=shop.host)
    new = await store.one()
    assert (new.snapshot, new.lineage.id) == (head, "l1")
    assert (new.lineage.place, new.lineage.project, new.lineage.name) == (store.place, "store", "store_data")
    assert f"data goes on with the data of {shop.place.path}, which was renamed to this folder" in store.notices()


async def test_a_folder_that_was_cloned_anew(shop: Shop) -> None:
    """It is at the old path: it continues with the data, and a notice says that the folder is another one."""
    head = shop.save("1")
    shop.line(head, place=replace(shop.place, inode=shop.place.inode + 1))
    new = await shop.one()
    assert (new.snapshot, new.lineage.place) == (head, shop.place)
    assert "data goes on with the data that another folder at this path had, saved 1 min ago" in shop.notices()


async def test_fixed_name_has_one_lineage(shop: Shop, tmp_path: Path) -> None:
    """A fixed name has one lineage on an engine, for all projects and keys."""
    shop.model["volumes"]["data"]["name"] = "of-all"
    head = shop.save("1")
    shop.line(head, place=Place(""), project="other", key="any")
    other = Shop(tmp_path / "else", project="else", host=shop.host)
    other.model["volumes"]["data"]["name"] = "of-all"
    for project in (shop, other):
        new = await project.one()
        assert (new.snapshot, new.lineage.id, new.lineage.place) == (head, "l1", Place(""))


# --- volumes that exist -----------------------------------------------------------------------------------------


async def test_a_volume_that_devenv_knows_nothing_of(shop: Shop) -> None:
    """Plain Compose created it: it is used unchanged; a notice says that a saved state is not restored."""
    await shop.volume()
    assert await shop.plan() == ()
    assert shop.told == []
    shop.line(shop.save("1"))
    assert await shop.plan() == ()
    message = "data exists, and devenv did not create it: the saved state 1 is not restored"
    assert f"{message} | docker volume rm shop_data" in shop.notices()


async def test_a_volume_with_our_own_data(shop: Shop) -> None:
    """The lineage continues with the content of a kept volume."""
    volume = await shop.volume()
    shop.line(shop.save("1"), live=LiveVolume("shop_data", volume.created, NOW))
    assert await shop.plan() == ()
    assert shop.told == []


async def test_a_volume_with_the_data_of_another_lineage(shop: Shop, tmp_path: Path) -> None:
    """The error says whose data and since when, which of ours are saved, and what to type; nothing changes."""
    volume = await shop.volume()
    elsewhere = replace(shop.place, path=f"{tmp_path}/else", inode=1)
    other = shop.line(id="l2", place=elsewhere, live=LiveVolume("shop_data", volume.created, NOW - 60))
    with pytest.raises(
        StateError, match=f"the volume shop_data of shop has the data of {tmp_path}/else since"
    ) as caught:
        await shop.plan()
    assert caught.value.message.endswith("this folder has no saved data")
    assert "devenv up -p shop-2" in (caught.value.hint or "")
    assert "devenv snapshot save data && docker volume rm shop_data" in (caught.value.hint or "")
    shop.line(shop.save("1"))
    with pytest.raises(StateError, match="the data of this folder was last saved "):
        await shop.plan()
    assert shop.volume_transfer.lineages.get("l2") == other
    assert "shop_data" in shop.host.volumes


async def test_existing_volume_is_not_overwritten_by_a_request(shop: Shop) -> None:
    """A volume that exists is not overwritten."""
    shop.save("1")
    await shop.volume()
    with pytest.raises(StateError, match="the volume shop_data exists: it cannot begin with 1") as caught:
        await shop.plan(VolumeRecord("shop_data"), asked=await shop.asked("1"))
    assert caught.value.hint == "devenv down --snapshot   (saves it), then try again"


# --- lineages of what exists ------------------------------------------------------------------------------------


async def test_what_a_run_of_devenv_0_1_created(shop: Shop) -> None:
    """Its lineage continues from what was saved; a second call changes nothing."""
    head = shop.save("1", lineage="")
    volume = await shop.volume()
    ledger = shop.ledger(VolumeRecord("shop_data"), VolumeRecord("shop_gone"))
    project_state = ProjectState(volumes=(volume, replace(volume, name="other")))
    adopted = (await shop.initial()).volumes.adopt(ledger, project_state)
    record = adopted.record("shop_data")
    assert record is not None
    (line,) = shop.volume_transfer.lineages.all()
    assert record.lineage == line.id
    assert line.head == ("1", "data")
    assert line.live is not None
    assert (line.live.is_volume(volume), line.live.parent) == (True, (head.id, "data"))
    assert (await shop.initial()).volumes.adopt(adopted, project_state) == adopted
    assert shop.volume_transfer.lineages.all() == (line,)
    assert adopted.record("shop_gone") == VolumeRecord("shop_gone")


async def test_which_lineage_a_state_by_hand_continues(shop: Shop) -> None:
    """The lineage of the data in the volume; else that of the folder; none if the project has no such volume."""
    volume = await shop.volume()
    volumes = (await shop.initial()).volumes
    line_id = volumes.continued(volume)
    assert [lineage.id for lineage in shop.volume_transfer.lineages.all()] == [line_id]
    assert volumes.continued(volume) == line_id
    shop.line(id="l2", place=Place("/else"), live=LiveVolume("shop_data", volume.created, NOW))
    assert volumes.continued(volume) == "l2"
    assert volumes.continued(replace(volume, name="other")) == ""


async def test_requested_snapshot_is_remembered_until_restored(shop: Shop) -> None:
    """`snapshot restore` is on disk, also for a volume that never existed."""
    snapshot = shop.save("1", lineage="")
    volumes = (await shop.initial()).volumes
    (resource,) = volumes.project.volumes
    volumes.ask(resource, snapshot)
    (line,) = shop.volume_transfer.lineages.all()
    assert line.asked == ("1", "data")
    for _ in range(2):
        assert (await shop.one()).snapshot == snapshot


async def test_concurrent_save_is_not_undone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends at the same time moves the head: an older head must not come back."""
    snapshot = shop.save("1")
    shop.line(snapshot)
    volume = await shop.volume()
    volumes = (await shop.initial()).volumes
    (resource,) = volumes.project.volumes
    real = Lineages.find

    def late(self: Lineages, wanted: WantedVolume, stored: tuple[Snapshot, ...]) -> Lineage | None:
        chosen = real(self, wanted, stored)
        self.change("l1", lambda now: replace(now, head=("2", "data")))
        return chosen

    monkeypatch.setattr(Lineages, "find", late)
    assert volumes.continued(volume) == "l1"
    assert [lineage.head for lineage in shop.volume_transfer.lineages.all()] == [("2", "data")]
    shop.line(snapshot)
    volumes.ask(resource, snapshot)
    assert [(lineage.head, lineage.asked) for lineage in shop.volume_transfer.lineages.all()] == [
        (("2", "data"), ("1", "data"))
    ]


async def test_damaged_lineage_is_an_error_for_all_volumes(shop: Shop) -> None:
    """No volume begins with less than its last saved state without a notice."""
    Path(shop.volume_transfer.lineages.path, "l1.json").write_text("{")
    with pytest.raises(DevenvError, match=r"l1\.json is damaged"):
        await shop.plan()


def test_identity_of_a_folder(tmp_path: Path) -> None:
    """Its real path, device and inode; a folder that does not exist has only the path."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    state = (tmp_path / "real").stat()
    assert place_of(f"{tmp_path}/link/") == Place(f"{tmp_path}/real", state.st_dev, state.st_ino)
    assert place_of(f"{tmp_path}/gone") == Place(f"{tmp_path}/gone")


# --- What is printed about the content of a new volume ---------------------------------------------------


HERE = Place("/shop", 1, 7)
WANTED = WantedVolume("engine", "unix:///x", HERE, "shop", "data", "shop_data", is_fixed=False)
LINE = Lineage("l1", "engine", HERE, "shop", "data", "shop_data", head=("s2", "data"), saved=2000.0)
SAVED = ("s2", "data")


def snapshot(name: str, created: float, **more: Any) -> Snapshot:
    made = Snapshot(
        name, "data", "shop_data", "shop", "/shop", "unix:///x", created, 1, 1, "", database="postgres 16"
    )
    return replace(made, **{"lineage": "l1", "settled": True, **more})


OLD, NEW = snapshot("s1", 1000.0), snapshot("s2", 2000.0)


def choice(start: Start, chosen: Snapshot | None = None, **more: Any) -> VolumeChoice:
    given = {"line": LINE, "stored": (OLD, NEW), "service": "db", "needed": Reader("postgres 16"), **more}
    reference = given.pop("reference", SAVED)
    return VolumeChoice(Beginning(start, chosen, reference), WANTED, **given)


def test_head_is_restored_without_a_notice() -> None:
    """There is neither an error nor a notice."""
    head = choice(Start.HEAD, NEW)
    assert (head.error(), head.notice(), head.is_first) == (None, None, False)


def test_a_head_that_cannot_be_read_needs_a_decision() -> None:
    """The hint offers the newest older whole state, or an empty volume."""
    unsettled = snapshot("s3", 1500.0, settled=False)
    error = choice(Start.LOST, stored=(OLD, unsettled, NEW)).error()
    assert isinstance(error, StateError)
    assert error.message == f"data: its last saved state, s2, saved {date(2000.0)}, is missing or cannot be read"
    assert error.hint == f"devenv up --from s1   (saved {date(1000.0)}), or: {FRESH}"


@pytest.mark.parametrize(
    "stored", [(), (NEW,), (snapshot("s1", 1.0, lineage="l2"),)], ids=["none", "itself", "other"]
)
def test_without_an_older_state_only_an_empty_volume_is_offered(stored: tuple[Snapshot, ...]) -> None:
    """A state of another lineage is none."""
    error = choice(Start.LOST, stored=stored).error()
    assert error is not None
    assert error.hint == FRESH


def test_a_state_that_was_asked_for_and_is_gone() -> None:
    """When the head was saved does not matter then."""
    error = choice(Start.LOST, line=replace(LINE, asked=("s9", "data")), reference=("s9", "data")).error()
    assert error is not None
    assert error.message == "data: the state that was asked for, s9 is missing or cannot be read"


def test_data_written_into_a_cut_off_restore_needs_a_decision() -> None:
    """Both states are offered, each with its time."""
    rescued = snapshot("s4", 3000.0)
    torn = choice(Start.TORN, rescued, stored=(OLD, NEW, rescued), reference=("s4", "data")).error()
    assert torn is not None
    assert torn.message == (
        f"data was being restored to s2, saved {date(2000.0)}, when the run died; "
        f"other data was written to it since: saved as s4, {date(3000.0)}"
    )
    assert torn.hint == "devenv up --from s2, or: devenv up --from s4"


@pytest.mark.parametrize(("needed", "is_refused"), [("postgres 16", False), ("", False), ("postgres 17", True)])
def test_a_snapshot_of_another_database_is_refused(needed: str, is_refused: bool) -> None:
    """Only a requested snapshot is refused; an unknown database is given."""
    asked = choice(Start.ASKED, NEW, needed=Reader(needed))
    assert isinstance(asked.error(), RefusedError) == is_refused
    assert asked.notice() is None


@pytest.mark.parametrize(
    ("start", "chosen", "more", "expected"),
    [
        (Start.DROPPED, None, {}, "data starts empty after `down --volumes`"),
        (Start.UNFIT, OLD, {"needed": Reader("postgres 17")}, "could not read it: an older one is restored"),
        (Start.UNFIT, None, {"needed": Reader("postgres 17")}, "could not read it: it starts empty"),
        (
            Start.EMPTY,
            None,
            {"stored": (snapshot("s5", 3000.0, settled=False),), "line": replace(LINE, head=("", ""))},
            "before db was up for the first time: it starts empty",
        ),
        (Start.HEAD, NEW, {"line": replace(LINE, place=Place("/old", 1, 7))}, "which was renamed to this folder"),
        (
            Start.HEAD,
            NEW,
            {"line": replace(LINE, place=Place("/shop", 1, 8))},
            "another folder at this path had",
        ),
        (Start.EMPTY, None, {"line": replace(LINE, place=Place("/shop", 1, 8))}, None),
        (Start.EMPTY, None, {"stored": ()}, None),
    ],
    ids=["dropped", "unfit, older", "unfit, empty", "unsettled", "renamed", "replaced", "replaced, empty", "first"],
)
def test_notice_if_data_is_not_the_newest(
    start: Start, chosen: Snapshot | None, more: dict[str, Any], expected: str | None
) -> None:
    """There is one notice; a folder that was replaced matters only if something is restored."""
    notice = choice(start, chosen, **more).notice()
    assert (notice is None) == (expected is None)
    assert notice is None or expected in notice.message  # type: ignore[operator]


@pytest.mark.parametrize(
    ("start", "stored", "expected"),
    [
        (Start.EMPTY, (), True),
        (Start.EMPTY, (OLD,), False),
        (Start.DROPPED, (), False),
        (Start.ASKED, (), False),
    ],
)
def test_a_first_volume_may_have_data_elsewhere(start: Start, stored: tuple[Snapshot, ...], expected: bool) -> None:
    """The lineage is new, or has nothing saved; there is no notice if the user decided so."""
    assert choice(start, stored=stored).is_first == expected


def test_dates_are_local() -> None:
    """They are exact to the second."""
    assert date(0.0) == time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0.0))
