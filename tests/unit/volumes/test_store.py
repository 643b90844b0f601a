"""The store of snapshots: which count, which damage is detected, and what interrupted work leaves."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import json
import os
import random
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.errors import StateError
from devenv.model.snapshot import Snapshot
from devenv.state import gzip_members, member_writer
from devenv.state.verified_archive import Draft, TooLargeError, UnverifiedError
from devenv.volumes.store import Store

LIMIT = 10**7
NOISE = random.Random(1).randbytes(300_000)


def tar(**files: bytes) -> bytes:
    """A tar with these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


TAR = tar(small=b"hello", noise=NOISE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(str(tmp_path))


def put(store: Store, set_id: str = "1", volume: str = "data", content: bytes = TAR, **more: object) -> Snapshot:
    """A snapshot stored as the vault does it."""
    with store.draft(set_id, volume, limit=LIMIT) as (draft, path):
        for start in range(0, len(content), 70_000):
            draft.write(content[start : start + 70_000])
        digest = draft.finish(path)
        known = Snapshot(set_id, volume, f"p_{volume}", "p", "/p", "e", time.time(), draft.size, draft.stored, digest)
        snapshot = replace(known, **more)  # type: ignore[arg-type]
        store.commit(snapshot, path)
    return snapshot


def files(store: Store) -> list[str]:
    """Everything in the store, relative to it."""
    return sorted(str(p.relative_to(store.path)) for p in Path(store.path).rglob("*") if p.is_file())


def test_stored_snapshot_is_read_back(store: Store) -> None:
    """The archive has the tar, the note its description; only the user may read both."""
    snapshot = put(store, volume="odd/name ä")
    assert store.all() == (snapshot,)
    store.check(snapshot)
    assert gzip.decompress(Path(store.archive(snapshot)).read_bytes()) == TAR
    assert snapshot.size == len(TAR)
    assert snapshot.stored == os.path.getsize(store.archive(snapshot))
    assert all(p.stat().st_mode & 0o077 == 0 for p in Path(store.path).rglob("*"))


def test_a_clock_that_was_set_back_makes_no_snapshot_older(store: Store) -> None:
    """A later snapshot counts as later; without any snapshot the time is the clock's."""
    assert store.now() == pytest.approx(time.time(), abs=5)
    ahead = put(store, created=time.time() + 3600)
    assert store.now() > ahead.created
    put(store, set_id="2", created=store.now())
    assert [snapshot.id for snapshot in store.all()] == ["1", "2"]


class Cut(Exception):  # noqa: N818 - a stand-in for the end of the process
    """The process ends here."""


def test_interrupted_anywhere_nothing_half_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step that changes the disk there is either no snapshot or a complete one."""
    steps = 0
    cut_at = 0

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **kwargs: object) -> object:
            nonlocal steps
            steps += 1
            if steps == cut_at:
                raise Cut
            return real(*args, **kwargs)

        return step

    for name in ("replace", "fsync", "open", "makedirs"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    seen = set()
    for cut_at in range(1, 60):
        steps = 0
        with contextlib.suppress(Cut):
            put(store, set_id=f"set-{cut_at}")
        steps = cut_at  # the reads below are not interrupted
        snapshots = [s for s in store.all() if s.id == f"set-{cut_at}"]
        for snapshot in snapshots:
            store.check(snapshot)
        seen.add(len(snapshots))
    assert seen == {0, 1}


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_a_stored_archive_that_is_cut_is_caught_at_once(store: Store, keep: float) -> None:
    """The archive is read back from the disk before the snapshot counts."""
    with store.draft("1", "data", limit=LIMIT) as (draft, path):
        draft.write(TAR)
        real = draft._members.finish

        def lossy() -> None:
            real()
            os.truncate(path, int(os.path.getsize(path) * keep))

        draft._members.finish = lossy  # type: ignore[method-assign]
        with pytest.raises(UnverifiedError):
            draft.finish(path)
    assert store.all() == ()
    assert files(store) == []


def test_a_bit_that_tipped_on_the_way_is_caught(store: Store) -> None:
    """Wherever it is in the archive."""
    for place in (0.01, 0.5, 0.99):
        with store.draft("1", "data", limit=LIMIT) as (draft, path):
            draft.write(TAR)
            real = draft._members.finish

            def lossy(real: Callable[[], None] = real, path: str = path, place: float = place) -> None:
                real()
                with open(path, "r+b") as file:
                    file.seek(int(os.path.getsize(path) * place))
                    byte = file.read(1)
                    file.seek(-1, os.SEEK_CUR)
                    file.write(bytes([byte[0] ^ 4]))

            draft._members.finish = lossy  # type: ignore[method-assign]
            with pytest.raises(UnverifiedError):
                draft.finish(path)


def test_a_compressor_that_fails_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is decompressed and compared before it is written."""
    monkeypatch.setattr(gzip_members, "_deflated", lambda block: zlib.compress(block[::-1], 1, -15))
    with store.draft("1", "data", limit=LIMIT) as (draft, path):
        draft.write(TAR)
        with pytest.raises(UnverifiedError, match="cannot be compressed"):
            draft.finish(path)
    assert files(store) == []


def test_memory_is_bounded(store: Store) -> None:
    """However fast the engine sends: what does not fit is written first."""
    content = tar(noise=NOISE * 60)
    with store.draft("1", "data", limit=len(content)) as (draft, path):
        for start in range(0, len(content), 70_000):
            draft.write(content[start : start + 70_000])
            in_memory = draft.size - len(draft._members._members) * gzip_members.BLOCK
            assert in_memory < (member_writer.AHEAD + 2) * gzip_members.BLOCK
        draft.finish(path)
        with open(path, "rb") as file:
            assert b"".join(gzip_members.blocks(file)) == content


def test_the_rate_of_earlier_saves(store: Store) -> None:
    """Small volumes prove nothing; what an earlier version measured, with slower compression, does not count."""
    Path(f"{store.path}.rate").write_text("27000000")
    store.note_rate(10**6, 10.0)
    assert store.rate == 100e6
    store.note_rate(10**9, 2.0)
    assert store.rate == 300e6


def test_replaced_archive_is_detected(store: Store, tmp_path: Path) -> None:
    """A complete other archive is detected, too: every byte is compared."""
    other = tmp_path / "other.gz"
    other.write_bytes(gzip.compress(tar(small=b"hullo", noise=NOISE)))
    with store.draft("1", "data", limit=LIMIT) as (draft, _):
        draft.write(TAR)
        with pytest.raises(UnverifiedError, match="different"):
            draft.finish(str(other))


@pytest.mark.parametrize("cut", [1, 512, 1024, len(TAR) // 2])
def test_truncated_archive_of_the_engine_is_refused(store: Store, cut: int) -> None:
    """A tar ends with a mark: a lost connection is not taken for its end."""
    with store.draft("1", "data", limit=LIMIT) as (draft, path):
        draft.write(TAR[: TAR.rstrip(b"\0").__len__() + 1024 - cut])
        with pytest.raises(UnverifiedError, match=r"too early|read back"):
            draft.finish(path)
    assert files(store) == []


def test_too_large_volume_is_refused_and_leaves_nothing(store: Store) -> None:
    """As soon as it is known."""
    with store.draft("1", "data", limit=100_000) as (draft, _), pytest.raises(TooLargeError, match="than 100 KB"):
        draft.write(TAR)
    assert files(store) == []
    assert os.listdir(store.path) == []


def test_a_full_disk_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets the error."""

    def full(_descriptor: int, _parts: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with store.draft("1", "data", limit=LIMIT) as (draft, path):
        draft.write(TAR)
        with pytest.raises(OSError, match="No space"):
            draft.finish(path)
    assert files(store) == []


@pytest.fixture
def damaged(store: Store) -> Iterator[tuple[Store, Snapshot]]:
    """A snapshot whose archive the disk has changed since."""
    snapshot = put(store)
    with open(store.archive(snapshot), "r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")
    return store, snapshot  # type: ignore[return-value]


def test_damaged_snapshot_is_not_restored(damaged: tuple[Store, Snapshot]) -> None:
    """The message says which, and what to type."""
    store, snapshot = damaged
    with pytest.raises(StateError, match="damaged") as caught:
        store.check(snapshot)
    assert caught.value.hint == "devenv up --fresh   (begins empty)"
    put(store, set_id="other", created=1.0, lineage="another")
    older = put(store, set_id="0", created=1.0)
    os.unlink(store.archive(snapshot))
    with pytest.raises(StateError, match="No such file") as caught:
        store.check(snapshot)
    assert (caught.value.hint or "").startswith(f"devenv up --from {older.id} ")


@pytest.mark.parametrize(
    "note",
    [b"", b"{}", b"[1]", b'{"id": 5}', b"\xff\xfe", b"null"],
    ids=["empty", "no field", "list", "kind", "bytes", "null"],
)
def test_a_note_that_cannot_be_read_does_not_count(store: Store, note: bytes) -> None:
    """It does not hinder other snapshots."""
    good = put(store)
    folder = Path(store.path, "2")
    folder.mkdir()
    (folder / "data.json").write_bytes(note)
    fields = json.loads(Path(store.path, "1", "data.json").read_text())
    (folder / "more.json").write_text(json.dumps({**fields, "volume": "../1/data"}))  # the note says another volume
    (folder / "kind.json").write_text(json.dumps({**fields, "size": "large"}))
    assert store.all() == (good,)


def test_a_new_id_is_new(store: Store) -> None:
    """It is new even within one second."""
    for _ in range(3):
        put(store, set_id=store.new_id())
    assert len({s.id for s in store.all()}) == 3


def test_one_that_is_removed_leaves_nothing(store: Store) -> None:
    """Other snapshots of its set stay."""
    first, other = put(store, volume="a"), put(store, volume="b")
    store.remove(first)
    assert store.all() == (other,)
    store.remove(other)
    store.remove(other)
    assert os.listdir(store.path) == []


def test_room_is_made_by_the_oldest(store: Store, tmp_path: Path) -> None:
    """The caller reports the removed snapshots."""
    stored = [put(store, set_id=str(n), created=float(n), directory=str(tmp_path)) for n in range(1, 4)]
    assert store.make_room(stored[0].stored * 2, {("1", "data")}) == (stored[1],)
    assert store.all() == (stored[0], stored[2])
    assert store.make_room(0, ()) == (stored[0],)


def test_what_interrupted_work_left_is_tidied_up(store: Store) -> None:
    """Archives without a writer are removed at once, partial snapshots once no process can complete them."""
    good = put(store)
    for name in ("1/more.part", "3/data.part", "4/data.tar.gz", "5/data.json.new"):
        path = Path(store.path, name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with store.draft("6", "data", limit=LIMIT):
        store.tidy()
        assert files(store) == ["1/data.json", "1/data.tar.gz", "4/data.tar.gz", "5/data.json.new", "6/data.part"]
    for name in files(store):
        os.utime(Path(store.path, name), (1, 1))
    store.tidy()
    assert files(store) == ["1/data.json", "1/data.tar.gz", "4/data.tar.gz"]
    assert store.all() == (good,)
    assert store.damaged() == (("4", "data"),)


def test_an_archive_without_a_note_is_kept_and_listed(store: Store) -> None:
    """It may be the only copy: an unreadable or missing note must not cost the data."""
    good, torn = put(store, volume="a"), put(store, set_id="2", volume="odd/name ä")
    os.unlink(store.archive(put(store, set_id="3")))
    note = Path(store.archive(torn).replace(".tar.gz", ".json"))
    for change in (lambda: note.write_bytes(b"{"), note.unlink):
        change()
        store.tidy()
        assert store.damaged() == (("2", "odd/name ä"),)
        assert os.path.exists(store.archive(torn))
    assert good in store.all()


def test_a_note_of_devenv_0_1(store: Store) -> None:
    """It knows no lineage, and counts all the same."""
    snapshot = put(store, lineage="l", parent="0")
    note = Path(store.path, "1", "data.json")
    fields = json.loads(note.read_text())
    note.write_text(json.dumps({key: value for key, value in fields.items() if key not in ("lineage", "parent")}))
    assert store.all() == (replace(snapshot, lineage="", parent=""),)


@pytest.mark.parametrize("created", ["NaN", "Infinity", "-1", "253402300800", "1e400"])
def test_snapshot_with_an_impossible_time_is_ignored(store: Store, created: str) -> None:
    """No snapshot is of a time that no clock shows."""
    put(store, created=4711.0)
    note = Path(store.path, "1", "data.json")
    note.write_text(note.read_text().replace("4711.0", created))
    assert store.all() == ()


def test_a_verification_that_nobody_waits_for_ends(store: Store) -> None:
    """After a second Ctrl-C, the thread that reads back must stop."""
    with store.draft("1", "data", limit=LIMIT) as (draft, path):
        draft.write(TAR)
        draft.close()
        with pytest.raises(UnverifiedError, match="nobody waits"):
            draft.finish(path)
    assert isinstance(draft, Draft)
