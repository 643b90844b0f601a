"""A gzip file that threads write: complete, in order, and compressed only as far as that delays nothing."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from pathlib import Path

import pytest

from devenv.state import member_writer
from devenv.state.gzip_members import BLOCK, StoredDigest
from devenv.state.member_writer import GivenUpError, MemberWriter

DICE = random.Random(5)
TEXT = b"".join(b"%d: insert into orders\n" % DICE.randrange(10**9) for _ in range(60_000))[:BLOCK]
BLOCKS = [TEXT, bytes(BLOCK), DICE.randbytes(BLOCK), TEXT[:70_000], TEXT[:1]] * 4


def written(path: Path, blocks: list[bytes]) -> MemberWriter:
    """A finished file with these blocks, behind 3 bytes that were there."""
    with open(path, "wb") as file:
        file.write(b"abc")
        writer = MemberWriter(file)
        for block in blocks:
            buffer = writer.buffer()
            buffer[: len(block)] = block
            writer.add(buffer, len(block))
        writer.finish()
    with open(path, "rb", buffering=0) as raw:
        raw.seek(3)
        assert writer.is_in(raw)
    writer.close()
    return writer


def digest_of(packed: bytes, size: int = 70_001) -> str:
    """The digest of a file that is read in pieces of that size."""
    digest = StoredDigest()
    for at in range(0, len(packed), size):
        digest.update(packed[at : at + size])
    return digest.hexdigest()


def fill(writer: MemberWriter) -> None:
    """Add more than fits into memory."""
    for _ in range(member_writer.AHEAD * 5):
        writer.add(writer.buffer(), BLOCK)


@pytest.mark.parametrize(("always", "spare"), [(10**9, 0), (0, 0), (0, 2), (3 * BLOCK, 0)])
def test_any_gzip_program_reads_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: int, spare: int
) -> None:
    """Whatever is compressed and whatever is stored, the content and its digest are the same."""
    monkeypatch.setattr(member_writer, "ALWAYS", always)
    monkeypatch.setattr(member_writer, "SPARE", spare)
    writer = written(tmp_path / "a", BLOCKS)
    packed = (tmp_path / "a").read_bytes()[3:]
    assert gzip.decompress(packed) == b"".join(BLOCKS)
    assert (writer.stored, writer.digest) == (len(packed), digest_of(packed))
    (tmp_path / "b.gz").write_bytes(packed)
    subprocess.run(["gzip", "-t", tmp_path / "b.gz"], check=True)


def test_busy_cores_compress_only_what_is_easy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On two cores, beyond the beginning: zeros get small, text is stored."""
    monkeypatch.setattr(member_writer, "SPARE", 0)
    monkeypatch.setattr(member_writer, "ALWAYS", 2 * BLOCK)
    assert written(tmp_path / "a", [TEXT] * 2).stored < BLOCK
    assert BLOCK < written(tmp_path / "a", [TEXT] * 3).stored < 2 * BLOCK
    assert written(tmp_path / "a", [TEXT, TEXT, *[bytes(BLOCK)] * 50]).stored < BLOCK


def test_a_write_that_is_cut_short_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As POSIX allows."""

    def some(descriptor: int, parts: list[bytes]) -> int:
        return os.write(descriptor, b"".join(parts)[:1000])

    monkeypatch.setattr(os, "writev", some)
    written(tmp_path / "a", BLOCKS)
    assert gzip.decompress((tmp_path / "a").read_bytes()[3:]) == b"".join(BLOCKS)


def test_after_an_error_nothing_is_written_and_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that adds gets the error, however much it adds."""

    def broken(_descriptor: int, _parts: list[bytes]) -> int:
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "writev", broken)
    with open(tmp_path / "a", "wb") as file:
        writer = MemberWriter(file)
        with pytest.raises(OSError, match="is gone"):
            fill(writer)
        with pytest.raises(OSError, match="is gone"):
            writer.finish()
        writer.close()
    assert (tmp_path / "a").read_bytes() == b""


def test_a_thread_that_adds_ends_if_the_file_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if there was no room for the next block."""
    monkeypatch.setattr(member_writer, "PATIENCE", 0.01)
    with open(tmp_path / "a", "wb") as file:
        writer = MemberWriter(file)
        writer.close()
        writer._thread.join()
        with pytest.raises(GivenUpError):
            fill(writer)
        writer.close()


@pytest.mark.parametrize("damage", ["a bit", "the end", "more"])
def test_what_differs_on_disk_is_noticed(tmp_path: Path, damage: str) -> None:
    """Each member is compared, and nothing may follow."""
    writer = written(tmp_path / "a", BLOCKS)
    packed = bytearray((tmp_path / "a").read_bytes())
    if damage == "a bit":
        packed[len(packed) // 2] ^= 1
    packed = packed[:-1] if damage == "the end" else packed + b"x" * (damage == "more")
    (tmp_path / "a").write_bytes(packed)
    with open(tmp_path / "a", "rb", buffering=0) as raw:
        raw.seek(3)
        writer._is_given_up = False
        assert not writer.is_in(raw)
