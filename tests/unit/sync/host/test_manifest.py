"""The difference of two states of the host's files."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.sync.host.manifest import Changes, FileState, Kind, Manifest, apply, diff

FILE = FileState(Kind.FILE, 0o644, 3, 10, 20, 7)
DIR = FileState(Kind.DIR, 0o755, 4096, 10, 20, 8)
LINK = FileState(Kind.LINK, 0o777, 1, 10, 20, 9, "to")
OTHER = FileState(Kind.OTHER, 0o600, 0, 10, 20, 6)


def text(changes: Changes) -> str:
    """The changes as one line: + what is present, - what is gone."""
    present = [f"+{path}:{state.kind}" for path, state in changes.present]
    return " ".join([f"-{path}:{state.kind}" for path, state in changes.gone] + present)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        # what is equal vanishes
        ({}, {}, ""),
        ({}, {"/a": None}, ""),
        ({"/a": FILE}, {"/a": FILE}, ""),
        ({"/a": FILE}, {}, ""),
        ({"/a": OTHER}, {"/a": replace(OTHER, mtime_ns=11)}, ""),
        # a file differs by everything that lstat says
        ({"/a": FILE}, {"/a": replace(FILE, mode=0o755)}, "+/a:file"),
        ({"/a": FILE}, {"/a": replace(FILE, size=4)}, "+/a:file"),
        ({"/a": FILE}, {"/a": replace(FILE, mtime_ns=11)}, "+/a:file"),
        ({"/a": FILE}, {"/a": replace(FILE, ctime_ns=21)}, "+/a:file"),
        ({"/a": FILE}, {"/a": replace(FILE, inode=70)}, "+/a:file"),
        # a folder by its mode, a link by its text
        ({"/a": DIR}, {"/a": replace(DIR, size=8192, mtime_ns=11, ctime_ns=21, inode=80)}, ""),
        ({"/a": DIR}, {"/a": replace(DIR, mode=0o700)}, ""),
        ({"/a": DIR.doubtful()}, {"/a": DIR}, "+/a:dir"),
        ({"/a": FILE.doubtful()}, {"/a": FILE}, "-/a:dir +/a:file"),
        ({"/a": FILE.doubtful()}, {"/a": DIR}, "-/a:file +/a:dir"),
        ({"/a": FILE.doubtful()}, {"/a": None}, "-/a:file"),
        # it may be a folder in the container: what is known below it goes along, and stays where the host has one
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": None}, "-/a/b:file -/a:file"),
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": LINK}, "-/a/b:file -/a:dir +/a:link"),
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": DIR}, "-/a:file +/a:dir"),
        # nothing is put in its place, so a file has to be removed, too
        ({"/a": FILE.doubtful()}, {"/a": OTHER}, "-/a:file +/a:other"),
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": OTHER}, "-/a/b:file -/a:file +/a:other"),
        ({"/a": OTHER.doubtful()}, {"/a": OTHER}, "-/a:file +/a:other"),
        ({"/a": OTHER.doubtful()}, {"/a": None}, "-/a:file"),
        ({"/a": LINK}, {"/a": replace(LINK, mtime_ns=11)}, ""),
        ({"/a": LINK}, {"/a": replace(LINK, inode=90)}, "+/a:link"),  # what was read in between was something else
        ({"/a": LINK}, {"/a": replace(LINK, ctime_ns=90)}, "+/a:link"),
        ({"/a": LINK}, {"/a": replace(LINK, link="from")}, "+/a:link"),
        # new and gone, in order
        ({}, {"/b": FILE, "/a/x": FILE, "/a": DIR}, "+/a:dir +/a/x:file +/b:file"),
        ({"/a": FILE, "/b": FILE}, {"/b": None, "/a": None}, "-/a:file -/b:file"),
        (
            {"/a": DIR, "/a/b": DIR, "/a/b/c": FILE, "/z/y": FILE},
            {"/a": None, "/a/b": None, "/a/b/c": None, "/z/y": None},
            "-/a/b/c:file -/a/b:dir -/z/y:file -/a:dir",
        ),
        # with a folder goes what is known below it, and nothing beside it
        (
            {"/a": DIR, "/a/b": DIR, "/a/b/c": FILE, "/a-b": FILE, "/ab": FILE},
            {"/a": None},
            "-/a/b/c:file -/a/b:dir -/a:dir",
        ),
        # a path that changes its kind is gone first
        ({"/a": FILE}, {"/a": DIR, "/a/b": FILE}, "-/a:file +/a:dir +/a/b:file"),
        ({"/a": DIR, "/a/b": FILE}, {"/a": FILE}, "-/a/b:file -/a:dir +/a:file"),
        ({"/a": FILE}, {"/a": LINK}, "-/a:file +/a:link"),
        ({"/a": LINK}, {"/a": OTHER}, "-/a:link +/a:other"),
        # a folder that came back between two looks: what is below it is put anew
        (
            {"/a": DIR, "/a/b": FILE, "/a/c": FILE},
            {"/a": None, "/a/b": FILE, "/a/c": None},
            "-/a/b:file -/a/c:file -/a:dir +/a/b:file",
        ),
        ({"/\udcff": FILE}, {"/\udcff": None, "/b": FILE}, "-/\udcff:file +/b:file"),
    ],
)
def test_diff(before: Manifest, now: dict[str, FileState | None], expected: str) -> None:
    """Each row of the table holds."""
    assert text(diff(before, now)) == expected


def test_changes_are_true_where_there_are_any() -> None:
    """An empty difference is false."""
    assert not Changes()
    assert Changes(present=(("/a", FILE),))
    assert Changes(gone=(("/a", FILE),))


def test_apply_changes_the_manifest_in_place() -> None:
    """The same dict comes back, with what is gone removed, also where it was unknown, and the rest replaced."""
    manifest = {"/a": FILE, "/b": FILE}
    changes = Changes(present=(("/b", DIR), ("/c", FILE)), gone=(("/a", FILE), ("/b", FILE), ("/x", FILE)))
    assert apply(manifest, changes) is manifest
    assert manifest == {"/b": DIR, "/c": FILE}


# A model of a disk: a folder holds names, and nothing exists below what is not a folder.
_PATHS = ("/a", "/a/x", "/a/x/1", "/a/y", "/b", "/b/x", "/c")
_STATES = st.sampled_from([FILE, replace(FILE, size=5), DIR, replace(DIR, mode=0o700), LINK, OTHER])
_STEP = st.lists(st.tuples(st.sampled_from(_PATHS), st.one_of(st.none(), _STATES)), min_size=1, max_size=4)


def _put(disk: Manifest, path: str, state: FileState | None) -> set[str]:
    """One thing done to the disk; the paths that an event would name."""
    parent = path.rpartition("/")[0]
    if parent and (parent not in disk or disk[parent].kind is not Kind.DIR):
        return set()
    if state is None or state.kind is not Kind.DIR:
        for below in [known for known in disk if known.startswith(f"{path}/")]:
            del disk[below]
    if state is None:
        disk.pop(path, None)
    else:
        disk[path] = state
    return {path}


@given(st.lists(_STEP, max_size=6))
def test_the_manifest_follows_the_disk(steps: list[list[tuple[str, FileState | None]]]) -> None:
    """After any steps, told only by the paths that were touched and walked, the manifest equals the disk."""
    disk: Manifest = {}
    manifest: Manifest = {}
    for step in steps:
        touched = {name for path, state in step for name in _put(disk, path, state)}
        # As the walk of a touched folder does: what was known below it is looked at as well.
        touched |= {known for known in manifest for path in touched if known.startswith(f"{path}/")}
        apply(manifest, diff(manifest, {path: disk.get(path) for path in touched}))
        assert manifest.keys() == disk.keys()
        assert all(manifest[path].is_same(state) for path, state in disk.items())
