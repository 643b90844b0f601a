"""Saving and restoring volumes with a fake engine: what counts, and what remains after failures."""

from __future__ import annotations

# ruff: noqa: D102 - the fake has the methods of what it replaces
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from devenv.docker import process
from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError, StateError
from devenv.events import Event, Problem
from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.model.snapshot import Reader
from devenv.state import unfinished
from devenv.state.identity import Place, VolumeRecord
from devenv.state.run_dir import Run
from devenv.volumes.lineage import NOTHING, Lineage, LiveVolume
from devenv.volumes.lineages import Lineages
from devenv.volumes.store import Store
from devenv.volumes.transfer import VolumeTransfer

pytestmark = pytest.mark.anyio

AT = "2026-11-30T10:00:00Z"
DATA = Volume("p_data", "p", "data", driver="local", created=AT)
LINE = Lineage("l1", "an engine", Place("/p", 1, 2), "p", "data", "p_data")


def tar(**files: bytes) -> bytes:
    """A volume's archive, as the engine makes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        root = tarfile.TarInfo(".devenv-volume/")
        root.type = tarfile.DIRTYPE
        archive.addfile(root)
        for name, content in files.items():
            info = tarfile.TarInfo(f".devenv-volume/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


WHOLE = tar(a=b"hello", b=b"world" * 100)


class PlayedEngine:
    """Holds volumes' archives by name; `slow` saves take a minute, an answer to a create takes a moment."""

    endpoint = Endpoint("unix:///x")

    def __init__(self, **archives: bytes) -> None:
        self.archives = archives
        self.asked = anyio.Event()
        self.there: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self.refused: set[str] = set()  # images
        self.tried: list[str] = []  # images
        self.put_in: list[bytes] = []
        self.made: list[Mapping[str, Any]] = []
        self.paused: list[tuple[str, bool]] = []
        self.trouble: Exception | None = None
        self.others: dict[str, Volume] = {}
        self.slow = False
        self.recorded: bytes = b""
        self.record = ""
        self.containers = SimpleNamespace(
            create=self.create_container, remove=self.remove_container, pause=self.pause
        )
        self.archive = SimpleNamespace(download=self.download, put=self.put, upload=self.upload)
        self.volumes = SimpleNamespace(inspect=self.volume, create=self.create_volume, remove=self.remove_volume)
        self.removed: list[str] = []  # volumes
        self.images = SimpleNamespace(ids=self.image_ids)

    async def image_ids(self) -> tuple[str, ...]:
        return ("image", "another")

    async def volume(self, name: str) -> Volume | None:
        return self.others.get(name)

    async def create_container(self, wish: Mapping[str, Any], name: str = "") -> str:
        self.asked.set()
        self.tried.append(wish["Image"])
        self.recorded = Path(self.record).read_bytes() if self.record else b""
        if wish["Image"] in self.refused:
            raise CallError(404, f"no such image: {wish['Image']}", "creating a container")
        self.there[f"id-{name}"] = (name, wish)
        if self.slow:
            await anyio.sleep(0.05)
        return f"id-{name}"

    async def download(self, holder: str, path: str, take: Any) -> None:
        assert path == "/.devenv-volume"
        if self.slow:
            await anyio.sleep(60)
        volume = self.there[holder][1]["HostConfig"]["Mounts"][0]["Source"]
        content = self.archives[volume]
        for start in range(0, len(content), 700):
            take(memoryview(content)[start : start + 700])
            if self.trouble is not None:
                raise self.trouble

    async def put(self, holder: str, archive: bytes) -> None:
        if self.trouble is not None:
            raise self.trouble
        assert holder in self.there
        self.put_in.append(bytes(archive))

    async def upload(self, holder: str, pieces: Iterator[bytes], size: int) -> None:
        await self.put(holder, b"".join(pieces))
        assert size == len(self.put_in[-1])

    async def remove_volume(self, name: str) -> None:
        self.removed.append(name)

    async def remove_container(self, container_id: str) -> None:
        del self.there[container_id]

    async def create_volume(self, wish: Mapping[str, Any]) -> Volume:
        self.made.append(wish)
        if self.trouble is not None:
            raise self.trouble
        return replace(DATA, name=wish["Name"])

    async def pause(self, container_id: str, *, on: bool) -> None:
        self.paused.append((container_id, on))


class Played:
    """A VolumeTransfer, its engine, and its events."""

    def __init__(self, **archives: bytes) -> None:
        self.engine = PlayedEngine(**archives)
        self.told: list[Event] = []
        run = Run.open("an engine", self.engine.endpoint, "p")
        store, lineages = Store.at_home(), Lineages.at_home()
        limits = 10**6, 10**7
        self.volume_transfer = VolumeTransfer(self.engine, self.told.append, run, "p", "/p", store, lineages, *limits)  # type: ignore[arg-type]
        self.engine.record = run.made.path

    @property
    def line(self) -> Lineage:
        """The lineage as it is on disk now."""
        lineage = self.volume_transfer.lineages.get("l1")
        assert lineage is not None
        return lineage


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def played() -> Played:
    """A volume that continues nothing, in a lineage that has begun."""
    fake = Played(p_data=WHOLE)
    fake.volume_transfer.begins(LINE, LiveVolume("p_data", AT, 1.0))
    return fake


async def test_a_save_that_is_given_up_leaves_no_container(played: Played) -> None:
    """The container is removed even if the engine was just creating it."""
    played.engine.slow = True
    async with anyio.create_task_group() as tasks:

        async def save() -> None:
            await played.volume_transfer.save(DATA, (), settled=True)

        tasks.start_soon(save)
        await played.engine.asked.wait()
        tasks.cancel_scope.cancel()
    assert played.engine.there == {}
    assert played.volume_transfer.store.all() == ()


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


async def test_a_saved_state_is_the_head_of_its_lineage(played: Played) -> None:
    """The volume continues that state; two saves are two states, one after the other."""
    first = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    assert (first.lineage, first.parent) == ("l1", "")
    assert played.line.head == (first.id, "data")
    assert played.line.saved == first.created
    assert played.line.live == LiveVolume("p_data", AT, 1.0, (first.id, "data"))
    two = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    assert two.id != first.id
    assert (two.parent, played.line.head) == (first.id, (two.id, "data"))


async def test_incomplete_state_does_not_become_the_head(played: Played) -> None:
    """It is kept beside the head, and records what it continues."""
    saved = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    two = await played.volume_transfer.save(DATA, (), settled=False, lineage="l1")
    assert (two.lineage, two.parent, two.settled) == ("l1", saved.id, False)
    assert played.line.head == (saved.id, "data")
    assert len(played.volume_transfer.store.all()) == 2


async def test_another_lineage_that_is_damaged(played: Played) -> None:
    """A save is not hindered, but no snapshot is removed as long as it is unknown which ones the lineage needs."""
    stored = [await played.volume_transfer.save(DATA, (), settled=True) for _ in range(8)]
    path = Path(played.volume_transfer.lineages.path, "other.json")
    path.write_text("{")
    played.volume_transfer.total = 1
    last = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    assert played.line.head == (last.id, "data")
    assert last in played.volume_transfer.store.all()
    kept = len(played.volume_transfer.store.all())
    path.unlink()
    await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    assert len(played.volume_transfer.store.all()) < kept <= len(stored) + 1


@pytest.mark.parametrize("lineage", ["", "unknown"])
async def test_a_volume_without_a_lineage(played: Played, lineage: str) -> None:
    """It is saved all the same, and is the head of nothing."""
    saved = await played.volume_transfer.save(DATA, (), settled=True, lineage=lineage)
    assert saved.lineage == ""
    assert played.line.head == NOTHING


@pytest.mark.parametrize("trouble", [EngineError("connection lost"), OSError(28, "No space left on device")])
async def test_a_save_that_fails_changes_nothing(played: Played, trouble: Exception) -> None:
    """The head stays, nothing is stored, and no container is left."""
    saved = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    before = played.line
    played.engine.trouble = trouble
    with pytest.raises(type(trouble)):
        await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    assert (played.line, played.volume_transfer.store.all(), played.engine.there) == (before, (saved,), {})


async def test_holder_uses_any_image(played: Played) -> None:
    """The image is that of a container with the volume, or any other; without an image it is an error with a hint."""
    user = Container("c", "c", "web", "exited", ours=True, image="gone", volumes=("p_data",))
    played.engine.refused = {"gone", "image"}
    await played.volume_transfer.save(DATA, (user,), settled=True)
    played.engine.refused = {"gone", "image", "another"}
    with pytest.raises(EngineError, match="no such image: another"):
        await played.volume_transfer.save(DATA, (user,), settled=True)


async def test_restored_content_equals_the_saved_content(played: Played) -> None:
    """An engine on this machine gets the tar, another the archive; if it refuses that, the error has a command."""
    saved = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert played.engine.put_in.pop() == WHOLE
    played.engine.endpoint = Endpoint("ssh://elsewhere")
    await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert played.engine.put_in == [Path(played.volume_transfer.store.archive(saved)).read_bytes()]
    played.engine.trouble = CallError(500, "no space left", "putting")
    with pytest.raises(
        EngineError, match=f"the snapshot {saved.id} of data could not be restored: no space"
    ) as caught:
        await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert "devenv up --fresh" in (caught.value.hint or "")
    assert played.engine.there == {}


@pytest.mark.parametrize("host", ["unix:///run/docker.sock", "ssh://elsewhere"])
@pytest.mark.parametrize("damage", ["a bit", "half of it", "all of it"])
async def test_a_damaged_snapshot_leaves_no_volume(played: Played, host: str, damage: str) -> None:
    """What was put in until then is not taken for data; the error has the command for an older state."""
    older = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    saved = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    path = Path(played.volume_transfer.store.archive(saved))
    packed = path.read_bytes()
    changed = {"a bit": packed[:-1] + bytes([packed[-1] ^ 1]), "half of it": packed[: len(packed) // 2]}
    path.write_bytes(changed[damage]) if damage in changed else path.unlink()
    played.engine.endpoint = Endpoint(host)
    with pytest.raises(
        StateError, match=f"{saved.id} of data (is damaged on disk|cannot be read: No such)"
    ) as caught:
        await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert (caught.value.hint or "").startswith(f"devenv up --from {older.id} ")
    assert played.engine.removed == ["p_data"] or played.engine.put_in == []
    assert played.engine.there == {}


# --- a restore that was cut off ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "is_part"),
    [
        (WHOLE, True),
        (tar(), True),
        (tar(a=b"hello"), True),
        (tar(a=b"hello", b=b"world" * 10), True),
        (tar(a=b"hullo"), False),
        (tar(a=b"hello", new=b""), False),
        (tar(a=b"hello", b=b"world" * 101), False),
    ],
    ids=["all", "nothing", "a file", "a file and a half", "another content", "another file", "a longer file"],
)
async def test_interrupted_restore_is_rescued(content: bytes, is_part: bool) -> None:
    """A part of the restored state is on disk already; any other content is kept beside the head."""
    played = Played(p_data=WHOLE)
    played.volume_transfer.begins(LINE, LiveVolume("p_data", AT, 1.0))
    head = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    played.volume_transfer.begins(LINE, LiveVolume("p_data", AT, 2.0, (head.id, "data")))
    played.engine.archives = {"p_data": content}
    created = VolumeRecord("p_data", lineage="l1", source=(head.id, "data"))
    rescued = await played.volume_transfer.rescue(DATA, (), created)
    assert played.line.head == (head.id, "data")
    if is_part:
        assert rescued is None
        assert (played.line.torn, played.volume_transfer.store.all()) == (NOTHING, (head,))
        assert not [e for e in played.told if isinstance(e, Problem)]
    else:
        assert rescued is not None
        assert (rescued.settled, rescued.lineage) == (False, "l1")
        assert played.line.torn == (rescued.id, "data")
        assert played.volume_transfer.store.all() == (head, rescued)
        (problem,) = [e for e in played.told if isinstance(e, Problem)]
        assert rescued.id in problem.message


@pytest.mark.parametrize("how", ["head is gone", "head is damaged", "nobody knows what was restored", "no lineage"])
async def test_a_cut_off_restore_of_what_nobody_can_read(played: Played, how: str) -> None:
    """Without a readable snapshot there is no proof that the content is on disk: it is kept."""
    head = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    archive = Path(played.volume_transfer.store.archive(head))
    if how == "head is gone":
        archive.unlink()
    if how == "head is damaged":
        archive.write_bytes(archive.read_bytes()[:-20])
    lineage = "" if how == "no lineage" else "l1"
    source = ("", "") if how in ("nobody knows what was restored", "no lineage") else (head.id, "data")
    rescued = await played.volume_transfer.rescue(DATA, (), VolumeRecord("p_data", lineage=lineage, source=source))
    assert rescued is not None
    assert rescued in played.volume_transfer.store.all()


@pytest.mark.parametrize("how", ["head is gone", "nobody knows what was restored", "no lineage"])
async def test_a_cut_off_restore_that_has_not_begun(played: Played, how: str) -> None:
    """An empty volume has nothing to lose, whatever was to be restored: there is no question."""
    head = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    if how == "head is gone":
        Path(played.volume_transfer.store.archive(head)).unlink()
    source = (head.id, "data") if how == "head is gone" else NOTHING
    played.engine.archives = {"p_data": tar()}
    record = VolumeRecord("p_data", lineage="" if how == "no lineage" else "l1", source=source)
    assert await played.volume_transfer.rescue(DATA, (), record) is None
    assert (played.volume_transfer.store.all(), played.line.torn) == ((head,), NOTHING)


async def test_a_rescue_that_fails_removes_nothing(played: Played) -> None:
    """The caller must not remove the volume."""
    head = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    played.engine.trouble = EngineError("connection lost")
    with pytest.raises(DevenvError):
        await played.volume_transfer.rescue(DATA, (), VolumeRecord("p_data", lineage="l1"))
    assert (played.volume_transfer.store.all(), played.line.torn) == ((head,), NOTHING)


# --- what a lineage's volume is ---------------------------------------------------------------------------------


async def test_the_volume_of_a_lineage_begins_and_ends(played: Played) -> None:
    """A save in between is not undone; after a deliberate end the next volume begins empty."""
    head = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    played.volume_transfer.begins(LINE, LiveVolume("p_data", "later", 3.0))  # the beginning knew no head yet
    assert played.line.head == (head.id, "data")
    played.volume_transfer.ended("l1")
    assert (played.line.live, played.line.asked) == (None, None)
    played.volume_transfer.begins(replace(LINE, torn=("t", "data")), LiveVolume("p_data", AT, 4.0))
    played.volume_transfer.ended("l1", dropped=True)
    assert played.line == replace(LINE, head=(head.id, "data"), saved=head.created, asked=NOTHING)
    played.volume_transfer.ended("")
    played.volume_transfer.ended("unknown")


async def test_a_volume_is_created_as_compose_creates_it(played: Played) -> None:
    """It has Compose's labels, which a newer Compose requires, and the owner's; the user's own labels stay."""
    labels = {
        "mine": "1",
        "com.docker.compose.project": "p",
        "com.docker.compose.volume": "data",
        "devenv.owner": played.volume_transfer.run.made.owner,
    }
    wish = {"driver": "nfs", "driver_opts": {"o": "x"}, "labels": {"mine": "1"}}
    created = await played.volume_transfer.create("data", "p_data", wish)
    assert created == DATA
    assert played.engine.made == [
        {
            "Name": "p_data",
            "Driver": "nfs",
            "DriverOpts": {"o": "x"},
            "Labels": labels,
        }
    ]
    played.engine.trouble = CallError(500, "no such driver", "creating")
    with pytest.raises(EngineError, match="could not create the volume `data`: no such driver"):
        await played.volume_transfer.create("data", "p_data", {})


async def test_a_volume_that_somebody_else_created_is_not_taken_for_new(played: Played) -> None:
    """The engine would return that volume, and a saved state would be written over its content."""
    played.engine.others["p_data"] = DATA
    with pytest.raises(StateError, match="the volume p_data was created by somebody else just now"):
        await played.volume_transfer.create("data", "p_data", {})
    assert played.engine.made == []


async def test_holders_of_dead_processes_are_removed(played: Played) -> None:
    """Holders of this owner are removed, and what they had paused continues; others stay."""
    holder = Container("h", "devenv-1", "", "created", ours=True, holds="p_data")
    other = Container("o", "devenv-2", "", "created", ours=False, holds="p_more")
    still = [Container(n, n, "web", "paused", ours=True, volumes=(v,)) for n, v in (("a", "p_data"), ("b", "p_more"))]
    played.engine.there = {"h": ("", {}), "o": ("", {})}
    project_state = ProjectState((holder, other, *still), (Network("n", "n", ours=True),))
    assert await played.volume_transfer.mend(project_state)
    assert (list(played.engine.there), played.engine.paused) == (["o"], [("a", False)])
    assert not await played.volume_transfer.mend(ProjectState((other,)))


async def test_containers_that_a_killed_process_had_paused_go_on(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the process lives, they stay paused, and so do those that somebody else has paused."""
    ours, theirs = (Container(name, name, "web", "paused", ours=True) for name in ("a", "b"))
    transfer, project_state = played.volume_transfer, ProjectState((ours, theirs))
    unfinished.note_paused(transfer.run, [ours])
    assert not await transfer.mend(project_state)
    monkeypatch.setattr(process, "start_time", lambda _: "another process")
    assert await transfer.mend(project_state)
    assert played.engine.paused == [("a", False)]
    assert not await transfer.mend(project_state)


async def test_an_image_that_the_engine_lacks_is_not_replaced_by_another(played: Played) -> None:
    """Files of another image say nothing, and no container is created for them."""

    async def variables(_: str) -> dict[str, str]:
        return {"PG_MAJOR": "17"}

    played.engine.refused = {"missing"}
    played.engine.images.variables = variables
    assert await played.volume_transfer.modes("missing", ["/a"]) == {}
    assert await played.volume_transfer.reader("missing", with_system=True) == Reader("postgres 17")
    assert played.engine.tried == ["missing"] * 2
    assert played.engine.there == {}
