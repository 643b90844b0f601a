"""How the outcomes of two attempts, and of several replicas, become one."""

from __future__ import annotations

from devenv.sync.container.outcome import Outcome


def test_a_second_attempt_in_the_same_container_adds_up() -> None:
    """Files that failed first and arrived then are counted with the others."""
    outcome = Outcome(files=2, deleted=1, bytes=10, failed={"/a": "first"})
    outcome.add(Outcome(files=1, deleted=2, bytes=5, atomic=False, failed={"/b": "then"}))
    assert outcome == Outcome(files=3, deleted=3, bytes=15, atomic=False, failed={"/a": "first", "/b": "then"})


def test_replicas_count_once() -> None:
    """A file that arrived in two replicas is one file; what failed in any of them has failed."""
    outcome = Outcome(files=2, deleted=1, bytes=10)
    outcome.merge(Outcome(files=1, deleted=3, bytes=5, failed={"/b": "full"}))
    assert outcome == Outcome(files=2, deleted=3, bytes=10, failed={"/b": "full"})


def test_one_replica_without_a_shell_is_enough_for_half_files() -> None:
    """Whoever reads there may have seen one."""
    outcome = Outcome()
    outcome.merge(Outcome(atomic=False))
    outcome.merge(Outcome())
    assert outcome.atomic is False
