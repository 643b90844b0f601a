"""Which files are read back from a container, and which of them are stale."""

from __future__ import annotations

from devenv.model.project import Action, Project, Service, WatchRule
from devenv.model.sync_plan import Sync
from devenv.sync import reconcile
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.rules import rules

FILE = FileState(FileKind.FILE, 0o644, 1, 1, 1, 1)
OTHER = FileState(FileKind.OTHER, 0o644, 0, 1, 1, 1)


def bound(*watch: WatchRule) -> tuple[rules.BoundRule, ...]:
    """The rules of a service of their own."""
    return rules.bind(Project("p", "/p", (), (Service("web", watch=watch),)), {})


def test_only_what_the_host_has_at_its_top_is_read_back() -> None:
    """A folder that exists only in the container costs nothing; from fifty names on the whole folder is read."""
    bound_rules = bound(WatchRule("/p/src", Action.SYNC, "/app"))
    assert reconcile.readback_roots(["/app/a/x", "/app/a/y/", "/app/b", "/elsewhere"], bound_rules) == {
        "/app/a",
        "/app/b",
    }
    assert reconcile.readback_roots([f"/app/{i}" for i in range(60)], bound_rules) == {"/app/"}


def test_what_is_read_with_its_folder_is_not_read_twice() -> None:
    """One rule is for a file, another for a folder that contains the target of that file."""
    watch = [("/p/src", "/app"), ("/p/lib", "/app/lib"), ("/p/f", "/etc/f"), ("/p/all", "/")]
    rules = bound(*(WatchRule(path, Action.SYNC, target) for path, target in watch[:3]))
    wanted = [*(f"/app/{i}" for i in range(60)), "/app/lib/x", "/etc/f"]
    assert reconcile.readback_roots(wanted, rules) == {"/app/", "/etc/f"}
    assert reconcile.readback_roots([f"/{i}" for i in range(60)], bound(WatchRule("/p", Action.SYNC, "/"))) == {"/"}


def test_stale_is_what_was_put_and_is_no_more_on_the_host() -> None:
    """Existing files, files that a rule ignores now, and files without a rule are not stale."""
    bound_rules = bound(
        WatchRule("/p/src", Action.SYNC, "/app", ignore=("*.log",)), WatchRule("/p/f", Action.SYNC, "/etc/f")
    )
    placed = {"/app/gone", "/app/old/", "/app/there", "/app/x.log", "/elsewhere", "/etc/f"}
    targets = reconcile.stale_targets(placed, bound_rules, {"/p/src/there": FILE})
    assert {path: state.kind for path, state in targets.items()} == {
        "/p/src/gone": FileKind.FILE,
        "/p/src/old": FileKind.DIR,
        "/p/f": FileKind.FILE,
    }


def test_what_another_rule_still_puts_there_is_not_stale() -> None:
    """Two folders have one target: the file of the remaining folder stays."""
    two = bound(WatchRule("/p/a", Action.SYNC, "/app"), WatchRule("/p/b", Action.SYNC, "/app"))
    assert reconcile.stale_targets({"/app/x"}, two, {"/p/a/x": FILE}) == {}
    assert set(reconcile.stale_targets({"/app/x"}, two, {})) == {"/p/b/x"}


def test_folders_are_named_with_a_slash() -> None:
    """As the journal tells folders from files."""
    assert reconcile.journal_paths([Sync("/p/a", "/a"), Sync("/p/d", "/d", folder=True)]) == {"/a", "/d/"}
    deep = [Sync(f"/p/b/c/{name}", f"/to/b/c/{name}", root="/p") for name in "xy"]
    assert reconcile.journal_paths(deep) == {"/to/b/", "/to/b/c/", "/to/b/c/x", "/to/b/c/y"}


def test_with_files_go_their_folders_also_where_a_file_is_there_now() -> None:
    """Folders between the rule's root and the file are deleted if they are no longer folders on the host."""
    bound_rules = bound(WatchRule("/p/src", Action.SYNC, "/app"))
    now = {"/p/src/a": FileState(FileKind.DIR, 0o755, 0, 0, 0, 0), "/p/src/flip": FILE}
    targets = reconcile.stale_targets({"/app/a/b/c/f", "/app/flip/g", "/app/flip/"}, bound_rules, now)
    assert {path: state.kind for path, state in targets.items()} == {
        "/p/src/a/b/c/f": FileKind.FILE,
        "/p/src/a/b/c": FileKind.DIR,
        "/p/src/a/b": FileKind.DIR,
        "/p/src/flip/g": FileKind.FILE,
        "/p/src/flip": FileKind.DIR,
    }


def test_a_pipe_or_a_loop_is_no_file_and_no_folder() -> None:
    """A file of the container with such a name is stale: the old content must not stay."""
    bound_rules = bound(WatchRule("/p/src", Action.SYNC, "/app"))
    now = {"/p/src/a": OTHER, "/p/src/d": OTHER, "/p/src/loop": OTHER.but(link="loop"), "/p/src/f": FILE}
    placed = {"/app/a", "/app/d/", "/app/d/x", "/app/loop", "/app/f"}
    assert reconcile.leftovers(placed, bound_rules, now) == placed - {"/app/f"}
    assert {path: state.kind for path, state in reconcile.stale_targets(placed, bound_rules, now).items()} == {
        "/p/src/a": FileKind.FILE,
        "/p/src/d": FileKind.DIR,
        "/p/src/d/x": FileKind.FILE,
        "/p/src/loop": FileKind.FILE,
    }


def test_a_folder_that_holds_something_else_does_not_go_with_its_files() -> None:
    """It is not listed for deletion, but the folders in it are."""
    bound_rules = bound(WatchRule("/p/src", Action.SYNC, "/app"))
    targets = reconcile.stale_targets({"/app/a/b/f"}, bound_rules, {}, kept={"/app/a/"})
    assert set(targets) == {"/p/src/a/b/f", "/p/src/a/b"}
