"""The journal of a container's files survives a crash, odd names and a second writer."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest

from devenv.errors import StateError
from devenv.sync.container import journal
from devenv.sync.container.journal import JournalRecord, StagedPaths, SyncJournal, forget_others


def test_a_later_process_reads_what_was_noted(tmp_path: Path) -> None:
    """It has placed, removed, staged and executable files, with any names; the image's x bit outlasts a delete."""
    first = SyncJournal.of(str(tmp_path / "puts"), "c1")
    first.note(placed=["/a", "/b/", "/odd\n\udcff"], staged=["/.s~", "/.t~"], executable=["/a", "/x"])
    first.note(gone=["/a", "/.s~"])
    assert SyncJournal.of(str(tmp_path / "puts"), "c1").read() == JournalRecord(
        frozenset({"/b/", "/odd\n\udcff"}), frozenset({"/.t~"}), frozenset({"/a", "/x"})
    )
    assert SyncJournal.of(str(tmp_path / "puts"), "c2").read() == JournalRecord()


def test_a_torn_record_is_ignored(tmp_path: Path) -> None:
    """A crash in the middle of a write loses only that record."""
    path = tmp_path / "c1"
    path.write_bytes(b"/whole//+\0/to")
    SyncJournal(str(path)).note(placed=["/next"])
    assert SyncJournal(str(path)).read().placed == {"/whole", "/next"}


def test_a_journal_is_rewritten_if_most_of_it_is_outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it rewrites it as a shorter journal with the same meaning."""
    monkeypatch.setattr(journal, "COMPACT_FROM", 100)
    writer = SyncJournal(str(tmp_path / "c1"))
    for _ in range(50):
        writer.note(placed=["/a"])
        writer.note(gone=["/a"])
    writer.note(placed=["/b"], staged=["/.s~"])
    expected = JournalRecord(frozenset({"/b"}), frozenset({"/.s~"}))
    assert writer.read() == expected
    assert (tmp_path / "c1").stat().st_size < 20
    writer.note(placed=["/c"])
    assert writer.read().placed == {"/b", "/c"}


def test_journals_of_containers_that_are_gone_are_deleted(tmp_path: Path) -> None:
    """The journals of other containers stay."""
    for name in ("c1", "c2", "c3"):
        SyncJournal.of(str(tmp_path), name).note(placed=["/a"])
    SyncJournal.of(str(tmp_path), "c3").forget()
    forget_others(str(tmp_path), {"c2"})
    assert [path.name for path in tmp_path.iterdir()] == ["c2"]


def test_a_journal_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A link instead of the journal is not followed."""
    (tmp_path / "c1").symlink_to(tmp_path / "elsewhere")
    SyncJournal(str(tmp_path / "c1")).note(placed=["/a"])
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_is_neither_read_nor_written_nor_emptied(tmp_path: Path) -> None:
    """A journal that is a link is empty; files in a folder that a link points to are not removed."""
    (tmp_path / "victim").mkdir(mode=0o700)
    (tmp_path / "victim/c1").write_bytes(content := b"/theirs//+\0")
    (tmp_path / "puts").mkdir(mode=0o700)
    (tmp_path / "puts/c1").symlink_to(tmp_path / "victim/c1")
    journal = SyncJournal.of(str(tmp_path / "puts"), "c1")
    journal.note(placed=["/mine"])
    assert journal.read() == JournalRecord()
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    forget_others(str(tmp_path / "link"), {"c2"})
    with pytest.raises(StateError, match="link is a symbolic link"):
        SyncJournal.of(str(tmp_path / "link"), "c1")
    assert (tmp_path / "victim/c1").read_bytes() == content


def test_staged_paths_are_in_the_journal_as_long_as_they_may_be_there(tmp_path: Path) -> None:
    """They are recorded before anything is staged, until the staged file is known to be removed."""
    noted = SyncJournal(str(tmp_path / "journal"))
    staged = StagedPaths(noted)
    path, other = staged.add_new("/app/"), staged.add_new("/")
    assert (posixpath.dirname(path), posixpath.dirname(other)) == ("/app", "/")
    staged.add(["/app/a", "/app/b"])
    assert noted.read().staged == staged.paths == {path, other, "/app/a", "/app/b"}
    staged.forget([path])
    assert noted.read().staged == staged.paths == {other, "/app/a", "/app/b"}
    staged.keep(["/app/b", "/never/there"])
    assert noted.read().staged == staged.paths == {"/app/b"}
