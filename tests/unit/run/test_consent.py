"""What a project may do on this machine: reported, refused, or trusted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.compose.resolve import Loaded
from devenv.compose.safety.table import Danger
from devenv.errors import RefusedError, StateError
from devenv.events import Event, Notice
from devenv.model.project import SHELL, Action, Hook, Moment, Project, ProjectHook, Service, WatchRule
from devenv.run.consent import report_build_dangers, report_dangers, report_new_dangers, require_trust

HOST = ProjectHook(Moment.BEFORE_UP, Hook((*SHELL, "make gen\necho done")), where="compose.yml:4")
LISTED = ProjectHook(Moment.BEFORE_DOWN, Hook(("rm", "-r", "a b")), where="compose.yml:6")
INSIDE = ProjectHook(Moment.AFTER_HEALTHY, Hook(("seed",)), "db", "compose.yml:5")
DANGERS = (
    Danger("web", "web is privileged", ("services",), where="compose.yml:3"),
    Danger("db", "db shares all", ("services",), where="compose.yml:7"),
)


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's settings file, which does not exist yet, and a state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "config/devenv-compose/config.toml"
    path.parent.mkdir(parents=True)
    return path


def project(directory: Path, *hooks: ProjectHook) -> Project:
    """A project in a folder that has these hooks."""
    return Project("p", str(directory), (), (), hooks=hooks)


def loaded(*dangers: Danger) -> Loaded:
    """A loaded project with these dangers."""
    return Loaded(Project("p", "/p", (), ()), {}, dangers=dangers)


def test_dangers_are_shown_once() -> None:
    """There is one line each, only for services that will run; a later run shows only new dangers."""
    events: list[Event] = []
    shown = report_dangers(loaded(*DANGERS), {"web"}, events.append)
    assert events == [Notice("compose.yml:3: web is privileged")]
    moved = replace(DANGERS[0], where="compose.yml:30")
    assert report_dangers(loaded(moved), {"web"}, events.append, shown) == shown
    assert len(events) == 1
    report_dangers(loaded(moved, DANGERS[1]), {"web", "db"}, events.append, shown)
    assert events[1:] == [Notice("compose.yml:7: db shares all")]


def test_dangers_are_refused_where_the_user_says_so(config: Path) -> None:
    """Exit code 6 with every line, and the setting; dangers of services that do not run are not refused."""
    config.write_text('dangerous = "refuse"\n')
    events: list[Event] = []
    with pytest.raises(RefusedError) as caught:
        report_dangers(loaded(*DANGERS), {"web", "db"}, events.append)
    assert str(caught.value).splitlines() == [
        "refused as dangerous:",
        "  compose.yml:3: web is privileged",
        "  compose.yml:7: db shares all",
    ]
    assert f'`dangerous = "refuse"` from {config}' in (caught.value.hint or "")
    assert report_dangers(loaded(*DANGERS), {"other"}, events.append) == frozenset()
    assert events == []


def test_host_commands_are_refused_until_they_are_trusted(tmp_path: Path) -> None:
    """Every command is shown with its place; trust is recorded, readable by the user alone."""
    mine = project(tmp_path, HOST, INSIDE, LISTED)
    with pytest.raises(RefusedError) as caught:
        require_trust(mine)
    assert str(caught.value).splitlines()[1:] == [
        "  before_up (compose.yml:4): make gen",
        "    echo done",
        "  before_down (compose.yml:6): rm -r 'a b'",
    ]
    assert caught.value.hint == "Read them; if you trust them: devenv up --trust"
    require_trust(mine, trust=True)
    require_trust(mine)
    (record,) = (tmp_path / "state/devenv-compose/trust").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700
    assert record.read_text().startswith(str(tmp_path))


@pytest.mark.parametrize(
    "changed",
    [
        (HOST,),
        (LISTED, HOST),
        (HOST, replace(LISTED, hook=Hook(("rm", "-r", "a", "b")))),
        (replace(HOST, moment=Moment.AFTER_HEALTHY), LISTED),
    ],
)
def test_a_changed_host_command_asks_again(tmp_path: Path, changed: tuple[ProjectHook, ...]) -> None:
    """Another command, order or moment needs trust of its own."""
    require_trust(project(tmp_path, HOST, LISTED), trust=True)
    with pytest.raises(RefusedError):
        require_trust(project(tmp_path, *changed))


def test_trust_is_for_one_folder(tmp_path: Path) -> None:
    """Another folder needs trust again, a link to the folder does not; another line or service hook does."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to("a")
    require_trust(project(tmp_path / "a", HOST), trust=True)
    require_trust(project(tmp_path / "link", replace(HOST, where="x:9"), INSIDE))
    with pytest.raises(RefusedError):
        require_trust(project(tmp_path / "b", HOST))


def test_commands_in_services_need_no_trust(tmp_path: Path) -> None:
    """They run in the project's own containers; nothing is recorded for them."""
    require_trust(project(tmp_path, INSIDE), trust=True)
    assert not os.path.exists(tmp_path / "state/devenv-compose/trust")


SEED = Hook(("mount", "a b"), privileged=True)
PRIVILEGED = replace(INSIDE, hook=SEED)


def watching(directory: Path, hook: Hook, *hooks: ProjectHook) -> Project:
    """A project that runs a command in `web` after each sync."""
    rules = (WatchRule("/p/src", Action.SYNC_EXEC, "/x", exec=hook), WatchRule("/p", Action.SYNC, "/y"))
    return replace(project(directory, *hooks), services=(Service("db"), Service("web", watch=rules)))


def test_privileged_commands_in_services_need_trust(tmp_path: Path) -> None:
    """Of hooks and of watch rules, beside host commands; all are shown, and trusted at once."""
    mine = watching(tmp_path, SEED, HOST, PRIVILEGED, INSIDE)
    with pytest.raises(RefusedError) as caught:
        require_trust(mine)
    assert caught.value.exit_code == 6
    assert str(caught.value).splitlines() == [
        "the project wants to run commands on this machine that nobody has allowed yet:",
        "  before_up (compose.yml:4): make gen",
        "    echo done",
        "the project wants to run privileged commands in containers that nobody has allowed yet:",
        "  after_healthy (compose.yml:5) in db: mount 'a b'",
        "  sync+exec of /p/src in web: mount 'a b'",
    ]
    assert caught.value.hint == "Read them; if you trust them: devenv up --trust"
    require_trust(mine, trust=True)
    require_trust(mine)
    assert len(list((tmp_path / "state/devenv-compose/trust").iterdir())) == 3


@pytest.mark.parametrize(
    "changed",
    [
        replace(SEED, command=("mount", "a", "b")),
        replace(SEED, user="root"),
        replace(SEED, working_dir="/"),
        replace(SEED, environment=(("PATH", "/x"),)),
    ],
)
def test_a_changed_privileged_command_asks_again(tmp_path: Path, changed: Hook) -> None:
    """Any change of what it does; only the changed command needs trust again."""
    require_trust(watching(tmp_path, SEED, HOST, PRIVILEGED), trust=True)
    with pytest.raises(RefusedError) as caught:
        require_trust(watching(tmp_path, changed, HOST, PRIVILEGED))
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(RefusedError):
        require_trust(watching(tmp_path, SEED, HOST, replace(PRIVILEGED, hook=changed)))
    with pytest.raises(RefusedError):
        require_trust(watching(tmp_path, SEED, replace(PRIVILEGED, service="web")))
    (tmp_path / "other").mkdir()
    with pytest.raises(RefusedError):
        require_trust(watching(tmp_path / "other", SEED))
    require_trust(watching(tmp_path, SEED, HOST, replace(PRIVILEGED, where="x:1")))


def test_trust_of_host_commands_outlives_an_update(tmp_path: Path) -> None:
    """The record of a project with host commands alone has the name that it had in 0.1."""
    mine = replace(project(tmp_path, HOST, LISTED), directory="/p")
    require_trust(mine, trust=True)
    (record,) = (tmp_path / "state/devenv-compose/trust").iterdir()
    assert record.name == "c513e57c71a2a0a2f1e9c7067c32d966"


def test_a_change_during_a_run(tmp_path: Path) -> None:
    """A new privileged command is refused, and nothing is reported; a host command is checked when it runs."""
    events: list[Event] = []
    new = Loaded(watching(tmp_path, SEED, HOST), {}, dangers=DANGERS)
    with pytest.raises(RefusedError, match="privileged"):
        report_new_dangers(new, {"web"}, events.append, frozenset())
    assert events == []
    require_trust(replace(new.project, hooks=()), trust=True)
    shown = report_new_dangers(new, {"web"}, events.append, frozenset())
    assert events == [Notice("compose.yml:3: web is privileged")]
    assert report_new_dangers(new, {"web"}, events.append, shown) == shown
    assert len(events) == 1


def test_dangers_of_builds_are_reported_alone(config: Path) -> None:
    """The mounts and privileges of the running service do not matter for its build."""
    config.write_text('dangerous = "refuse"\n')
    events: list[Event] = []
    report_build_dangers(loaded(*DANGERS), {"web", "db"}, events.append)
    assert events == []
    of_build = replace(DANGERS[0], message="web is built with /", of_build=True)
    with pytest.raises(RefusedError, match=r"compose.yml:3: web is built with /\Z"):
        report_build_dangers(loaded(*DANGERS, of_build), {"web", "db"}, events.append)


def test_a_danger_of_the_whole_project(config: Path) -> None:
    """It counts whichever services are chosen."""
    events: list[Event] = []
    report_dangers(
        loaded(Danger("", "an included file gets the values in /x", (), where="c.yml:1")), {"web"}, events.append
    )
    assert events == [Notice("c.yml:1: an included file gets the values in /x")]
    assert not config.exists()


def test_trust_that_cannot_be_kept(tmp_path: Path) -> None:
    """The error says so; the command does not run."""
    (tmp_path / "state/devenv-compose").mkdir(parents=True)
    (tmp_path / "state/devenv-compose/trust").write_text("")
    with pytest.raises(StateError, match="trust is not a folder"):
        require_trust(project(tmp_path, HOST), trust=True)


def test_link_in_place_of_the_record_is_not_trust(tmp_path: Path) -> None:
    """The link is neither trusted nor followed."""
    mine = project(tmp_path, HOST)
    require_trust(mine, trust=True)
    (record,) = (tmp_path / "state/devenv-compose/trust").iterdir()
    (tmp_path / "victim").write_text("precious")
    record.unlink()
    record.symlink_to(tmp_path / "victim")
    for trust in (False, True):
        with pytest.raises(StateError, match="symbolic link"):
            require_trust(mine, trust=trust)
    assert (tmp_path / "victim").read_text() == "precious"
