"""The files of containers that Compose's `run` creates."""

from __future__ import annotations

from devenv.compose.remote_files import RemoteFiles
from devenv.compose.resolve import Loaded
from devenv.inspect.one_off_files import without_other_rules
from devenv.model.project import Action, Project, Service, WatchRule


def test_only_rules_in_place_of_mounts_count() -> None:
    """As with an engine that has the files, where `run` does not sync."""
    rules = tuple(WatchRule(f"/shop/{name}", Action.SYNC, f"/{name}") for name in ("own", "mounted"))
    project = Project("shop", "/shop", (), (Service("web", watch=rules), Service("db", watch=rules[:1])))
    remote = RemoteFiles(mounts={("web", 1): "/mounted"})
    web, db = without_other_rules(Loaded(project, {}, remote=remote)).services
    assert (web.watch, db.watch) == (rules[1:], ())
