"""Links that lead to themselves are those that the kernel refuses to follow."""

from __future__ import annotations

import contextlib
import errno
import os
import random
from pathlib import Path

import pytest

from devenv.sync.host import link_loops, scan
from devenv.sync.host.file_state import FileKind
from devenv.sync.host.manifest import Manifest

NAMES = ("a", "b", "c")
TEXTS = ("a", "b", "c", "./a", "../b", "a/c", "b/../a", "c/..", "..", ".", "/nowhere", "c/x", "../src/a")


def seen(folder: Path) -> Manifest:
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
    assert link_loops.loops(seen(root)) == kernel(root)


def test_a_long_chain_is_refused_as_the_kernel_refuses_it(tmp_path: Path) -> None:
    """Forty links are followed, and no more."""
    for number in range(60):
        (tmp_path / f"l{number}").symlink_to(f"l{number + 1}")
    assert link_loops.loops(seen(tmp_path)) == kernel(tmp_path)


def test_a_loop_is_no_link_until_it_leads_elsewhere(tmp_path: Path) -> None:
    """It stays a loop even if another link than the changed one is concerned."""
    (tmp_path / "a").symlink_to("b")
    now = link_loops.mark_loops(seen(tmp_path))
    assert now[str(tmp_path / "a")].kind is FileKind.LINK
    (tmp_path / "b").symlink_to("a")
    fresh = link_loops.with_loops(now, {str(tmp_path / "b"): scan.state(str(tmp_path / "b"))})
    assert {path: state and state.kind for path, state in fresh.items()} == {
        str(tmp_path / "a"): FileKind.OTHER,
        str(tmp_path / "b"): FileKind.OTHER,
    }
    now.update((path, state) for path, state in fresh.items() if state is not None)
    (tmp_path / "b").unlink()
    fresh = link_loops.with_loops(now, {str(tmp_path / "b"): None})
    assert fresh[str(tmp_path / "b")] is None
    assert fresh[str(tmp_path / "a")] == now[str(tmp_path / "a")].but(kind=FileKind.LINK)


def test_where_no_link_changes_nothing_is_looked_at(tmp_path: Path) -> None:
    """The states come back as they are: a save costs nothing."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    now = seen(tmp_path)  # not settled, to show that it is left alone
    fresh = {str(tmp_path / "file"): scan.state(str(tmp_path / "file"))}
    assert link_loops.with_loops(now, fresh) is fresh


def test_a_first_look_marks_every_loop(tmp_path: Path) -> None:
    """Other links stay links, also dangling ones."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loose").symlink_to("nowhere")
    states = link_loops.mark_loops(seen(tmp_path))
    assert [states[str(tmp_path / name)].kind for name in ("loop", "loose")] == [FileKind.OTHER, FileKind.LINK]
    assert states[str(tmp_path / "loop")].link == "loop"
