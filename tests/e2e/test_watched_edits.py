"""From a saved file to the containers, for all kinds of changes and rules."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devenv.run import client
from support import docker_cli, trees
from support.cli import Devenv, end_all
from support.cli import run as devenv
from support.stack import HEALTHY, IDLE, NewStack, Stack, built_service, idle_service, unique_name
from support.upper import Up

pytestmark = pytest.mark.engine


def rule(path: str, action: str = "sync", **more: Any) -> dict[str, Any]:
    """A watch rule with a target named like its folder."""
    target = {"target": f"/{path.removeprefix('./')}"} if "sync" in action else {}
    return {"path": path, "action": action, **target, **more}


def watching(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An idle service with watch rules."""
    return idle_service(develop={"watch": list(rules)}, **more)


# Prints main.py each time it changes, as a program with a reloader prints a traceback or that it has loaded.
RELOADER = """
trap 'exit 0' TERM INT
while :; do
    [ "$$(stat -c %Y%i /app/main.py)" = "$$seen" ] || { seen=$$(stat -c %Y%i /app/main.py); cat /app/main.py >&2; }
    sleep 0.1 & wait $$!
done
"""
GOOD = "trap 'exit 0' TERM INT; while :; do sleep 1 & wait $!; done\n"
BROKEN = """Traceback (most recent call last):
  File "/app/main.py", line 63
    def broken(:
SyntaxError: invalid syntax
"""


@dataclass
class Site:
    """A stack that is up, and the run that syncs it."""

    stack: Stack
    run: Devenv
    home: dict[str, str] = field(default_factory=dict)

    def settle(self, *arguments: str) -> tuple[int, dict[str, str], dict[str, Any]]:
        """The exit code of `devenv settle`, the state of each service or why it failed, and the whole answer."""
        done = devenv("settle", *arguments, "--output", "json", cwd=self.stack.folder, env=self.stack.env | self.home)
        answer = json.loads(done.stdout)
        services = answer.get("services", [])
        return done.returncode, {s["service"]: s["failure"] or s["state"] for s in services}, answer

    def host(self, path: str) -> Path:
        """A path below the project's folder."""
        return self.stack.folder / path

    def write(self, path: str, text: str) -> None:
        """Save a file on the host."""
        self.stack.write(path, text)

    def equal(self, service: str, folder: str, *, without: str | None = None) -> None:
        """Wait until the folder in each container of the service is equal to the host's."""
        wanted = {
            path: entry
            for path, entry in trees.on_host(self.host(folder)).items()
            if without is None or without not in path
        }
        for container in self.stack.containers(service):
            docker_cli.until(
                lambda box=container: trees.in_container(box, f"/{folder}"),  # type: ignore[misc]
                lambda tree: tree == wanted,
                timeout=10,
            )

    def arrives(self, service: str, path: str, text: str | None) -> None:
        """Wait until the file in the service's container has the text, or is deleted."""
        docker_cli.until(lambda: self.stack.read(service, f"/{path}"), lambda content: content == text, timeout=10)


@pytest.fixture(scope="module")
def site(engine: str, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One stack for all tests of ordinary rules: a service and a folder for each kind, up and in sync."""
    folder = tmp_path_factory.mktemp("edits")
    stack = Stack(folder / "project", unique_name("edits"))
    stack.write("crash/run", GOOD)
    stack.write("state/now", "good\n")
    for path in ("app/main.py", "src/hello", "own/sub/file", "twins/a", "conf/a", "touch", "exec/a", "bound/a"):
        stack.write(path, "today\n")
    command = ["sh", "-c", 'cat /src/hello; exec "$$@"', "sh", *IDLE]
    hook = {"command": ["sh", "-c", "echo ran with $$(cat /exec/a); exit 4"]}
    stack.compose_file(
        {
            "files": watching(rule("./src"), command=command),
            "reloads": watching(rule("./app"), command=["sh", "-c", RELOADER]),
            "crashes": watching(rule("./crash", "sync+restart"), command=["sh", "/crash/run"]),
            "own": watching(rule("./own"), user="1234:2345"),
            "twins": watching(rule("./twins"), scale=2),
            "starts": watching(rule("./conf", "sync+restart"), rule("./touch", "restart")),
            "execs": watching(rule("./exec", "sync+exec", exec=hook)),
            "bound": watching(rule("./bound"), volumes=["./bound:/bound"]),
            "checked": watching(rule("./state"), healthcheck={**HEALTHY, "test": "grep good /state/now"}),
        }
    )
    home = {"XDG_STATE_HOME": str(folder / "state"), "XDG_CONFIG_HOME": str(folder / "config")}
    run = Devenv("up", cwd=stack.folder, env={**stack.env, **home})
    try:
        run.wait_for("ready")
        yield Site(stack, run, home)
    finally:
        try:
            end_all([run])
        finally:
            stack.remove()


def test_first_process_sees_the_files_of_the_tree(site: Site) -> None:
    """The files are in the container before its first process reads them."""
    site.run.wait_for("log", service="files", line="today")


def test_changed_new_renamed_and_deleted_files_are_synced(site: Site) -> None:
    """Changes of modes arrive, too; the container's folder equals the host's."""
    src = site.host("src")
    site.write("src/hello", "tomorrow")
    site.write("src/new", "n")
    site.equal("files", "src")
    (src / "hello").rename(src / "bye")
    (src / "new").unlink()
    (src / "bye").chmod(0o755)
    site.equal("files", "src")
    (src / "bye").chmod(0o640)
    site.equal("files", "src")


def test_broken_code_is_reported_until_it_is_fixed(site: Site) -> None:
    """The error is reported at once from the log of a program that reloads, though the service keeps running."""
    since = site.run.mark()
    site.write("app/main.py", BROKEN)
    error = "main.py:63: SyntaxError: invalid syntax"
    assert site.run.wait_for("service", service="reloads", error=error, since=since)["state"] == "started"
    assert site.run.all("log", service="reloads", line="    def broken(:", level="error")
    since = site.run.mark()
    site.write("app/main.py", "Application startup complete.\n")
    assert site.run.wait_for("service", service="reloads", error="", since=since)["state"] == "started"


def test_settle_is_never_before_a_save(site: Site) -> None:
    """With `--synced`: whatever was saved just before the command is in the container after it."""
    (folder,) = Path(site.home["XDG_STATE_HOME"]).glob("devenv-compose/runs/*")
    for number in range(30):
        site.write(f"src/round{number % 3}/a", "x" * number)
        answer = client.ask(str(folder), ["settle", "synced=yes", "service=files", "timeout=20"], 30)
        assert answer is not None
        assert (answer[0], answer[2]) == (0, "files  synced")
        assert site.stack.read("files", f"/src/round{number % 3}/a") == "x" * number
    assert site.settle("files", "--synced")[:2] == (0, {"files": "synced"})


def test_settle_tells_broken_from_good_code(site: Site) -> None:
    """An error in the log after the save fails with its place; a program that has loaded again is no failure."""
    for _ in range(2):
        site.write("app/main.py", BROKEN)
        code, states, answer = site.settle("reloads")
        assert (code, states) == (1, {"reloads": "main.py:63: SyntaxError: invalid syntax"})
        assert "SyntaxError: invalid syntax" in answer["services"][0]["log"]
        site.write("app/main.py", "Application startup complete.\n")
        assert site.settle("reloads")[:2] == (0, {"reloads": "restarted"})


def test_settle_runs_the_health_check_itself(site: Site) -> None:
    """The engine would run it an hour later; a check that goes on failing is a failure in time."""
    site.write("state/now", "bad\n")
    assert site.settle("checked", "--timeout", "5")[:2] == (1, {"checked": "not settled after 5 s: exit code 1"})
    site.write("state/now", "good\n")
    assert site.settle("checked")[:2] == (0, {"checked": "healthy"})


def test_settle_waits_for_restarts_and_the_project_s_files(site: Site) -> None:
    """A restart follows the save; an invalid Compose file is a failure with its line; an unknown service, too."""
    before = docker_cli.inspect(site.stack.container("starts"))["State"]["StartedAt"]
    site.write("conf/a", "settled")
    assert site.settle("starts")[:2] == (0, {"starts": "healthy"})
    assert docker_cli.inspect(site.stack.container("starts"))["State"]["StartedAt"] > before
    good = site.host("compose.yml").read_text()
    site.write("compose.yml", f"{good}volumes: []\n")
    code, states, _ = site.settle("starts", "bound")
    assert (code, states["starts"]) == (1, states["bound"])
    assert states["starts"].startswith("compose.yml:")
    site.write("compose.yml", good)
    assert site.settle("bound")[0] == 0
    assert site.settle("bond")[0] == 2


def test_save_restarts_a_service_that_crashes_at_once(site: Site) -> None:
    """With `sync+restart`, a container that ended before it could be served gets the file, and is started."""
    since = site.run.mark()
    site.write("crash/run", "echo 'run: 1: Syntax error: no' >&2; exit 2\n")
    error = "run: 1: Syntax error: no"
    site.run.wait_for("service", service="crashes", state="exited", error=error, since=since)
    since = site.run.mark()
    site.write("crash/run", GOOD)
    site.run.wait_for("service", service="crashes", state="started", since=since)


def test_save_by_rename_is_one_sync(site: Site) -> None:
    """The temporary file of the editor is not synced."""
    since = site.run.mark()
    site.write("src/.saved.swp", "old")
    site.write("src/saved~", "new")
    site.host("src/saved~").rename(site.host("src/saved"))
    site.arrives("files", "src/saved", "new")
    site.host("src/.saved.swp").unlink()
    synced = site.run.wait_for("synced", service="files", since=since)
    assert synced["paths"] == ["src/saved"]
    assert (synced["files"], synced["deleted"], synced["bytes"], synced["atomic"]) == (1, 0, 3, True)
    site.equal("files", "src")


def test_new_moved_and_removed_folders_are_synced(site: Site) -> None:
    """Nested, empty and removed trees are equal in the end."""
    src = site.host("src")
    for number in range(20):
        site.write(f"src/a/b{number % 3}/c/{number}", str(number))
    (src / "empty/inner").mkdir(parents=True)
    site.equal("files", "src")
    (src / "a").rename(src / "moved")
    site.equal("files", "src")
    outside = site.host("elsewhere")
    (src / "moved/b0").rename(outside)
    shutil.rmtree(src / "moved/b1")
    (src / "empty/inner").rmdir()
    site.equal("files", "src")
    outside.rename(src / "back")
    site.equal("files", "src")


def test_path_that_changes_its_kind_is_synced(site: Site) -> None:
    """File to folder, folder to file, and either to a link and back are synced."""
    flip = site.host("src/flip")
    site.write("src/flip", "file")
    site.write("src/pointed/inside", "behind the link")
    site.equal("files", "src")
    flip.unlink()
    site.write("src/flip/inside", "folder")
    site.equal("files", "src")
    shutil.rmtree(flip)
    flip.write_text("file again")
    site.equal("files", "src")
    flip.unlink()
    flip.symlink_to("pointed")
    site.equal("files", "src")
    flip.unlink()
    site.write("src/flip/inside", "folder again")
    site.equal("files", "src")
    shutil.rmtree(flip)
    flip.symlink_to("pointed")
    site.equal("files", "src")
    flip.unlink()
    flip.write_text("file at last")
    site.equal("files", "src")
    assert site.stack.read("files", "/src/pointed/inside") == "behind the link"


def test_unusual_file_names_are_synced(site: Site) -> None:
    """Spaces, quotes, dollars, globs, backslashes, line ends, leading dashes and other scripts are synced."""
    names = [
        "a b",
        " lead",
        "trail ",
        "it's",
        'say "x"',
        "$HOME `id` $(id)",
        "*?[x]",
        "back\\slash",
        "new\nline",
        "-rf",
        "--help",
        "übung-日本-🚀",
        "%s%n",
        "#hash;&|",
        "x" * 200,
    ]
    for name in names:
        site.write(f"src/odd/{name}", name)
        site.write(f"src/-odd/{name}/in", name)
    site.equal("files", "src")
    for name in names:
        site.host(f"src/odd/{name}").rename(site.host(f"src/odd/{name}2"))
    site.equal("files", "src")
    shutil.rmtree(site.host("src/-odd"))
    site.equal("files", "src")


def test_burst_of_changes_is_synced_completely(site: Site) -> None:
    """Five hundred files at once, then all of them changed and half of them deleted, are equal in the end."""
    for number in range(500):
        site.write(f"src/burst/{number % 9}/{number}", str(number))
    site.equal("files", "src")
    for number in range(500):
        path = site.host(f"src/burst/{number % 9}/{number}")
        if number % 2:
            path.unlink()
        else:
            path.write_text("changed")
    site.equal("files", "src")


def test_short_lived_files_leave_nothing(site: Site) -> None:
    """Files that disappear faster than they are copied leave neither files nor staging folders."""
    for _ in range(4):
        for number in range(200):
            site.write(f"src/brief/{number % 5}/{number}", str(number))
        shutil.rmtree(site.host("src/brief"))
    site.equal("files", "src")


def test_random_operations_are_synced(site: Site) -> None:
    """Three hundred operations on few names, so that they interfere, are equal in the end."""
    chance = random.Random(20)
    top = site.host("src/random")
    top.mkdir()
    for step in range(300):
        path = top.joinpath(*chance.choices("abc", k=chance.randint(1, 3)))
        other = top.joinpath(*chance.choices("abc", k=chance.randint(1, 3)))
        with contextlib.suppress(OSError, shutil.Error):
            _one_operation(chance.randrange(6), path, other, str(step))
        if step % 60 == 0:
            site.equal("files", "src")
    site.equal("files", "src")


def _one_operation(number: int, path: Path, other: Path, text: str) -> None:
    if number == 0:
        path.rename(other)
    elif number == 1 and path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif number == 2:
        path.symlink_to("b")
    elif number == 3:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_synced_files_belong_to_the_services_user(site: Site) -> None:
    """Files and folders, also those of the first sync, belong to the service's user."""
    site.write("own/new/deep/file", "x")
    site.equal("own", "own")
    owners = trees.owners(site.stack.container("own"), "/own")
    assert set(owners) >= {"sub/file", "new/deep/file", "new/deep"}
    assert set(owners.values()) == {(1234, 2345)}, owners


def test_replicas_get_the_same_changes(site: Site) -> None:
    """Both containers of a scaled service get what is saved, and lose what is deleted."""
    assert len(site.stack.containers("twins")) == 2
    site.write("twins/b", "both")
    site.host("twins/a").unlink()
    site.equal("twins", "twins")


def test_restart_and_sync_restart_restart_the_process(site: Site) -> None:
    """With `sync+restart`, the new file exists before the restart."""
    began = docker_cli.inspect(site.stack.container("starts"))["State"]["StartedAt"]
    since = site.run.mark()
    site.write("touch", "x")
    assert site.run.wait_for("restarted", service="starts", since=since)["cause"] == "touch"
    between = docker_cli.inspect(site.stack.container("starts"))["State"]["StartedAt"]
    assert between > began
    since = site.run.mark()
    site.write("conf/a", "changed")
    assert site.run.wait_for("restarted", service="starts", since=since)["cause"] == "conf/a"
    assert docker_cli.inspect(site.stack.container("starts"))["State"]["StartedAt"] > between
    site.arrives("starts", "conf/a", "changed")
    site.write("conf/b", "after a restart")
    site.arrives("starts", "conf/b", "after a restart")


def test_sync_exec_reports_output_and_exit_code(site: Site) -> None:
    """The command runs after the file has arrived."""
    since = site.run.mark()
    site.write("exec/a", "news")
    executed = site.run.wait_for("executed", service="execs", since=since)
    assert (executed["output"], executed["exit_code"]) == ("ran with news\n", 4)
    code, states, _ = site.settle("execs")
    assert (code, states["execs"].endswith("exec/a); exit 4` ended with exit code 4")) == (1, True)


def test_bind_mounted_path_is_not_synced(site: Site) -> None:
    """A bind mount shows the files already."""
    before = site.host("bound/a").stat().st_ino
    site.write("bound/b", "x")
    site.write("src/after-bound", "x")
    site.arrives("files", "src/after-bound", "x")
    assert site.stack.read("bound", "/bound/b") == "x"
    assert site.run.all("synced", service="bound") == []
    assert site.host("bound/a").stat().st_ino == before
    assert sorted(os.listdir(site.host("bound"))) == ["a", "b"]


def test_container_recreated_by_plain_compose_is_synced(site: Site) -> None:
    """The new container gets the whole tree, and all later saves."""
    old, since = site.stack.container("execs"), site.run.mark()
    site.write("exec/before", "x")
    site.arrives("execs", "exec/before", "x")
    site.run.wait_for("executed", since=since, service="execs")
    done = site.stack.compose("up", "-d", "--no-deps", "--force-recreate", "execs")
    assert done.returncode == 0, done.stderr
    assert site.stack.container("execs") != old
    site.equal("execs", "exec")
    site.write("exec/after", "y")
    site.equal("execs", "exec")


def test_no_problem_was_reported_in_this_run(site: Site) -> None:
    """Only links that led to themselves by chance were reported, and what tests have broken."""
    others = [problem for problem in site.run.all("problem") if problem["service"] != "crashes"]
    others = [problem for problem in others if not problem["message"].startswith("compose.yml:")]
    problems = [problem for problem in others if "a link that leads to itself" not in problem["message"]]
    assert problems == [], site.run.report()
    assert site.run.process.poll() is None


def test_burst_is_synced_after_a_kill_of_the_container(site: Site) -> None:
    """Files that the kill left to be deleted are deleted, and all is equal in the end."""
    container = site.stack.container("files")
    for number in range(300):
        site.write(f"src/killed/{number % 40}/{number}", str(number))
        if number == 200:
            docker_cli.docker("kill", container)
    shutil.rmtree(site.host("src/killed/3"))
    site.host("src/killed/4/4").unlink()
    docker_cli.docker("start", container)
    site.equal("files", "src")


def test_ignored_files_are_never_synced_or_deleted(new_stack: NewStack, up: Up, compose_env: dict[str, str]) -> None:
    """Files ignored by a rule or .dockerignore are not synced, not even at the start, with every Compose version."""
    stack = new_stack(compose_env)
    rules = [
        rule("./src", ignore=["*.log", "cache/", "!keep.log"]),
        rule("./only", include=["**/*.py"]),
        rule("./first", initial_sync=True),
    ]
    stack.write(".dockerignore", "**/secret\nnode_modules\n")
    stack.compose_file({"web": built_service("RUN mkdir /src && touch /src/own.log", develop={"watch": rules})})
    hidden = ("src/a.log", "src/cache/x", "src/secret", "only/a.js", "src/.a.swp", "src/a~", "src/.git/HEAD")
    shown = ("src/a", "src/keep.log", "src/sub/b", "only/a.py", "only/deep/b.py", "first/a")
    for path in hidden + shown:
        stack.write(path, "1")
    site = Site(stack, up.ready(stack))
    there = {f"{folder}/{path}" for folder in ("src", "only", "first") for path in files(stack, f"/{folder}")}
    assert there == {*shown, "src/own.log"}
    for path in hidden + shown:
        stack.write(path, "22")
    for path in shown:
        site.arrives("web", path, "22")
    for entry in (*(stack.folder / "src").iterdir(), *(stack.folder / "only").iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    docker_cli.until(lambda: files(stack, "/src") | files(stack, "/only"), lambda paths: paths == {"own.log"})
    assert not site.run.all("problem"), site.run.report()
    assert site.run.stop() == 130


def files(stack: Stack, folder: str) -> set[str]:
    """The relative paths of all files below a folder in the service `web`."""
    tree = trees.in_container(stack.container("web"), folder)
    return {path for path, entry in tree.items() if entry.kind == "file"}


def test_rebuild_replaces_only_its_service(stack: Stack, up: Up) -> None:
    """Files saved meanwhile are in the new container."""
    rules = [{"path": "./version", "action": "rebuild"}, rule("./src")]
    stack.write("version", "1")
    stack.write("src/a", "before")
    dockerfile = "COPY version /version\nRUN [ $(cat /version) = 1 ] || sleep 2"
    stack.compose_file({"web": built_service(dockerfile, develop={"watch": rules}), "db": idle_service()})
    site = Site(stack, up.ready(stack))
    web, db = stack.container("web"), docker_cli.inspect(stack.container("db"))
    image = docker_cli.inspect(web)["Image"]
    stack.write("version", "2")
    site.run.wait_for("step", name="rebuild", state="begin")
    stack.write("src/a", "during")
    stack.write("src/b", "new")
    assert site.run.wait_for("rebuilt", service="web")["cause"] == "version"
    assert stack.container("web") != web
    assert stack.read("web", "/version") == "2"
    site.equal("web", "src")
    assert docker_cli.inspect(stack.container("db"))["State"] == db["State"]
    assert not docker_cli.succeeds("image", "inspect", image), "the image before is still there"
    stack.write("src/a", "after")
    site.equal("web", "src")
    assert site.run.stop() == 130


def test_watchfiles_syncs_each_change(stack: Stack, up: Up) -> None:
    """Saves, renames, modes, folders and deletes are synced as on systems without inotify."""
    stack.write("src/a", "1")
    stack.compose_file({"web": watching(rule("./src"))})
    site = Site(stack, up.ready(stack, "--watcher", "watchfiles"))
    threads = [path.read_text() for path in Path(f"/proc/{site.run.process.pid}/task").glob("*/comm")]
    assert any("notify" in name for name in threads), threads
    src = site.host("src")
    site.equal("web", "src")
    site.write("src/a", "2")
    site.write("src/deep/er/b", "1")
    site.equal("web", "src")
    site.write("src/saved~", "3")
    site.host("src/saved~").rename(src / "a")
    (src / "deep/er/b").chmod(0o755)
    (src / "deep").rename(src / "moved")
    site.equal("web", "src")
    shutil.rmtree(src / "moved")
    site.equal("web", "src")
    assert site.run.stop() == 130


def test_missing_source_folder_deletes_nothing(stack: Stack, up: Up) -> None:
    """Nothing is deleted while the folder is away or replaced; when it is back, all is equal."""
    for number in range(20):
        stack.write(f"src/f{number}", str(number))
    stack.compose_file({"web": watching(rule("./src"))})
    site = Site(stack, up.ready(stack))
    site.equal("web", "src")
    site.host("src").rename(site.host("away"))
    message = "src is missing or replaced: nothing is deleted in containers until it is back"
    site.run.wait_for("notice", message=message)
    site.write("src/other", "1")
    site.arrives("web", "src/other", "1")
    assert files(stack, "/src") == {"other", *(f"f{number}" for number in range(20))}
    shutil.rmtree(site.host("src"))
    site.host("away/f3").unlink()
    site.host("away").rename(site.host("src"))
    site.equal("web", "src")
    site.write("src/f4", "after")
    site.equal("web", "src")
    assert site.run.stop() == 130


def test_changes_while_devenv_was_dead_are_synced(stack: Stack, up: Up) -> None:
    """After a kill -9, the next run deletes what the previous one had put into a container of plain Compose."""
    stack.write("src/a", "1")
    stack.write("src/deep/b", "1")
    stack.compose_file({"web": watching(rule("./src"))})
    assert stack.compose("up", "-d").returncode == 0
    site = Site(stack, up.ready(stack))
    site.write("src/late", "1")
    site.arrives("web", "src/late", "1")
    stack.execute("web", "sh", "-c", "echo own > /src/deep/own; echo own > /src/own")
    site.run.kill()
    shutil.rmtree(site.host("src/deep"))
    site.host("src/late").unlink()
    site.write("src/a", "2")
    site.write("src/new", "1")
    again = Site(stack, up.ready(stack))
    docker_cli.until(lambda: files(stack, "/src"), lambda paths: paths == {"a", "new", "own", "deep/own"}, timeout=10)
    again.arrives("web", "src/a", "2")
    assert again.run.stop() == 130
    assert stack.containers("web"), "what plain compose started stays"
