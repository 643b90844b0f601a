"""Counts and failures of several attempts."""

from __future__ import annotations

from devenv.sync.container.outcome import SyncOutcome
from devenv.sync.container.shell_commands import NO_FOLDER


def test_a_second_attempt_in_the_same_container_adds_up() -> None:
    """Files that failed first and arrived then are counted with the others."""
    outcome = SyncOutcome(files=2, deleted=1, bytes=10, failed={"/a": "first"})
    outcome.add(SyncOutcome(files=1, deleted=2, bytes=5, atomic=False, failed={"/b": "then"}))
    assert outcome == SyncOutcome(files=3, deleted=3, bytes=15, atomic=False, failed={"/a": "first", "/b": "then"})


def test_replicas_count_once() -> None:
    """A file that arrived in two replicas counts once; a file that failed in one of them has failed."""
    outcome = SyncOutcome(files=2, deleted=1, bytes=10)
    outcome.add(SyncOutcome(files=1, deleted=3, bytes=5, failed={"/b": "full"}), max)
    assert outcome == SyncOutcome(files=2, deleted=3, bytes=10, failed={"/b": "full"})


def test_one_replica_without_a_shell_is_enough_for_half_files() -> None:
    """A reader in that replica may have seen a partial file."""
    outcome = SyncOutcome()
    outcome.add(SyncOutcome(atomic=False), max)
    outcome.add(SyncOutcome(), max)
    assert outcome.atomic is False


def test_files_that_are_put_again_count_once() -> None:
    """Whether they were put or failed before."""
    outcome = SyncOutcome(files=3, failed={"/a": "taken", "/b": "full"})
    outcome.take_back(["/a", "/c"])
    assert outcome == SyncOutcome(files=2, failed={"/b": "full"})


def test_a_missing_folder_is_explained_by_the_outermost_that_could_not_be_created() -> None:
    """Its reason, not that of the file; other reasons stay, and so does one without a cause."""
    outcome = SyncOutcome(failed={"/a/b/c/x": NO_FOLDER, "/a/b/y": "full", "/d/z": NO_FOLDER})
    outcome.explain({"/a/b": "a file is there", "/a/b/c": NO_FOLDER})
    assert outcome.failed == {"/a/b/c/x": "a file is there", "/a/b/y": "full", "/d/z": NO_FOLDER}
