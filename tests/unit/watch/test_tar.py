"""What we pack against the standard library's reader."""

from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from devenv.watch import tar
from devenv.watch.tar import Entry

NAMES = st.one_of(
    st.binary(min_size=1, max_size=300).map(lambda name: b"n" + name.replace(b"\0", b"0").replace(b"/", b"_") + b"n"),
    st.text("ab/ü", max_size=250).map(lambda name: f"n{name}n".replace("//", "/").encode()),
)
TIMES = st.integers(min_value=-(10**19), max_value=10**22)
IDS = st.sampled_from([0, 1000, tar.MOST_ID, tar.MOST_ID + 1, 1_000_620_000])
FILES = st.builds(Entry, NAMES, st.just(tar.FILE), st.integers(0, 0o777), TIMES, IDS, IDS, st.binary(max_size=2000))
LINKS = st.builds(Entry, NAMES, st.just(tar.LINK), st.just(0o777), TIMES, IDS, IDS, st.just(b""), NAMES)
FOLDERS = st.builds(Entry, NAMES, st.just(tar.FOLDER), st.just(0o755), TIMES, IDS, IDS)


@given(st.lists(st.one_of(FILES, LINKS, FOLDERS), max_size=6))
def test_all_that_is_packed_is_read_back(entries: list[Entry]) -> None:
    """Names of any bytes and length, owners, times to the nanosecond, contents, in their order."""
    kinds = {tarfile.REGTYPE: tar.FILE, tarfile.SYMTYPE: tar.LINK, tarfile.DIRTYPE: tar.FOLDER}
    with tarfile.open(fileobj=io.BytesIO(tar.packed(entries)), errors="surrogateescape") as archive:
        found = []
        for info in archive:
            file = archive.extractfile(info) if info.isfile() else None
            name, link = (text.encode("utf-8", "surrogateescape") for text in (info.name, info.linkname))
            content = file.read() if file else b""
            found.append((name, kinds[info.type], info.mode, info.uid, info.gid, content, link))
            _same_time(info, entries[len(found) - 1].mtime_ns)
    assert found == [(e.name, e.kind, e.mode, e.uid, e.gid, e.content, e.link) for e in entries]


def _same_time(info: tarfile.TarInfo, expected: int) -> None:
    text = info.pax_headers.get("mtime")
    if text is None:
        assert int(info.mtime) * tar.NANO == expected
        return
    seconds, _, fraction = text.lstrip("-").partition(".")
    assert (int(seconds) * tar.NANO + int(fraction)) * (-1 if text.startswith("-") else 1) == expected


def test_a_record_counts_its_own_length() -> None:
    """`length key=value`, also where counting the digits of the length adds one."""
    for size in range(300):
        record = tar._record(b"path", b"x" * size)
        assert int(record.partition(b" ")[0]) == len(record)


def test_a_plain_entry_needs_no_extended_header() -> None:
    """A whole second, a short name: one block and the content's."""
    entry = Entry(b"a/b", tar.FILE, 0o644, 5 * tar.NANO, 0, 0, b"x" * 513)
    assert len(tar.packed([entry])) == (1 + 2 + 2) * tar.BLOCK
