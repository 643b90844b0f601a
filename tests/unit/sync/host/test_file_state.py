"""The packed state of a path has all values that it was made of."""

from __future__ import annotations

from devenv.sync.host.file_state import FileKind, FileState

FILE = FileState(FileKind.FILE, 0o644, 3, 10, 20, 7)


def test_a_state_has_the_values_that_it_was_made_of() -> None:
    """They are packed; the text of a link may be any bytes, and of a time beyond 64 bits only equality is kept."""
    state = FileState(FileKind.LINK, 0o777, 1 << 40, -1, 1_700_000_000_123_456_789, (1 << 64) - 1, "\udcff=")
    assert (state.kind, state.mode, state.size, state.inode) == (FileKind.LINK, 0o777, 1 << 40, (1 << 64) - 1)
    assert (state.ctime_ns, state.link) == (1_700_000_000_123_456_789, "\udcff=")
    assert repr(FILE) == "FileState(<FileKind.FILE: 'file'>, 420, 3, 10, 20, 7, None)"
    assert (FILE.doubtful().mode, FILE.doubtful().is_doubtful, FILE.is_doubtful) == (-1, True, False)
    late = FILE.but(mtime_ns=1 << 63)
    assert late == FILE.but(mtime_ns=1 << 63)
    assert late not in (FILE, FILE.but(mtime_ns=(1 << 63) + 1))
    assert late.has_status(3, 1 << 63, 20, 7)
    assert not late.has_status(3, 10, 20, 7)
