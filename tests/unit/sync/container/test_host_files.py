"""A large file in pieces: complete or not at all, whatever its writer does."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devenv.sync.container import host_files, tar
from devenv.sync.container.host_files import Batch, Item, LargeFile, open_large

pytestmark = pytest.mark.anyio


def item(path: Path) -> Item:
    """The file as an item below its folder."""
    return Item(str(path), "/srv/big", str(path.parent))


async def packed(large_file: LargeFile) -> bytes:
    """All pieces together."""
    return b"".join([piece async for piece in large_file.packed()])


async def test_large_file_is_packed_as_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content over several pieces, mode, owner and time to the nanosecond."""
    monkeypatch.setattr(host_files, "PIECE", 1000)
    path = tmp_path / "f"
    path.write_bytes(os.urandom(5300))
    path.chmod(0o750)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    async with open_large(item(path), (7, 8)) as large_file:
        data = await packed(large_file)
        await large_file.verify()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (info,) = archive.getmembers()
        inside = archive.extractfile(info)
        assert inside is not None
        assert inside.read() == path.read_bytes()
    assert (info.name, info.mode, info.uid, info.gid) == ("srv/big", 0o750, 7, 8)
    assert info.pax_headers["mtime"] == "1700000000.123456789"
    reader = tar.TarReader()
    assert sum(len(piece) for _, piece, _ in reader.feed(data)) == 5300
    assert reader.ended


@pytest.mark.parametrize("change", ["longer", "shorter", "other bytes", "mode"])
async def test_change_of_a_large_file_during_the_transfer_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """It is detected even if size and times are equal."""
    monkeypatch.setattr(host_files, "PIECE", 1000)
    path = tmp_path / "f"
    path.write_bytes(b"x" * 5000)
    was = path.stat()

    async def rest(large_file: LargeFile, pieces: AsyncIterator[bytes]) -> None:
        async for _ in pieces:
            pass
        await large_file.verify()

    async with open_large(item(path)) as opened:
        pieces = opened.content()
        await anext(pieces)
        with path.open("r+b") as file:
            if change == "longer":
                file.seek(0, os.SEEK_END)
                file.write(b"more")
            elif change == "shorter":
                file.truncate(1500)
            elif change == "other bytes":
                file.write(b"y")
        if change == "mode":
            path.chmod(0o600)
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        with pytest.raises(OSError, match="being written"):
            await rest(opened, pieces)
    assert not os.listdir("/proc/self/fd") or str(path) not in _open_files()


def _open_files() -> set[str]:
    batch_names = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            batch_names.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return batch_names


async def test_a_file_that_is_being_written_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be sent again."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    real = os.fstat

    def growing(descriptor: int) -> os.stat_result:
        with path.open("ab") as file:
            file.write(b"x")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(OSError, match="being written"):
        async with open_large(item(path)):
            pass


@pytest.mark.parametrize("kind", ["gone", "pipe", "link", "behind a link"])
async def test_a_source_that_is_not_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    """No link is followed."""
    path = tmp_path / "src/f"
    path.parent.mkdir()
    (tmp_path / "secret").write_text("canary")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "secret")
    elif kind == "behind a link":
        (tmp_path / "src/sub").symlink_to(tmp_path)
        path = tmp_path / "src/sub/secret"
    with pytest.raises(OSError):
        async with open_large(Item(str(path), "/x", str(tmp_path / "src"))):
            pass


def test_a_sparse_file_of_six_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """It is read piece by piece."""
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 6 << 30)
    script = textwrap.dedent(
        f"""
        import anyio
        from devenv.sync.container.host_files import Item, open_large
        async def main():
            total = 0
            async with open_large(Item({str(path)!r}, "/x")) as one:
                async for piece in one.packed():
                    total += len(piece)
                    if total > 150 << 20:
                        break
            status = open("/proc/self/status").read()
            print(status.partition("VmHWM:")[2].split()[0])
        anyio.run(main)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024


def built(*items: Item) -> Batch:
    """The only batch of these items."""
    (only,) = host_files.batches(items, (1000, 1001))
    return only


def archived(batch: Batch) -> bytes:
    """The archive of a batch."""
    return tar.packed(entry for _, entry in batch.entries)


def content_size(batch: Batch) -> int:
    """Bytes of content."""
    return sum(len(entry.content) for _, entry in batch.entries)


def paths(batch: Batch) -> list[str]:
    """The container paths of a batch."""
    return [item.path for item, _ in batch.entries]


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    """The members of a tar by name."""
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as file:
        return {info.name: info for info in file}


def test_a_file_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    """Content, mode and time to the nanosecond; the owner is the container's."""
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    path.chmod(0o751)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    batch = built(Item(str(path), "/srv/g"))
    assert archived(batch).count(b"mtime=1700000000.123456789") == 1
    info = members(archived(batch))["srv/g"]
    assert (info.uid, info.gid, info.mode, info.size) == (1000, 1001, 0o751, 3)
    assert (content_size(batch), batch.failed) == (3, ())
    assert tar.content(archived(batch)) == b"abc"


def test_two_saves_within_a_second_differ(tmp_path: Path) -> None:
    """Dev servers compare times: the archives differ."""
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    datas = []
    for ns in (5_000_000_001, 5_000_000_002):
        os.utime(path, ns=(ns, ns))
        datas.append(archived(built(Item(str(path), "/f"))))
    assert datas[0] != datas[1]


def test_links_and_folders(tmp_path: Path) -> None:
    """A link keeps its text, even if it is dangling or points to a folder; a folder is an entry of its own."""
    (tmp_path / "folder").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "loose").symlink_to("/no/such")
    names = ("folder", "link", "loose")
    items = [Item(str(tmp_path / n), f"/{n}", folder=n == "folder") for n in names]
    entries = members(archived(built(*items)))
    assert entries["folder"].isdir()
    assert (entries["link"].linkname, entries["loose"].linkname) == ("folder", "/no/such")
    assert entries["link"].issym()


def test_a_source_of_another_kind_than_planned_is_gone(tmp_path: Path) -> None:
    """A file that has become a folder, and the reverse: the next scan reports it."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("x")
    items = (Item(str(tmp_path / "d"), "/d"), Item(str(tmp_path / "f"), "/f", folder=True))
    assert [reason for _, reason in built(*items).failed] == [host_files.GONE] * 2


def test_special_bits_are_not_copied(tmp_path: Path) -> None:
    """A set-user-id bit of the host does not get into a container."""
    path = tmp_path / "f"
    path.write_bytes(b"")
    path.chmod(0o4755)
    assert members(archived(built(Item(str(path), "/f"))))["f"].mode == 0o755


@pytest.mark.parametrize("name", [b"two words", b"new\nline", b"\xff\xfe", b"x" * 255, "ü".encode(), b"-"])
def test_odd_names_and_deep_paths(tmp_path: Path, name: bytes) -> None:
    """Every name is read back unchanged, at any depth."""
    source = os.fsencode(tmp_path) + b"/" + name
    with open(source, "wb") as file:
        file.write(b"x")
    path = f"/{'d' * 90}/{'e' * 90}/{os.fsdecode(name)}"
    batch = built(Item(os.fsdecode(source), path))
    ((member, content, _),) = tar.TarReader().feed(archived(batch))
    assert (os.fsdecode(member.name), content) == (path[1:], b"x")


def test_unreadable_files_are_reported(tmp_path: Path) -> None:
    """A missing file, a pipe and a socket fail by themselves, and the pipe does not block."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "f").write_bytes(b"x")
    items = [Item(str(tmp_path / n), f"/{n}") for n in ("gone", "pipe", "f", "socket")]
    batch = built(*items)
    assert paths(batch) == ["/f"]
    assert {item.path: bool(reason) for item, reason in batch.failed} == {
        "/gone": True,
        "/pipe": True,
        "/socket": True,
    }


def test_only_failures_and_nothing(tmp_path: Path) -> None:
    """Failures are returned even if there is nothing to send; without items there is no batch."""
    (only,) = host_files.batches([Item(str(tmp_path / "gone"), "/g")], (0, 0))
    assert (only.entries, len(only.failed)) == ((), 1)
    assert list(host_files.batches([], (0, 0))) == []


def test_batches_are_limited_by_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is a batch by itself; the order is kept."""
    monkeypatch.setattr(host_files, "CHUNK_BYTES", 100)
    sizes = [10, 10, 10, 10, 95, 500, 1]
    items = []
    for index, size in enumerate(sizes):
        (tmp_path / str(index)).write_bytes(b"x" * size)
        items.append(Item(str(tmp_path / str(index)), f"/{index}"))
    made = list(host_files.batches(items, (0, 0), most=3))
    assert [paths(part) for part in made] == [
        ["/0", "/1", "/2"],
        ["/3"],
        ["/4"],
        ["/5"],
        ["/6"],
    ]
    assert [content_size(part) for part in made] == [30, 10, 95, 500, 1]


def test_later_batches_are_not_read_before_they_are_needed(tmp_path: Path) -> None:
    """A large tree is never in memory as a whole."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"old")
    parts = host_files.batches([Item(str(tmp_path / n), f"/{n}") for n in ("a", "b", "c")], (0, 0), most=1)
    next(parts)
    (tmp_path / "c").write_bytes(b"newer")
    assert [tar.content(archived(part)) for part in parts] == [b"old", b"newer"]


def test_no_torn_reads(tmp_path: Path) -> None:
    """While a writer appends records, every archive contains whole records, as many as its header says."""
    path = tmp_path / "f"
    record = b"x" * 63 + b"\n"
    path.write_bytes(record * 5000)
    stop = threading.Event()

    def write() -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        while not stop.is_set():
            os.write(descriptor, record)
            stop.wait(0.02)
        os.close(descriptor)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        batches = [built(Item(str(path), "/f")) for _ in range(100)]
    finally:
        stop.set()
        writer.join()
    sent = [tar.content(archived(part)) for part in batches if part.entries]
    assert sent
    assert all(content == record * (len(content) // 64) for content in sent)
    assert sorted(map(len, sent)) == list(map(len, sent))


def test_a_file_that_changes_all_the_time_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails with that reason."""
    path = tmp_path / "f"
    path.write_bytes(b"x")
    real = os.fstat

    def growing(descriptor: int) -> os.stat_result:
        with path.open("ab") as file:
            file.write(b"x")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", growing)
    ((_, reason),) = built(Item(str(path), "/f")).failed
    assert "being written" in reason


def test_a_large_file_is_the_last_and_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a batch of its own without entries, so that it is not taken for an empty file."""
    monkeypatch.setattr(host_files, "LARGE_BYTES", 100)
    items = []
    for name, size in (("a", 101), ("b", 100), ("c", 1)):
        (tmp_path / name).write_bytes(b"x" * size)
        items.append(Item(str(tmp_path / name), f"/{name}"))
    made = list(host_files.batches(items, (0, 0)))
    assert [paths(part) for part in made] == [["/b", "/c"], []]
    assert [part.large for part in made] == [None, items[0]]
    assert made[1].entries == ()


def test_the_first_file_of_nothing() -> None:
    """A tar without files has none."""
    assert tar.content(built_empty()) == b""


def built_empty() -> bytes:
    """A tar with nothing in it."""
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    return buffer.getvalue()


def test_nothing_is_read_through_a_folder_that_has_become_a_link(tmp_path: Path) -> None:
    """It does not matter where the link points to; the folder above the rule's root may be a link."""
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep/secret").write_text("canary")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/link").symlink_to(outside)
    root = str(tmp_path / "src")
    batch = built(Item(f"{root}/link/deep/secret", "/x", root))
    assert (batch.entries, len(batch.failed), b"canary" in archived(batch)) == ((), 1, False)
    (tmp_path / "home").symlink_to(outside)
    root = str(tmp_path / "home")
    assert content_size(built(Item(f"{root}/deep/secret", "/x", f"{root}/deep"))) == len("canary")


def test_more_folders_than_descriptors(tmp_path: Path) -> None:
    """Descriptors are closed in time, and all at the end."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    items = []
    for i in range(300):
        path = tmp_path / f"d{i}/e/f"
        path.parent.mkdir(parents=True)
        path.write_text("x")
        items.append(Item(str(path), f"/{i}", str(tmp_path)))
    assert sum(len(part.entries) for part in host_files.batches(items, (0, 0))) == 300
    assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0) == before
