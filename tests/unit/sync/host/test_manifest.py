"""The difference of two states of the host's files."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.sync.host import manifest, scan
from devenv.sync.host.manifest import Changes, FileKind, FileState, Manifest, apply, diff

FILE = FileState(FileKind.FILE, 0o644, 3, 10, 20, 7)
DIR = FileState(FileKind.DIR, 0o755, 4096, 10, 20, 8)
LINK = FileState(FileKind.LINK, 0o777, 1, 10, 20, 9, "to")
OTHER = FileState(FileKind.OTHER, 0o600, 0, 10, 20, 6)


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


def text(changes: Changes) -> str:
    """The changes as one line: + what is present, - what is gone."""
    present = [f"+{path}:{state.kind}" for path, state in changes.present]
    return " ".join([f"-{path}:{state.kind}" for path, state in changes.gone] + present)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        # equal entries are left out
        ({}, {}, ""),
        ({}, {"/a": None}, ""),
        ({"/a": FILE}, {"/a": FILE}, ""),
        ({"/a": FILE}, {}, ""),
        ({"/a": OTHER}, {"/a": OTHER.but(mtime_ns=11)}, ""),
        # a file differs by everything that lstat says
        ({"/a": FILE}, {"/a": FILE.but(mode=0o755)}, "+/a:file"),
        ({"/a": FILE}, {"/a": FILE.but(size=4)}, "+/a:file"),
        ({"/a": FILE}, {"/a": FILE.but(mtime_ns=11)}, "+/a:file"),
        ({"/a": FILE}, {"/a": FILE.but(ctime_ns=21)}, "+/a:file"),
        ({"/a": FILE}, {"/a": FILE.but(inode=70)}, "+/a:file"),
        # a folder by its mode, a link by its text
        ({"/a": DIR}, {"/a": DIR.but(size=8192, mtime_ns=11, ctime_ns=21, inode=80)}, ""),
        ({"/a": DIR}, {"/a": DIR.but(mode=0o700)}, ""),
        ({"/a": DIR.doubtful()}, {"/a": DIR}, "+/a:dir"),
        ({"/a": FILE.doubtful()}, {"/a": FILE}, "-/a:dir +/a:file"),
        ({"/a": FILE.doubtful()}, {"/a": DIR}, "-/a:file +/a:dir"),
        ({"/a": FILE.doubtful()}, {"/a": None}, "-/a:file"),
        # The path may be a folder in the container: known paths below it are deleted, too, unless the host has one.
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": None}, "-/a/b:file -/a:file"),
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": LINK}, "-/a/b:file -/a:dir +/a:link"),
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": DIR}, "-/a:file +/a:dir"),
        # nothing is put in its place, so a file has to be removed, too
        ({"/a": FILE.doubtful()}, {"/a": OTHER}, "-/a:file +/a:other"),
        ({"/a": FILE.doubtful(), "/a/b": FILE}, {"/a": OTHER}, "-/a/b:file -/a:file +/a:other"),
        ({"/a": OTHER.doubtful()}, {"/a": OTHER}, "-/a:file +/a:other"),
        ({"/a": OTHER.doubtful()}, {"/a": None}, "-/a:file"),
        ({"/a": LINK}, {"/a": LINK.but(mtime_ns=11)}, ""),
        ({"/a": LINK}, {"/a": LINK.but(inode=90)}, "+/a:link"),  # another state was read in between
        ({"/a": LINK}, {"/a": LINK.but(ctime_ns=90)}, "+/a:link"),
        ({"/a": LINK}, {"/a": LINK.but(link="from")}, "+/a:link"),
        # new and deleted paths, in order
        ({}, {"/b": FILE, "/a/x": FILE, "/a": DIR}, "+/a:dir +/a/x:file +/b:file"),
        ({"/a": FILE, "/b": FILE}, {"/b": None, "/a": None}, "-/a:file -/b:file"),
        (
            {"/a": DIR, "/a/b": DIR, "/a/b/c": FILE, "/z/y": FILE},
            {"/a": None, "/a/b": None, "/a/b/c": None, "/z/y": None},
            "-/a/b/c:file -/a/b:dir -/z/y:file -/a:dir",
        ),
        # a folder is deleted with its known content, and nothing beside it
        (
            {"/a": DIR, "/a/b": DIR, "/a/b/c": FILE, "/a-b": FILE, "/ab": FILE},
            {"/a": None},
            "-/a/b/c:file -/a/b:dir -/a:dir",
        ),
        # a path that changes its kind is deleted first
        ({"/a": FILE}, {"/a": DIR, "/a/b": FILE}, "-/a:file +/a:dir +/a/b:file"),
        ({"/a": DIR, "/a/b": FILE}, {"/a": FILE}, "-/a/b:file -/a:dir +/a:file"),
        ({"/a": FILE}, {"/a": LINK}, "-/a:file +/a:link"),
        ({"/a": LINK}, {"/a": OTHER}, "-/a:link +/a:other"),
        # a folder that came back between two looks: its content is put again
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
    """The same dict is returned, without deleted paths (unknown ones are ignored), and with the changed states."""
    manifest = {"/a": FILE, "/b": FILE}
    changes = Changes(present=(("/b", DIR), ("/c", FILE)), gone=(("/a", FILE), ("/b", FILE), ("/x", FILE)))
    assert apply(manifest, changes) is manifest
    assert manifest == {"/b": DIR, "/c": FILE}


# A model of a disk: a folder has names, and only a folder has paths below it.
_PATHS = ("/a", "/a/x", "/a/x/1", "/a/y", "/b", "/b/x", "/c")
_STATES = st.sampled_from([FILE, FILE.but(size=5), DIR, DIR.but(mode=0o700), LINK, OTHER])
_STEP = st.lists(st.tuples(st.sampled_from(_PATHS), st.one_of(st.none(), _STATES)), min_size=1, max_size=4)


def _put(disk: Manifest, path: str, state: FileState | None) -> set[str]:
    """Change the disk once, and return the paths that an event would name."""
    parent = path.rpartition("/")[0]
    if parent and (parent not in disk or disk[parent].kind is not FileKind.DIR):
        return set()
    if state is None or state.kind is not FileKind.DIR:
        for below in [known for known in disk if known.startswith(f"{path}/")]:
            del disk[below]
    if state is None:
        disk.pop(path, None)
    else:
        disk[path] = state
    return {path}


@given(st.lists(_STEP, max_size=6))
def test_the_manifest_follows_the_disk(steps: list[list[tuple[str, FileState | None]]]) -> None:
    """After any steps, and scans of the touched paths only, the manifest equals the disk."""
    disk: Manifest = {}
    manifest: Manifest = {}
    for step in steps:
        touched = {name for path, state in step for name in _put(disk, path, state)}
        # As in the scan of a touched folder, known paths below it are looked at as well.
        touched |= {known for known in manifest for path in touched if known.startswith(f"{path}/")}
        apply(manifest, diff(manifest, {path: disk.get(path) for path in touched}))
        assert manifest.keys() == disk.keys()
        assert all(manifest[path].is_same(state) for path, state in disk.items())


NAMES = ("a", "b", "c")
TEXTS = ("a", "b", "c", "./a", "../b", "a/c", "b/../a", "c/..", "..", ".", "/nowhere", "c/x", "../src/a")


def seen(folder: Path) -> dict[str, FileState]:
    """The folder as the scan sees it."""
    return scan.scan([str(folder)], lambda _: False)


def kernel(folder: Path) -> set[str]:
    """The links that the kernel refuses to follow."""
    paths = set()
    for path in folder.rglob("*"):
        if path.is_symlink():
            try:
                os.stat(path)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    paths.add(str(path))
    return paths


@pytest.mark.parametrize("seed", range(60))
def test_loops_are_those_of_the_kernel(tmp_path: Path, seed: int) -> None:
    """The links of one tree point to any files, folders and links."""
    pick = random.Random(seed)
    root = tmp_path / "src"
    for place in (root, root / "a", root / "b"):
        with contextlib.suppress(OSError):
            place.mkdir()
        for name in NAMES:
            with contextlib.suppress(OSError):
                (place / name).symlink_to(pick.choice(TEXTS)) if pick.random() < 0.6 else (place / name).mkdir()
    assert manifest.loops(seen(root)) == kernel(root)


def test_a_long_chain_is_refused_as_the_kernel_refuses_it(tmp_path: Path) -> None:
    """Forty links are followed, and no more."""
    for number in range(60):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}")
    assert manifest.loops(seen(tmp_path)) == kernel(tmp_path)


def test_a_loop_is_no_link_until_it_leads_elsewhere(tmp_path: Path) -> None:
    """It stays a loop even if another link than the changed one is concerned."""
    (tmp_path / "a").symlink_to("b")
    now = manifest.mark_loops(seen(tmp_path))
    assert now[str(tmp_path / "a")].kind is FileKind.LINK
    (tmp_path / "b").symlink_to("a")
    fresh = manifest.with_loops(now, {str(tmp_path / "b"): scan.state(str(tmp_path / "b"))})
    assert {path: state and state.kind for path, state in fresh.items()} == {
        str(tmp_path / "a"): FileKind.OTHER,
        str(tmp_path / "b"): FileKind.OTHER,
    }
    now |= {path: state for path, state in fresh.items() if state is not None}
    (tmp_path / "b").unlink()
    fresh = manifest.with_loops(now, {str(tmp_path / "b"): None})
    assert fresh[str(tmp_path / "b")] is None
    assert fresh[str(tmp_path / "a")] == now[str(tmp_path / "a")].but(kind=FileKind.LINK)


def test_where_no_link_changes_nothing_is_looked_at(tmp_path: Path) -> None:
    """The states come back as they are: a save costs nothing."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    now = seen(tmp_path)  # not settled, to show that it is left alone
    fresh = {str(tmp_path / "file"): scan.state(str(tmp_path / "file"))}
    assert manifest.with_loops(now, fresh) is fresh


def test_a_first_look_marks_every_loop(tmp_path: Path) -> None:
    """Other links stay links, also dangling ones."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loose").symlink_to("nowhere")
    states = manifest.mark_loops(seen(tmp_path))
    assert [states[str(tmp_path / name)].kind for name in ("loop", "loose")] == [FileKind.OTHER, FileKind.LINK]
    assert states[str(tmp_path / "loop")].link == "loop"


ROOT = "/p/src"
FILES = tuple(f"{ROOT}/f{i}" for i in range(4))


def state(kind: FileKind = FileKind.FILE, inode: int = 1) -> FileState:
    """A state with only a kind and an inode."""
    return FileState(kind, 0o644, 1, 1, 1, inode)


BEFORE = {ROOT: state(FileKind.DIR, 7), **{path: state() for path in FILES}}
ALL_GONE = dict.fromkeys(FILES)


@pytest.mark.parametrize(
    ("root", "held"),
    [
        (None, True),
        (state(FileKind.DIR, 8), True),
        (state(FileKind.LINK, 8), True),
        (state(FileKind.DIR, 7), False),  # emptied by the user: the folder itself is the same
    ],
)
def test_files_lost_with_their_root_are_held(root: FileState | None, *, held: bool) -> None:
    """A root away, another or no folder holds its files; the same folder, empty, does not."""
    fresh, roots = manifest.suppress_root_loss(BEFORE, {ROOT: root, **ALL_GONE, "/p/else": None}, [ROOT], frozenset())
    assert roots == ({ROOT} if held else frozenset())
    assert set(fresh) == ({"/p/else"} if held else {ROOT, *FILES, "/p/else"})


def test_another_folder_with_most_of_the_files_is_a_replacement() -> None:
    """After `rm -r src; git checkout src` with one file less, one file is deleted."""
    fresh, roots = manifest.suppress_root_loss(
        BEFORE, {ROOT: state(FileKind.DIR, 8), FILES[0]: None}, [ROOT], frozenset()
    )
    assert (set(fresh), roots) == ({ROOT, FILES[0]}, frozenset())


def test_late_word_of_single_files_is_held_too_and_new_ones_pass() -> None:
    """While the root is held, removed files stay; files written into the new folder are synced."""
    late: manifest.Fresh = {FILES[1]: None, f"{ROOT}/new": state()}
    fresh, roots = manifest.suppress_root_loss(BEFORE, late, [ROOT], frozenset({ROOT}))
    assert (set(fresh), set(roots)) == ({f"{ROOT}/new"}, {ROOT})


def test_root_is_released_when_its_folder_is_back() -> None:
    """Files that are missing by then are deleted."""
    fresh, roots = manifest.suppress_root_loss(
        BEFORE, {ROOT: state(FileKind.DIR, 7), FILES[0]: None}, [ROOT], frozenset({ROOT})
    )
    assert (set(fresh), roots) == ({ROOT, FILES[0]}, frozenset())


def test_a_file_as_root_is_held_until_it_is_there() -> None:
    """Editors move a file away before they write it again."""
    before = {"/p/f": state()}
    assert manifest.suppress_root_loss(before, {"/p/f": None}, ["/p/f"], frozenset()) == ({}, frozenset({"/p/f"}))
    back: manifest.Fresh = {"/p/f": state(inode=9)}
    assert manifest.suppress_root_loss(before, back, ["/p/f"], frozenset({"/p/f"})) == (back, frozenset())


def test_untouched_roots_are_not_held() -> None:
    """A root that never was there, or that this look is not about, holds nothing."""
    fresh: manifest.Fresh = {FILES[0]: None}
    assert manifest.suppress_root_loss(BEFORE, fresh, [ROOT, "/p/never"], frozenset()) == (fresh, frozenset())
