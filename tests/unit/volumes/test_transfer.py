"""Saving and restoring volumes with a fake engine: what counts, and what remains after failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from devenv.docker.endpoint import Endpoint
from devenv.docker.transport import CallError
from devenv.errors import DevenvError, EngineError, StateError
from devenv.events import Notice, Problem
from devenv.state.identity import VolumeRecord
from devenv.volumes.lineage import NOTHING, LiveVolume
from support.transfer import AT, DATA, LINE, WHOLE, Played, tar

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


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


@pytest.mark.parametrize("endpoint", ["unix:///x", "ssh://elsewhere"])
async def test_an_archive_of_podman(endpoint: str) -> None:
    """Podman extracts it in the volume; one of Docker would be extracted below the mount, so it is refused."""
    played = Played(p_data=tar("/", a=b"hello"), p_old=WHOLE)
    played.engine.endpoint, played.engine.is_podman = Endpoint(endpoint), True
    saved = await played.volume_transfer.save(DATA, (), settled=True)
    assert [e.message for e in played.told if isinstance(e, Notice)] == [
        "Podman does not pass on the owners of files: those in the snapshot of data are root's"
    ]
    await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert played.engine.put_at == ["/.devenv-volume"]
    of_docker = await played.volume_transfer.save(replace(DATA, key="old", name="p_old"), (), settled=True)
    with pytest.raises(EngineError, match=f"Podman cannot restore the snapshot {of_docker.id}, which Docker saved"):
        await played.volume_transfer.restore(of_docker, "old", "p_old", ())
    assert len(played.engine.put_at) == 1


async def test_restored_content_equals_the_saved_content(played: Played) -> None:
    """An engine on this machine gets the tar, another the archive; if it refuses that, the error has a command."""
    saved = await played.volume_transfer.save(DATA, (), settled=True, lineage="l1")
    await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert played.engine.put_in.pop() == WHOLE
    played.engine.endpoint = Endpoint("ssh://elsewhere")
    await played.volume_transfer.restore(saved, "data", "p_data", ())
    assert played.engine.put_at == ["/", "/"]
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
