"""Manifests as dicts of states, and the difference of two states of the host's files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.paths import below
from devenv.sync.host import manifest
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Changes, Manifest, apply, diff

FILE = FileState(FileKind.FILE, 0o644, 3, 10, 20, 7)
DIR = FileState(FileKind.DIR, 0o755, 4096, 10, 20, 8)
LINK = FileState(FileKind.LINK, 0o777, 1, 10, 20, 9, "to")
OTHER = FileState(FileKind.OTHER, 0o600, 0, 10, 20, 6)


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
def test_diff(before: dict[str, FileState], now: dict[str, FileState | None], expected: str) -> None:
    """Each row of the table holds."""
    assert text(diff(Manifest(before), now)) == expected


def test_changes_are_true_where_there_are_any() -> None:
    """An empty difference is false."""
    assert not Changes()
    assert Changes(present=(("/a", FILE),))
    assert Changes(gone=(("/a", FILE),))


def test_apply_changes_the_manifest_in_place() -> None:
    """It is the same manifest, without deleted paths (unknown ones are ignored), and with the changed states."""
    manifest = Manifest({"/a": FILE, "/b": FILE})
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
    disk, manifest = Manifest(), Manifest()
    for step in steps:
        touched = {name for path, state in step for name in _put(disk, path, state)}
        # As in the scan of a touched folder, known paths below it are looked at as well.
        touched |= {known for known in manifest for path in touched if known.startswith(f"{path}/")}
        apply(manifest, diff(manifest, {path: disk.get(path) for path in touched}))
        assert manifest.keys() == disk.keys()
        assert all(manifest[path].is_same(state) for path, state in disk.items())


PLACES = ("/", "/a", "/a/x", "/a/x/1", "/a/y", "/a/é\udcff", "/ab", "/a/x/1/2", "/a/x/1/a")
_CHANGE = st.tuples(
    st.sampled_from(["set", "delete", "pop", "fill", "empty", "copy", "become"]),
    st.sampled_from(PLACES),
    st.one_of(st.none(), _STATES),
)


@pytest.fixture(scope="module")
def often_packed() -> Iterator[None]:
    """Folders are packed after every second change, unless they have three paths."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "MOST_PACKED", 2)
        patch.setattr(manifest, "MOST_LOOSE", 1)
        yield


def _change(it: Any, verb: str, path: str, state: FileState) -> Any:
    """The changed dict or manifest, which is another object after some changes; or the exception."""
    folder = path.rpartition("/")[0]
    if verb == "set":
        it[path] = state
    elif verb == "delete":
        try:
            del it[path]
        except KeyError:
            assert path not in it
    elif verb == "pop":
        it.pop(path, None)
    elif verb in ("fill", "empty"):
        content = {"1": state, path[-1].strip("/"): FILE} if verb == "fill" else {}
        if isinstance(it, Manifest):
            it.fill(folder, content)
        else:
            for known in [known for known in it if known.rpartition("/")[0] == folder]:
                del it[known]
            it.update((f"{folder}/{name}", now) for name, now in content.items())
    elif verb == "copy":
        return it.selection(lambda p: p != path) if isinstance(it, Manifest) else {p: it[p] for p in it if p != path}
    elif isinstance(it, Manifest):
        other, it = it, Manifest()
        it.become(other)
    return it


@pytest.mark.usefixtures("often_packed")
@given(st.lists(_CHANGE, max_size=20), st.lists(st.sampled_from(PLACES), max_size=2))
def test_a_manifest_is_a_dict(changes: list[tuple[str, str, FileState | None]], folders: list[str]) -> None:
    """After any changes, and the earlier copies are not changed with it."""
    packed, plain, copies = Manifest(), dict[str, FileState](), []
    for verb, path, state in changes:
        if verb == "copy":
            copies.append((packed, dict(plain)))
        packed, plain = _change(packed, verb, path, state or FILE), _change(plain, verb, path, state or FILE)
        assert packed == plain
    for one, other in [*copies, (packed, plain)]:
        assert dict(one.items()) == dict(one) == other
        assert len(one) == len(other)
        assert [one.get(path) for path in other] == [*other.values()]
        assert "/nowhere/x" not in one
        assert [path in one for path in PLACES] == [path in other for path in PLACES]
        assert one.special() == {path: s for path, s in other.items() if s.kind not in (FileKind.FILE, FileKind.DIR)}
        for folder in ("", "/a", "/a/x", "/nowhere"):
            assert one.names_in(folder) == {
                path.rpartition("/")[2] for path in other if path[: path.rfind("/")] == folder
            }
        assert one.named("x") == {path: s for path, s in other.items() if path.endswith("/x")}
        assert {*one.below(below(folders))} == {path for path in other if below(folders)(path)}
        assert one.differing(packed) == {p for p in {*other, *plain} if other.get(p) != plain.get(p)}


ROOT = "/p/src"
FILES = tuple(f"{ROOT}/f{i}" for i in range(4))


def state(kind: FileKind = FileKind.FILE, inode: int = 1) -> FileState:
    """A state with only a kind and an inode."""
    return FileState(kind, 0o644, 1, 1, 1, inode)


BEFORE = Manifest({ROOT: state(FileKind.DIR, 7), **{path: state() for path in FILES}})
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
    before = Manifest({"/p/f": state()})
    assert manifest.suppress_root_loss(before, {"/p/f": None}, ["/p/f"], frozenset()) == ({}, frozenset({"/p/f"}))
    back: manifest.Fresh = {"/p/f": state(inode=9)}
    assert manifest.suppress_root_loss(before, back, ["/p/f"], frozenset({"/p/f"})) == (back, frozenset())


def test_untouched_roots_are_not_held() -> None:
    """A root that never was there, or that this look is not about, holds nothing."""
    fresh: manifest.Fresh = {FILES[0]: None}
    assert manifest.suppress_root_loss(BEFORE, fresh, [ROOT, "/p/never"], frozenset()) == (fresh, frozenset())
