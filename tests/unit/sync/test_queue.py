"""In a flood, a single edit does not wait, and no path is lost or taken twice."""

from __future__ import annotations

import math
import random

from devenv.sync.queue import EXPRESS, FEW, SLICE, Retries, SyncQueue


def flood(waiting: SyncQueue, count: int, folders: int) -> set[str]:
    """Paths spread over folders, all waiting."""
    paths = {f"/p/d{i % folders}/f{i}" for i in range(count)}
    for path in sorted(paths):
        waiting.add(path, gone=False)
    return paths


def test_few_paths_are_taken_at_once() -> None:
    """Up to a slice, everything is taken."""
    waiting = SyncQueue()
    paths = flood(waiting, SLICE, 3)
    assert len(waiting) == SLICE
    assert waiting.take() == paths
    assert not waiting


def test_an_edit_in_a_folder_of_its_own_overtakes_the_flood() -> None:
    """The size of the queue does not matter."""
    waiting = SyncQueue()
    flood(waiting, 20 * SLICE, 10)
    waiting.add("/p/mine/edit", gone=False)
    taken = waiting.take()
    assert "/p/mine/edit" in taken
    assert len(taken) <= SLICE + EXPRESS


def test_a_new_folder_is_taken_with_the_files_that_wait_in_it() -> None:
    """In one slice as long as they are not very many: to put files into a new folder takes the least time."""
    waiting = SyncQueue()
    folders = [f"/p/d{i}" for i in range(30)]
    for folder in folders:
        waiting.add(folder, gone=False)
        for i in range(100):
            waiting.add(f"{folder}/f{i}", gone=False)
    taken = waiting.take()
    whole = [folder for folder in folders if folder in taken]
    assert taken == {*whole, *(f"{folder}/f{i}" for folder in whole for i in range(100))}
    assert SLICE <= len(taken) < SLICE + 200


def test_a_large_folder_is_taken_in_slices() -> None:
    """The folder itself goes with its first files."""
    waiting = SyncQueue()
    waiting.add("/p/large", gone=False)
    for i in range(2 * SLICE):
        waiting.add(f"/p/large/f{i}", gone=False)
    sizes = []
    while waiting:
        sizes.append(len(waiting.take()))
    assert sizes == [SLICE + 1, SLICE]


def test_slices_of_a_slow_container_are_small_though_folders_are_cut() -> None:
    """A save in between would wait for a whole folder."""
    waiting = SyncQueue()
    flood(waiting, 20 * SLICE, 100)
    waiting.took(40, 2.0)
    assert len(waiting.take()) == 40


def test_deleted_paths_are_taken_first() -> None:
    """A folder can be removed only when it is empty."""
    waiting = SyncQueue()
    flood(waiting, 2 * SLICE, 2)
    gone = {f"/p/old/g{i}" for i in range(2 * SLICE)}
    for path in gone:
        waiting.add(path, gone=True)
    assert gone <= waiting.take()


def test_a_folder_that_may_have_been_a_file_goes_with_what_is_in_it() -> None:
    """Its parents never stay behind a path."""
    waiting = SyncQueue()
    flood(waiting, 2 * SLICE, 1)
    waiting.add("/p/new", gone=False)
    waiting.add("/p/new/deep", gone=False)
    for i in range(FEW + 1):
        waiting.add(f"/p/new/deep/f{i}", gone=False)
    seen: set[str] = set()
    while waiting:
        taken = waiting.take()
        for path in taken | seen:
            assert not any(parent in waiting for parent in ("/p/new", "/p/new/deep") if path.startswith(f"{parent}/"))
        seen |= taken


def test_every_path_is_taken_exactly_once_after_its_last_change() -> None:
    """Random adds and takes, with a fixed seed: a path that was added waits until it is taken."""
    rng = random.Random(7)
    waiting = SyncQueue()
    expected: set[str] = set()
    for _ in range(4000):
        path = f"/p/d{rng.randrange(40)}/f{rng.randrange(60)}"
        waiting.add(path, gone=rng.random() < 0.2)
        expected.add(path)
        if rng.random() < 0.002:
            taken = waiting.take()
            assert taken <= expected
            expected -= taken
        assert len(waiting) == len(expected)
    assert set(waiting) == expected == waiting.take_all()
    assert not waiting


def test_slices_are_as_large_as_lets_nobody_wait() -> None:
    """Slow containers get smaller slices, fast ones larger, within bounds; a single save changes nothing."""
    waiting = SyncQueue()
    flood(waiting, 20 * SLICE, 10)
    for seconds, size in ((2.0, 40), (0.06, 80), (0.001, 2000), (2000.0, 40)):
        waiting.took(40, seconds)
        waiting.took(1, 5.0)
        assert len(waiting.take()) == size


def test_failed_paths_wait_twice_as_long_each_time() -> None:
    """A quarter of a second first, four seconds at most; all are tried at once."""
    retries = Retries()
    assert (retries.take(1e9), retries.due) == (set(), math.inf)
    pauses = []
    for _ in range(6):
        retries.add({"/a"}, 100.0)
        pauses.append(retries.due - 100.0)
        assert retries.take(retries.due - 0.01) == set()
        assert retries.take(retries.due) == {"/a"}
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


def test_a_path_that_fails_later_does_not_put_off_the_others() -> None:
    """A large file waits for long only if it is alone."""
    retries = Retries()
    retries.add({"/a"}, 100.0)
    retries.add({"/large"}, 100.1, at_least=30.0)
    assert retries.due == 100.25
    assert retries.take(100.25) == {"/a", "/large"}
    retries.add({"/large"}, 101.0, at_least=30.0)
    assert retries.due == 131.0


def test_the_pause_is_short_again_after_a_success_or_with_a_new_container() -> None:
    """A success while others wait says nothing about them."""
    retries = Retries()
    for _ in range(4):
        retries.add({"/a"}, 100.0)
    retries.relax()
    assert (retries.paths, retries.due) == ({"/a"}, 100.25)
    retries.hasten(200.0)
    assert retries.due == 200.25
    retries.take(300.0)
    retries.relax()
    retries.hasten(300.0)
    assert retries.due == math.inf
    retries.add({"/a"}, 300.0)
    assert retries.due == 300.25
