"""A root that vanished, was emptied with its mount or was swapped takes nothing with it."""

from __future__ import annotations

import pytest

from devenv.sync.host import root_guard
from devenv.sync.host.manifest import FileState, Kind

ROOT = "/p/src"
FILES = tuple(f"{ROOT}/f{i}" for i in range(4))


def state(kind: Kind = Kind.FILE, inode: int = 1) -> FileState:
    """A state of which only kind and inode matter."""
    return FileState(kind, 0o644, 1, 1, 1, inode)


BEFORE = {ROOT: state(Kind.DIR, 7), **{path: state() for path in FILES}}
ALL_GONE = dict.fromkeys(FILES)


@pytest.mark.parametrize(
    ("root", "held"),
    [
        (None, True),
        (state(Kind.DIR, 8), True),
        (state(Kind.LINK, 8), True),
        (state(Kind.DIR, 7), False),  # emptied by somebody: the folder itself is what it was
    ],
)
def test_what_goes_with_the_root_is_held(root: FileState | None, *, held: bool) -> None:
    """A root away, another or no folder holds its files; the same folder, empty, does not."""
    fresh, roots = root_guard.suppress_root_loss(
        BEFORE, {ROOT: root, **ALL_GONE, "/p/else": None}, [ROOT], frozenset()
    )
    assert roots == ({ROOT} if held else frozenset())
    assert set(fresh) == ({"/p/else"} if held else {ROOT, *FILES, "/p/else"})


def test_another_folder_with_most_of_the_files_is_a_replacement() -> None:
    """`rm -r src; git checkout src`: one file less is one file deleted."""
    fresh, roots = root_guard.suppress_root_loss(
        BEFORE, {ROOT: state(Kind.DIR, 8), FILES[0]: None}, [ROOT], frozenset()
    )
    assert (set(fresh), roots) == ({ROOT, FILES[0]}, frozenset())


def test_late_word_of_single_files_is_held_too_and_new_ones_pass() -> None:
    """While the root is held, files that went stay; what is written into the other folder arrives."""
    late: root_guard.Fresh = {FILES[1]: None, f"{ROOT}/new": state()}
    fresh, roots = root_guard.suppress_root_loss(BEFORE, late, [ROOT], frozenset({ROOT}))
    assert (set(fresh), set(roots)) == ({f"{ROOT}/new"}, {ROOT})


def test_the_folder_itself_back_ends_it() -> None:
    """What is gone by then is gone."""
    fresh, roots = root_guard.suppress_root_loss(
        BEFORE, {ROOT: state(Kind.DIR, 7), FILES[0]: None}, [ROOT], frozenset({ROOT})
    )
    assert (set(fresh), roots) == ({ROOT, FILES[0]}, frozenset())


def test_a_file_as_root_is_held_until_it_is_there() -> None:
    """Editors move a file away before they write it anew."""
    before = {"/p/f": state()}
    assert root_guard.suppress_root_loss(before, {"/p/f": None}, ["/p/f"], frozenset()) == ({}, frozenset({"/p/f"}))
    back: root_guard.Fresh = {"/p/f": state(inode=9)}
    assert root_guard.suppress_root_loss(before, back, ["/p/f"], frozenset({"/p/f"})) == (back, frozenset())


def test_unknown_and_untouched_roots_are_nobodys_business() -> None:
    """A root that never was there, or that this look is not about, holds nothing."""
    fresh: root_guard.Fresh = {FILES[0]: None}
    assert root_guard.suppress_root_loss(BEFORE, fresh, [ROOT, "/p/never"], frozenset()) == (fresh, frozenset())
