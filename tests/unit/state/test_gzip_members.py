"""Gzip files of many members: any gzip program reads them, and every damage is noticed."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import zlib
from pathlib import Path
from types import ModuleType

import pytest

from devenv.state import gzip_members
from devenv.state.gzip_members import BLOCK, Gunzip, InOrder, StoredDigest, blocks, content, member

DICE = random.Random(7)
NOISE = DICE.randbytes(BLOCK)
TEXT = b"".join(b"%d: insert into orders\n" % number for number in range(60_000))[:BLOCK]
CONTENTS = [TEXT, NOISE, b"x", bytes(BLOCK), DICE.randbytes(4096) + TEXT[4096:], TEXT[:5000]]


@pytest.fixture(params=["isal", "zlib"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    library: ModuleType = zlib if request.param == "zlib" else pytest.importorskip("isal.isal_zlib")
    monkeypatch.setattr(gzip_members, "fast", library)


def pieces_of(packed: bytes, size: int = 1000) -> bytes:
    """The content as `Gunzip` sees it, with the file in pieces of that size."""
    reader = Gunzip()
    plain = b"".join(p for at in range(0, len(packed), size) for p in reader.pieces(packed[at : at + size]))
    assert reader.is_complete
    return plain


def buffered(packed: bytes) -> io.BufferedReader:
    """A file with this content."""
    return io.BufferedReader(io.BytesIO(packed))


@pytest.mark.usefixtures("_library")
def test_any_gzip_program_reads_the_members(tmp_path: Path) -> None:
    """Python's gzip, the program gzip, and both readers see the same content."""
    packed = b"".join(map(member, CONTENTS))
    whole = b"".join(CONTENTS)
    (tmp_path / "a.gz").write_bytes(packed)
    assert gzip.decompress(packed) == whole
    program = subprocess.run(["gzip", "-dc", tmp_path / "a.gz"], check=True, capture_output=True)
    assert program.stdout == whole
    assert pieces_of(packed) == whole
    assert b"".join(blocks(buffered(packed))) == whole
    file = buffered(b"before" + packed)
    file.seek(6)
    assert b"".join(blocks(file)) == whole


@pytest.mark.usefixtures("_library")
def test_what_does_not_compress_is_stored() -> None:
    """Text gets smaller, noise hardly larger; the content of each member is found again."""
    sizes = [len(member(block)) for block in CONTENTS]
    assert sizes[0] < BLOCK // 3
    assert BLOCK < sizes[1] < BLOCK + 400
    assert [content(member(block)[gzip_members.HEADER.size :]) for block in CONTENTS] == CONTENTS


def test_files_of_one_member_are_read() -> None:
    """As earlier versions of devenv and other programs write them; they are not cut unnoticed."""
    whole = TEXT + NOISE + bytes(5 * BLOCK)
    packed = gzip.compress(whole, 1)
    assert b"".join(blocks(buffered(packed))) == whole
    assert max(map(len, blocks(buffered(packed)))) <= BLOCK
    with pytest.raises(EOFError):
        b"".join(blocks(buffered(packed[:-1])))


@pytest.mark.parametrize(
    "damage", ["cut", "cut in a header", "a flipped bit", "something after it", "a cut first header"]
)
def test_damage_is_an_error(damage: str) -> None:
    """Nothing else than the content of all members passes for the content."""
    packed = b"".join(member(TEXT[: 1000 * n]) for n in (1, 2, 3))
    last = packed.rindex(gzip_members.MAGIC)
    damaged = {
        "cut": packed[:-1],
        "cut in a header": packed[: last + 10],
        "something after it": packed + b"more",
        "a cut first header": packed[:10],
    }
    for at in range(len(packed)) if damage == "a flipped bit" else (0,):
        tipped = bytes([*packed[:at], packed[at] ^ 4, *packed[at + 1 :]])
        try:
            plain = b"".join(blocks(buffered(damaged.get(damage, tipped))))
        except (zlib.error, EOFError):
            continue
        assert (damage, plain) == ("a flipped bit", gzip.decompress(packed)), at  # of a time, or another unused field


def test_a_compressor_that_fails_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compressed is decompressed and compared, before it counts."""
    monkeypatch.setattr(gzip_members, "_deflated", lambda block: zlib.compress(block[:-1] + b"?", 1, -15))
    with pytest.raises(zlib.error, match="differs"):
        member(TEXT)


def test_empty_members_are_refused() -> None:
    """A small file could hold very many of them."""
    with pytest.raises(zlib.error, match="empty"):
        [*Gunzip().pieces(gzip.compress(b"x") + gzip.compress(b""))]


def test_results_come_in_order_and_errors_where_they_happened() -> None:
    """However long each item takes; only so many are in work at a time."""

    def work(item: bytes) -> bytes:
        if item == b"5":
            raise ValueError(item)
        return zlib.decompress(zlib.compress(item * DICE.randint(1, 300_000)))[:1]

    order = InOrder(work)
    results = []
    for number in range(8):
        order.add(str(number).encode())
        if order.is_full:
            results.append(order.next())
    while len(results) < 5:
        results.append(order.next())
    assert results == [b"0", b"1", b"2", b"3", b"4"]
    with pytest.raises(ValueError, match="5"):
        order.next()
    assert order.next() == b"6"
    order.close()
    assert not order.is_busy


def digest(packed: bytes, size: int = 1000) -> str:
    """The digest of a file that arrives in pieces of that size."""
    found = StoredDigest()
    for at in range(0, len(packed), size):
        found.update(packed[at : at + size])
    return found.hexdigest()


def test_every_damage_changes_the_digest() -> None:
    """A bit anywhere, a cut anywhere, an exchange of members, and what follows; however the file arrives."""
    first, second = member(TEXT[:3000]), member(TEXT[3000:5000])
    packed = first + second
    found = digest(packed)
    assert {digest(packed, size) for size in (1, 7, len(first), len(packed))} == {found}
    others = [packed[:at] + bytes([packed[at] ^ 8]) + packed[at + 1 :] for at in range(len(packed))]
    others += [packed[:at] for at in range(len(packed))]
    others += [second + first, packed + b"x", packed + packed[-4:], first, packed + first]
    assert found not in map(digest, others)


@pytest.mark.parametrize("packed", [gzip.compress(TEXT), b"", b"short", bytes(100)])
def test_the_digest_of_another_file_is_that_of_its_bytes(packed: bytes) -> None:
    """As devenv 0.1 noted it."""
    assert digest(packed) == hashlib.sha256(packed).hexdigest()
