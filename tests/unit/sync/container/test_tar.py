"""Archives, compared with those of the standard library."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.sync.container import tar
from devenv.sync.container.tar import TarEntry

NAMES = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda name: b"n" + name.replace(b"\0", b"0").replace(b"/", b"_") + b"n"),
    st.text("ab/ü", max_size=250).map(lambda name: f"n{name}n".replace("//", "/").encode()),
)
TIMES = st.integers(min_value=-(10**19), max_value=10**22)
IDS = st.sampled_from([0, 1000, tar.MOST_ID, tar.MOST_ID + 1, 1_000_620_000])
FILES = st.builds(
    TarEntry, NAMES, st.just(tar.FILE), st.integers(0, 0o777), TIMES, IDS, IDS, st.binary(max_size=2000)
)
LINKS = st.builds(TarEntry, NAMES, st.just(tar.LINK), st.just(0o777), TIMES, IDS, IDS, st.just(b""), NAMES)
FOLDERS = st.builds(TarEntry, NAMES, st.just(tar.FOLDER), st.just(0o755), TIMES, IDS, IDS)


@given(st.lists(st.one_of(FILES, LINKS, FOLDERS), max_size=6))
def test_entries_are_read_back(entries: list[TarEntry]) -> None:
    """Names of any bytes and length, owners, times to the nanosecond, contents, in their order."""
    kinds = {tarfile.REGTYPE: tar.FILE, tarfile.SYMTYPE: tar.LINK, tarfile.DIRTYPE: tar.FOLDER}
    with tarfile.open(fileobj=io.BytesIO(tar.packed(entries)), errors="surrogateescape") as archive:
        members = []
        for info in archive:
            file = archive.extractfile(info) if info.isfile() else None
            name, link = (text.encode("utf-8", "surrogateescape") for text in (info.name, info.linkname))
            content = file.read() if file else b""
            members.append((name, kinds[info.type], info.mode, info.uid, info.gid, content, link))
            _same_time(info, entries[len(members) - 1].mtime_ns)
    assert members == [(e.name, e.kind, e.mode, e.uid, e.gid, e.content, e.link) for e in entries]


def _same_time(info: tarfile.TarInfo, expected: int) -> None:
    text = info.pax_headers.get("mtime")
    if text is None:
        assert int(info.mtime) * tar.NANO == expected
        return
    seconds, _, fraction = text.lstrip("-").partition(".")
    assert (int(seconds) * tar.NANO + int(fraction)) * (-1 if text.startswith("-") else 1) == expected


def test_a_record_counts_its_own_length() -> None:
    """A record is `length key=value`, even if the digits of the length make it longer."""
    for size in range(300):
        record = tar._record(b"path", b"x" * size)
        assert int(record.partition(b" ")[0]) == len(record)


def test_a_plain_entry_needs_no_extended_header() -> None:
    """With a short name and a time in whole seconds, an entry is one block and the content."""
    entry = TarEntry(b"a/b", tar.FILE, 0o644, 5 * tar.NANO, 0, 0, b"x" * 513)
    assert len(tar.packed([entry])) == (1 + 2 + 2) * tar.BLOCK


def read(data: bytes, sizes: Iterable[int]) -> tuple[list[tuple[tar.Member, bytes]], bool]:
    """All entries with their contents, from pieces of these sizes, and whether the end of the archive was read."""
    reader, members, content, at = tar.TarReader(), [], b"", 0
    for size in (*sizes, len(data)):
        for member, piece, is_last in reader.feed(data[at : at + size]):
            content += piece
            if is_last:
                assert len(content) == member.size
                members.append((member, content))
                content = b""
        at += size
    return members, reader.ended


SIZES = st.lists(st.integers(1, 3000), max_size=12)


@given(st.lists(st.one_of(FILES, LINKS, FOLDERS), max_size=6), SIZES)
def test_an_archive_is_read_in_pieces_of_any_size(entries: list[TarEntry], sizes: list[int]) -> None:
    """As the standard library reads it."""
    members, ended = read(tar.packed(entries), sizes)
    assert ended
    assert [(m.name, m.kind, m.mode, m.link, content) for m, content in members] == [
        (e.name, e.kind, e.mode, e.link, e.content) for e in entries
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_others_are_read(form: int) -> None:
    """Long names in each format, devices and pipes, large ids, and a global header."""
    names = ["short", f"{'d' * 90}/{'e' * 60}", "übung"]
    if form != tarfile.USTAR_FORMAT:
        names.append(f"{'x' * 120}/{'y' * 200}")
    out = io.BytesIO()
    headers = {"comment": "all"} if form == tarfile.PAX_FORMAT else None
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=headers) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.uid = 700, 2_000_000 if form != tarfile.USTAR_FORMAT else 7
            archive.addfile(info, io.BytesIO(name.encode()[:1] * 700))
        pipe = tarfile.TarInfo("pipe")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "to/" + ("z" * 150 if form != tarfile.USTAR_FORMAT else "z")
        archive.addfile(link)
    members, ended = read(out.getvalue(), [1, 511, 513, 2000])
    assert ended
    assert [(m.name.decode(), m.size) for m, _ in members] == [*((n, 700) for n in names), ("pipe", 0), ("link", 0)]
    assert (members[-2][0].kind, members[-1][0].link.decode()) == (tarfile.FIFOTYPE, link.linkname)


def test_a_cut_archive_has_no_end() -> None:
    """Complete entries are read, and the end is missing."""
    data = tar.packed(
        [TarEntry(b"a", tar.FILE, 0o644, 0, 0, 0, b"x" * 600), TarEntry(b"b", tar.FILE, 0o644, 0, 0, 0)]
    )
    for end in range(0, len(data) - tar.BLOCK, 100):
        members, ended = read(data[:end], [])
        assert not ended or end > len(data) - 2 * tar.BLOCK
        assert len(members) == (end >= 512 + 600) + (end >= 4 * 512)


def test_data_that_is_no_archive_is_refused() -> None:
    """It raises ValueError."""
    with pytest.raises(ValueError, match="no tar header"):
        read(b"x" * 2000, [])


def test_a_large_file_is_packed_in_pieces() -> None:
    """Header, content and end make the archive; a size above eleven octal digits has a record."""
    entry = TarEntry(b"big", tar.FILE, 0o600, 5, 1, 2)
    content = b"x" * 1300
    whole = tar.head(entry, len(content)) + content + tar.tail(len(content))
    assert whole == tar.packed([replace(entry, content=content)])
    ((member, _, _),) = tar.TarReader().feed(tar.head(entry, 9 * 2**30) + b"x")
    assert member.size == 9 * 2**30
