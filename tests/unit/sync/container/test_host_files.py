"""A large file in pieces: complete or not at all, whatever its writer does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devenv.sync.container import host_files, tar
from devenv.sync.container.host_files import Item, LargeFile

pytestmark = pytest.mark.anyio


def item(path: Path) -> Item:
    """The file as an item below its folder."""
    return Item(str(path), "/srv/big", str(path.parent))


async def packed(one: LargeFile) -> bytes:
    """All pieces together."""
    return b"".join([piece async for piece in one.packed()])


async def test_it_is_an_archive_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content over several pieces, mode, owner and time to the nanosecond."""
    monkeypatch.setattr(host_files, "PIECE", 1000)
    path = tmp_path / "f"
    path.write_bytes(os.urandom(5300))
    path.chmod(0o750)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    async with LargeFile(item(path), uid=7, gid=8) as one:
        data = await packed(one)
        await one.verify()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (info,) = archive.getmembers()
        inside = archive.extractfile(info)
        assert inside is not None
        assert inside.read() == path.read_bytes()
    assert (info.name, info.mode, info.uid, info.gid) == ("srv/big", 0o750, 7, 8)
    assert info.pax_headers["mtime"] == "1700000000.123456789"
    reader = tar.Reader()
    assert sum(len(piece) for _, piece, _ in reader.feed(data)) == 5300
    assert reader.ended


@pytest.mark.parametrize("change", ["longer", "shorter", "other bytes", "mode"])
async def test_a_change_while_it_is_sent_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Even if size and times stay the same."""
    monkeypatch.setattr(host_files, "PIECE", 1000)
    path = tmp_path / "f"
    path.write_bytes(b"x" * 5000)
    was = path.stat()

    async def rest(one: LargeFile, pieces: AsyncIterator[bytes]) -> None:
        async for _ in pieces:
            pass
        await one.verify()

    async with LargeFile(item(path)) as one:
        pieces = one.content()
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
            await rest(one, pieces)
    assert not os.listdir("/proc/self/fd") or str(path) not in _open_files()


def _open_files() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return found


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
        async with LargeFile(item(path)):
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
        async with LargeFile(Item(str(path), "/x", str(tmp_path / "src"))):
            pass


def test_a_sparse_file_of_six_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """However much of it is read."""
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 6 << 30)
    script = textwrap.dedent(
        f"""
        import anyio
        from devenv.sync.container.host_files import Item, LargeFile
        async def main():
            total = 0
            async with LargeFile(Item({str(path)!r}, "/x")) as one:
                async for piece in one.packed():
                    total += len(piece)
                    if total > 300 << 20:
                        break
            status = open("/proc/self/status").read()
            print(status.partition("VmHWM:")[2].split()[0])
        anyio.run(main)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 1024
