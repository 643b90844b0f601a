"""How the benchmarks compare a container with the tree, and when all files have arrived."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from benchmarks import trees
from benchmarks.waiting import until, until_all


def test_names_are_spread_evenly() -> None:
    """The files are spread over the given number of folders, and no two have the same name."""
    names = trees.names(1_000, 10)

    assert len(set(names)) == 1_000
    assert {len([name for name in names if name.startswith(f"d{i:03}/")]) for i in range(10)} == {100}


def test_every_difference_is_counted(tmp_path: Path) -> None:
    """One file is missing, one is extra, one has another content of the same size, one has become a link."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        trees.write(folder, ["a/same", "a/other", "b/link"], b"0")
    trees.write(source, ["a/missing", ".git/index"], b"0")
    trees.write(target, ["c/stray"], b"0")
    (target / "a/other").write_bytes(b"a/other1")
    (target / "b/link").unlink()
    (target / "b/link").symlink_to(source / "b/link")

    assert trees.differences(source, source) == 0
    assert trees.differences(source, target) == 4


def test_arrival_is_complete_with_the_last_file() -> None:
    """The arrival is complete once each file was seen, in whatever order the files come."""
    asked: Counter[int] = Counter()

    def seen(item: int) -> bool:
        asked[item] += 1
        return asked[item] > 200 - item  # the last file comes first

    waited = until_all(range(200), seen, 60, began=time.perf_counter())

    assert waited.complete
    assert asked == {item: 201 - item for item in range(200)}


def test_waiting_ends_after_the_cap_or_a_quiet_time(tmp_path: Path) -> None:
    """After the cap, or when nothing came for a while, with the time that was waited."""
    (tmp_path / "there").touch()
    files = [tmp_path / "there", tmp_path / "never"]

    capped = until_all(files, Path.exists, 0.05, began=time.perf_counter())
    stalled = until_all(files, Path.exists, 60, began=time.perf_counter(), stall=0.05)

    assert not capped.complete
    assert not stalled.complete
    assert 0.05 <= stalled.seconds < 30


def test_waiting_for_a_missing_file_ends_after_the_cap() -> None:
    """After the cap, waiting is over."""
    assert until(lambda: False, 0.02) is None
    assert until(lambda: True, 0) is not None
