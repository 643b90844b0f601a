"""How the watch rules of a loaded project handle a path, and how the rules are shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.model.answers import Explained, Mounted, RuleVerdict
from devenv.model.project import Action, Build, Hook, Mount, Project, Service, WatchRule
from devenv.sync import planner
from devenv.sync.rules import explain

pytestmark = pytest.mark.anyio


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project with rules of every action, and files in it."""
    for name in ("web/index.js", "web/notes.md", "web/tmp/x", "lib/util.js", "conf/app.ini"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "web/package.json").write_text("{}")
    (tmp_path / "compose.yml").write_text("services:\n  web:\n    volumes:\n      - ./conf:/app/conf\n")
    (tmp_path / "web/.dockerignore").write_text("# not these\n\ntmp\n")
    here = str(tmp_path)
    web = Service(
        "web",
        build=Build(f"{here}/web"),
        volumes=(Mount("bind", "/app/conf", f"{here}/conf"),),
        watch=(
            WatchRule(f"{here}/web", Action.SYNC, "/app", ignore=("./*.md", "*.swp")),
            WatchRule(f"{here}/lib", Action.SYNC_RESTART, "/app/lib", include=("**/*.js",)),
            WatchRule(f"{here}/web/package.json", Action.REBUILD),
            WatchRule(f"{here}/conf", Action.SYNC_EXEC, "/app/conf", exec=Hook(("reload",))),
            WatchRule(f"{here}/conf", Action.SYNC, "/app/conf"),
        ),
    )
    places = {("web", index): ("compose.yaml", 10 + index) for index in range(len(web.watch))}
    project = Project("shop", here, (f"{here}/compose.yaml",), (web, Service("db")))
    loaded = Loaded(project, {"x-devenv": {"ports": "as-written"}}, ("a warning",), places)

    async def load(selection: Selection, **_: object) -> Loaded:
        assert selection.directory == here
        return loaded

    monkeypatch.setattr(explain, "load", load)
    return tmp_path


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is on another machine."""
    monkeypatch.setenv("DOCKER_HOST", "ssh://far")


async def explained(folder: Path, path: str) -> Explained:
    """The explanation for one path."""
    (answer,) = await explain.explain(Selection(str(folder)), [path])
    assert answer.path == path
    return answer


async def verdict(folder: Path, path: str) -> RuleVerdict:
    """The verdict of the only rule for the path."""
    (only,) = (await explained(folder, path)).verdicts
    return only


async def test_a_file_that_is_copied(project: Path) -> None:
    """The explanation has the rule, its place, and the target."""
    answer = await explained(project, "web/index.js")
    (only,) = answer.verdicts
    assert (answer.kind, only.service, only.index, only.action) == ("file", "web", 0, "sync")
    assert (only.place, only.target, only.effects) == ("compose.yaml:10", "/app/index.js", ("sync",))
    assert (only.matches, only.decided_by, only.reason) == (True, "", "")


async def test_a_file_that_may_come(project: Path) -> None:
    """It need not exist: a relative path from the selection's folder, normalised."""
    answer = await explained(project, "./web/../web/new.js")
    assert (answer.kind, answer.verdicts[0].effects) == ("absent", ("sync",))


async def test_the_pattern_as_it_is_written(project: Path) -> None:
    """Of `ignore` in the rule's place, of .dockerignore with its line, of `include` even if no pattern fits."""
    ignored = await verdict(project, "web/notes.md")
    assert (ignored.matches, ignored.decided_by, ignored.pattern) == (False, "ignore", "./*.md")
    assert (ignored.file, ignored.target, ignored.effects) == ("compose.yaml:10", None, ())
    hidden = await verdict(project, "web/tmp/x")
    assert (hidden.decided_by, hidden.pattern, hidden.file) == (".dockerignore", "tmp", "web/.dockerignore:3")
    included, other = await verdict(project, "lib/util.js"), await verdict(project, "lib/util.py")
    assert (included.decided_by, included.pattern, included.effects) == ("include", "**/*.js", ("sync", "restart"))
    assert (other.matches, other.decided_by, other.pattern) == (False, "include", "")


async def test_what_a_built_in_pattern_hides(project: Path) -> None:
    """A built-in pattern has no place in a file."""
    hidden = await verdict(project, "web/.git/config")
    assert (hidden.matches, hidden.decided_by, hidden.pattern, hidden.file) == (False, "built-in", "**/.git", "")


async def test_a_rebuild_brings_what_another_rule_would_copy(project: Path) -> None:
    """The copy has no effect of its own, and says why."""
    copied, rebuilt = (await explained(project, "web/package.json")).verdicts
    assert (rebuilt.effects, rebuilt.target) == (("rebuild",), None)
    assert (copied.matches, copied.effects, copied.reason) == (True, (), "the rebuild brings it")


async def test_a_bind_mount_has_the_file_already(project: Path) -> None:
    """Its command runs nevertheless; a plain copy does nothing."""
    command, copy = (await explained(project, "conf/app.ini")).verdicts
    assert command.effects == ("exec",)
    assert (copy.matches, copy.effects) == (True, ())
    assert copy.reason == "a bind mount has it already"


async def test_bind_mounts_and_rules_below_a_folder(project: Path) -> None:
    """A mount of the path has its target; that of something below has none, and rules below are listed."""
    inside = await explained(project, "conf/app.ini")
    assert inside.mounts == (Mounted("web", "./conf:/app/conf", "compose.yml:4", "/app/conf/app.ini"),)
    assert inside.below == ()

    root = await explained(project, ".")
    assert root.mounts == (Mounted("web", "./conf:/app/conf", "compose.yml:4"),)
    (web,) = root.below
    assert [rule.path for rule in web.rules] == ["web", "lib", "web/package.json", "conf", "conf"]
    (web,) = (await explained(project, "web")).below
    assert [rule.path for rule in web.rules] == ["web/package.json"]


async def test_a_volume_hides_a_part_of_a_mount(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container does not see the host's files there."""
    volumes = (Mount("bind", "/code", str(project)), Mount("volume", "/code/node_modules"))
    loaded = Loaded(Project("shop", str(project), (), (Service("web", volumes=volumes),)), {})

    async def load(*_: object, **__: object) -> Loaded:
        return loaded

    monkeypatch.setattr(explain, "load", load)
    assert [mount.target for mount in (await explained(project, "a.js")).mounts] == ["/code/a.js"]
    assert (await explained(project, "node_modules/a.js")).mounts == ()


async def test_special_files_are_not_copied(project: Path) -> None:
    """A socket or a pipe is never copied."""
    os.mkfifo(project / "web/pipe")
    only = await verdict(project, "web/pipe")
    assert (only.matches, only.effects, only.reason) == (True, (), planner.NO_FILE)


async def test_a_path_that_no_rule_concerns(project: Path) -> None:
    """There is no verdict; a link in the path does not match the rule."""
    assert (await explained(project, "README")).verdicts == ()
    assert (await explained(project, "/etc/hosts")).verdicts == ()
    (project / "alias").symlink_to(project / "web")
    assert (await explained(project, "alias/index.js")).verdicts[0].target == "/app/index.js"


async def test_overview(project: Path) -> None:
    """Every service and rule, paths relative to the project's folder."""
    shown = await explain.overview(Selection(str(project)))
    assert (shown.project, shown.files, shown.warnings) == ("shop", ("compose.yaml",), ("a warning",))
    assert shown.settings == {"ports": "as-written"}
    web, db = shown.services
    assert (web.service, web.dockerignore, db.dockerignore, db.rules) == ("web", "web/.dockerignore", None, ())
    assert [rule.path for rule in web.rules] == ["web", "lib", "web/package.json", "conf", "conf"]
    assert [rule.place for rule in web.rules] == [f"compose.yaml:{line}" for line in range(10, 15)]
    assert [bool(rule.note) for rule in web.rules] == [False, False, False, True, True]
    assert (web.rules[3].exec, web.rules[1].include, web.rules[0].ignore) == (
        ("reload",),
        ("**/*.js",),
        ("./*.md", "*.swp"),
    )


async def test_the_files_of_the_project(project: Path) -> None:
    """A change of the Compose file or of .env needs no rule."""
    inputs = [(await explained(project, name)).is_input for name in ("compose.yml", ".env", "web/index.js")]
    assert inputs == [True, True, False]


@pytest.mark.usefixtures("elsewhere")
async def test_another_machine_has_rules_in_place_of_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounts are rules, copied files are named, and what cannot be replaced is a warning, all with their places."""
    (tmp_path / "src").mkdir()
    for name in ("src/a", "conf"):
        (tmp_path / name).write_text("x")
    (tmp_path / "compose.yml").write_text(
        "services:\n  web:\n    volumes:\n      - ./src:/srv\n      - /var/run/docker.sock:/s\n    configs: [one]\n"
        "configs: {one: {file: ./conf}}\n"
    )
    mounts = (Mount("bind", "/srv", f"{tmp_path}/src"), Mount("bind", "/s", "/var/run/docker.sock"))
    model = {
        "services": {"web": {"configs": [{"source": "one"}], "volumes": []}},
        "configs": {"one": {"file": f"{tmp_path}/conf"}},
    }
    project = Project("shop", str(tmp_path), (f"{tmp_path}/compose.yml",), (Service("web", volumes=mounts),))

    async def load(*_: object, **__: object) -> Loaded:
        return Loaded(project, model)

    monkeypatch.setattr(explain, "load", load)
    selection = Selection(str(tmp_path))
    shown = await explain.overview(selection)
    ((rule,),) = (service.rules for service in shown.services)
    assert (rule.action, rule.path, rule.target) == ("sync", "src", "/srv")
    assert "in place of a bind mount" in rule.note
    assert [line.split(":")[1] for line in shown.replaced] == ["4", "6"]
    assert [line.split(":")[1] for line in shown.warnings] == ["5"]
    saved, copied = await explain.explain(selection, ["src/a", "conf"])
    assert [verdict.target for verdict in saved.verdicts] == ["/srv/a"]
    assert saved.mounts == ()
    (line,) = copied.copied
    assert line.startswith("web: copied to /one after each save (")
