"""Volumes are restored after every end of a run, by name, and from another project; or they are kept."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support import cli, docker_cli
from support.cli import Devenv, StartDevenv
from support.docker_cli import engine_socket
from support.proxy import Proxy
from support.schemas import checked_document
from support.stack import NewStack, Stack, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

DATA = {"volumes": ["data:/data"], "healthcheck": None}  # a check would fail while a container is paused
# Content that a volume can have and an archive stores: owners, modes, links, odd names, times, sparse and large
# files.
TREE = r"""
cd /data; umask 022
mkdir -p deep/er empty; chmod 2770 empty; chown 999:33 empty
echo text >deep/er/file; chown 1000:1001 deep/er/file; chmod 640 deep/er/file
echo run >setuid; chmod 4755 setuid
ln deep/er/file hard; ln -s deep/er/file soft; ln -s nowhere/at/all dangling
mkfifo pipe
printf b >"$(printf 'byte-\377name')"; printf n >'new
line'; printf s >'  spaces "quoted" '
head -c 300 /dev/zero | tr '\0' 'n' | xargs -0 -I{} mkdir -p "$(printf '%0240d' 1)/$(printf '%0240d' 2)"
truncate -s 64M sparse; printf end >>sparse
head -c 20000000 /dev/urandom >large
touch -d '1999-12-31 23:59:59' deep/er/file
touch -d '2001-01-01' deep
"""
# Each path with its kind, mode, owner, size, time, links, target, and the checksum of its content.
SHOW = (
    r"cd /data; (find . -exec stat -c '%N %F %a %u:%g %Y %h' {} +; find . -type f -exec sha256sum {} +)"
    r" | LC_ALL=C sort | cat -v"
)


def shown(stack: Stack) -> str:
    """The content of the volume of the only service."""
    return stack.execute("db", "sh", "-c", SHOW)


def write(stack: Stack, text: str) -> None:
    """Write the marker of a test into the volume."""
    stack.execute("db", "sh", "-c", f"echo {text} >/data/marker")


def marker(stack: Stack) -> str | None:
    """The marker in the volume."""
    text = stack.read("db", "/data/marker")
    return text and text.strip()


def of(stack: Stack, state: dict[str, str], *args: str) -> CompletedProcess[str]:
    """Run a devenv command to its end, in the stack's folder."""
    return cli.run(*args, cwd=stack.folder, env={**stack.env, **state})


def listed(stack: Stack, state: dict[str, str]) -> list[dict[str, object]]:
    """The snapshots in `snapshot list`."""
    document = checked_document("snapshot list", of(stack, state, "snapshot", "list", "--output=json").stdout)
    snapshots: list[dict[str, object]] = document["snapshots"]
    return snapshots


@pytest.fixture
def db(stack: Stack) -> Stack:
    """A stack of one service with a volume."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {"labels": {"mine": "yes"}}})
    return stack


def test_volume_is_restored_exactly(db: Stack, up: Up, state_env: dict[str, str]) -> None:
    """After Ctrl-C nothing is left, and the next `up` has the same content."""
    run = up.ready(db)
    db.execute("db", "sh", "-c", TREE)
    before = shown(db)
    assert len(before.splitlines()) >= 25
    assert run.stop() == 130
    assert db.leftovers() == {}
    assert run.wait_for("stopped")["saved"].keys() == {"data"}
    again = up.ready(db)
    assert again.wait_for("restored")["volume"] == "data"
    assert shown(db) == before
    labels = docker_cli.inspect(f"{db.name}_data")["Labels"]
    assert labels["mine"] == "yes"
    assert labels["com.docker.compose.volume"] == "data"
    assert again.stop() == 130
    assert len(listed(db, state_env)) == 2
    assert db.leftovers() == {}


def test_mysql_rows_are_restored_after_ctrl_c(stack: Stack, up: Up) -> None:
    """The database is not initialised again."""
    check = {"test": ["CMD", "mysqladmin", "-ppw", "ping"], "interval": "1s", "retries": 60}
    service = {
        "image": "mysql:9",
        "environment": {"MYSQL_ROOT_PASSWORD": "pw", "MYSQL_DATABASE": "app"},
        "volumes": ["data:/var/lib/mysql"],
        "healthcheck": check,
    }
    stack.compose_file({"db": service}, volumes={"data": {}})
    sql = ["mysql", "-ppw", "app", "-Ne"]
    run = up.ready(stack, "--stand-ins")
    stack.execute("db", *sql, "CREATE TABLE t (n INT); INSERT INTO t VALUES (41), (42)")
    assert run.stop() == 130, run.report()
    saved = run.wait_for("saved")
    assert saved["stored"] < saved["size"] / 5
    again = up.ready(stack, "--stand-ins")
    assert stack.execute("db", *sql, "SELECT sum(n) FROM t").split() == ["83"]
    assert again.stop() == 130
    assert stack.leftovers() == {}


def test_down_options_for_volumes_apply_to_a_live_run(
    db: Stack, up: Up, devenv: StartDevenv, state_env: dict[str, str]
) -> None:
    """After `down -v` the next `up` begins empty; `--keep-volumes` keeps the volume."""
    run = up.ready(db)
    write(db, "first")
    down = devenv("down", "-v", cwd=db.folder, env=db.env)
    assert (down.wait(), run.wait()) == (0, 130), run.report()
    assert not run.all("saved")
    assert db.leftovers() == {}
    empty = up.ready(db)
    assert marker(db) is None
    assert any("starts empty" in notice["message"] for notice in empty.all("notice"))
    down = devenv("down", "--keep-volumes", cwd=db.folder, env=db.env)
    assert (down.wait(), empty.wait()) == (0, 130)
    assert db.leftovers() == {"volumes": [f"{db.name}_data"]}
    assert empty.wait_for("kept")["reason"] == "--keep-volumes"
    assert listed(db, state_env) == []


def test_x_devenv_keep_keeps_a_volume(stack: Stack, up: Up) -> None:
    """The other volume is saved and removed."""
    service = idle_service(volumes=["data:/data", "more:/more"])
    stack.compose_file({"db": service}, volumes={"data": {}, "more": {}}, **{"x-devenv": {"keep": ["data"]}})
    run = up.ready(stack)
    assert run.stop() == 130
    assert stack.leftovers() == {"volumes": [f"{stack.name}_data"]}
    assert run.wait_for("kept")["command"] == f"docker volume rm {stack.name}_data"
    assert run.wait_for("stopped")["saved"].keys() == {"more"}


def test_volume_is_kept_if_saving_is_interrupted(db: Stack, devenv: StartDevenv, state_env: dict[str, str]) -> None:
    """A volume whose saving a second Ctrl-C interrupts is reported, and used by the next `up`."""
    with Proxy(engine=engine_socket()) as proxy:
        own = {"DOCKER_HOST": proxy.host}
        run = devenv("up", cwd=db.folder, env={**db.env, **own})
        run.wait_for("ready")
        db.execute("db", "sh", "-c", "head -c 500000000 /dev/urandom >/data/large; echo here >/data/marker")
        run.send_signal(signal.SIGINT)
        run.wait_for("step", name="save", state="detail")
        proxy.frozen = True  # the save takes as long as the test needs
        time.sleep(0.5)  # a sooner one counts as the first, forwarded again
        run.send_signal(signal.SIGINT)
        time.sleep(0.2)
        proxy.frozen = False
        assert run.wait() == 130
        assert db.leftovers() == {"volumes": [f"{db.name}_data"]}
        assert run.wait_for("stopped")["survivors"] == [f"volume {db.name}_data"]
        assert "`devenv up` goes on with it" in run.wait_for("problem")["message"]
        left = f"an earlier run of {db.name} left 1 volume behind"
        assert of(db, {**state_env, **own}).stdout.startswith(f"{left} (devenv down)\n  devenv down ")
        lines = of(db, {**state_env, **own}, "ps").stderr.splitlines()
        assert lines[0] == f"left by an earlier run: 1 volume of {db.name}; devenv down -p {db.name}"
        again = devenv("up", cwd=db.folder, env={**db.env, **own})
        assert again.wait_for("notice", hint="devenv down")["message"] == f"{left}; this run takes it over"
        again.wait_for("ready")
        assert marker(db) == "here"
        db.execute("db", "rm", "/data/large")
        assert again.stop() == 130
        assert db.leftovers() == {}


def test_volume_above_the_limit_is_kept(db: Stack, up: Up, devenv: StartDevenv, state_env: dict[str, str]) -> None:
    """`down` reports the volume and the command that saves it all the same."""
    settings = Path(state_env["XDG_CONFIG_HOME"], "devenv-compose/config.toml")
    settings.parent.mkdir(parents=True)
    settings.write_text('snapshot_limit = "1 MB"\n')
    assert up(db, "-d").wait() == 0
    db.execute("db", "sh", "-c", "head -c 3000000 /dev/urandom >/data/large")
    down = devenv("down", cwd=db.folder, env=db.env)
    assert down.wait() == 0
    kept = down.wait_for("kept")
    assert kept["reason"] == "too large to be saved at each end (3.0 MB); the next `devenv up` goes on with it"
    assert kept["command"] == "devenv down --snapshot   (saves and removes it)"
    assert db.leftovers() == {"volumes": [f"{db.name}_data"]}
    assert devenv("down", "--snapshot", cwd=db.folder, env=db.env).wait() == 0
    assert db.leftovers() == {}


def test_snapshot_by_name_is_exported_imported_and_restored(
    db: Stack, up: Up, state_env: dict[str, str], tmp_path: Path
) -> None:
    """A volume saved by name during the run is restored into the run, exported, imported and restored by `up`."""
    run = up.ready(db)
    write(db, "seed")
    saved = of(db, state_env, "snapshot", "save", "--name", "good")
    assert (saved.returncode, saved.stdout[:18]) == (0, "saved data as good"), saved.stderr
    assert docker_cli.inspect(db.container("db"))["State"]["Status"] == "running"
    write(db, "later")
    before = db.containers("db")
    live = of(db, state_env, "snapshot", "restore", "good")
    assert (live.returncode, "its services are up again" in live.stdout) == (0, True), live.stderr
    assert (marker(db), db.containers("db") == before) == ("seed", False), run.report()
    assert not [event for event in run.all("service") if event["state"] in ("stopped", "exited", "removed")]
    assert run.stop() == 130
    file = str(tmp_path / "good.tar")
    assert of(db, state_env, "snapshot", "export", "good", file).returncode == 0
    assert of(db, state_env, "snapshot", "export", "good", file).returncode == 2, "never over a file that is there"
    assert of(db, state_env, "snapshot", "rm", "good").returncode == 0
    assert "good" not in [snapshot["title"] for snapshot in listed(db, state_env)]
    assert of(db, state_env, "snapshot", "import", file).returncode == 0
    assert "good" in [snapshot["title"] for snapshot in listed(db, state_env)]
    assert "called good already" in of(db, state_env, "snapshot", "save", "--name", "good").stderr
    assert of(db, state_env, "snapshot", "list", db.name).stdout.startswith("ID ")
    assert of(db, state_env, "snapshot", "restore", "good").returncode == 0
    again = up.ready(db)
    assert marker(db) == "seed"
    assert again.stop() == 130


def test_up_begins_with_the_data_of_a_running_project(
    db: Stack, up: Up, new_stack: NewStack, state_env: dict[str, str]
) -> None:
    """`--from PROJECT`: the other project goes on."""
    assert up(db, "-d").wait() == 0
    write(db, "theirs")
    other = new_stack(state_env, "other")
    other.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    run = up.ready(other, "--from", db.name)
    assert marker(other) == "theirs"
    copied = [notice["message"] for notice in run.all("notice") if "copied" in notice["message"]]
    assert copied[0].startswith(f"data copied from {db.name}; db paused for ")
    assert docker_cli.inspect(db.container("db"))["State"]["Status"] == "running"
    assert run.stop() == 130
    assert of(db, state_env, "down").returncode == 0
    assert (db.leftovers(), other.leftovers()) == ({}, {})


def test_first_start_begins_with_the_seed(db: Stack, up: Up, new_stack: NewStack, state_env: dict[str, str]) -> None:
    """A missing seed is an error before anything is created; a file beside the Compose file is used once."""
    run = up.ready(db)
    write(db, "theirs")
    db.execute("db", "sh", "-c", "cd /data; head -c 3500000 /dev/urandom > noise; seq 700000 > text")
    content = db.execute("db", "sh", "-c", "cd /data; sha256sum noise text")
    assert run.stop() == 130
    other = new_stack(state_env, "other")
    other.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}}, **{"x-devenv": {"seed": "./seed.tar"}})
    refused = up(other)
    assert refused.wait() == 5
    assert refused.wait_for("error")["message"] == "x-devenv.seed: there is no file ./seed.tar"
    assert other.leftovers() == {}
    saved = str(listed(db, state_env)[0]["id"])
    assert of(db, state_env, "snapshot", "export", saved, str(other.folder / "seed.tar")).returncode == 0
    run = up.ready(other)
    assert marker(other) == "theirs"
    assert other.execute("db", "sh", "-c", "cd /data; sha256sum noise text") == content
    write(other, "ours")
    assert run.stop() == 130
    run = up.ready(other)
    assert marker(other) == "ours"
    assert run.stop() == 130
    assert (db.leftovers(), other.leftovers()) == ({}, {})


def test_volume_of_plain_compose_is_not_replaced(db: Stack, state_env: dict[str, str]) -> None:
    """The volume can be saved, but nothing is restored over it."""
    assert db.compose("up", "-d").returncode == 0
    write(db, "mine")
    assert of(db, state_env, "snapshot", "save", "data").returncode == 0
    refused = of(db, state_env, "snapshot", "restore")
    assert refused.returncode == 6
    assert f"docker volume rm {db.name}_data" in refused.stderr
    assert of(db, state_env, "snapshot", "save", "dada").stderr.startswith("error: there is no volume dada")
    assert of(db, state_env, "snapshot", "save", "--name", "../x").returncode == 2
    assert of(db, state_env, "snapshot", "rm", "nothing").returncode == 2
    assert marker(db) == "mine"


def test_volume_on_a_host_folder_is_never_saved_or_restored(stack: Stack, up: Up, state_env: dict[str, str]) -> None:
    """A volume that only leads to a host folder is never saved or restored, with any command."""
    folder = stack.folder / "lies here"
    folder.mkdir()
    options = {"type": "none", "o": "bind", "device": str(folder)}
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {"driver_opts": options}})
    run = up.ready(stack)
    write(stack, "monday")
    assert of(stack, state_env, "snapshot", "save").returncode == 2
    assert run.stop() == 130
    assert stack.leftovers() == {}
    (folder / "marker").write_text("tuesday\n")
    again = up.ready(stack)
    assert marker(stack) == "tuesday"
    assert not again.all("restored")
    assert again.stop() == 130
    assert listed(stack, state_env) == []


def test_killed_save_does_not_block_the_project(
    db: Stack, up: Up, devenv: StartDevenv, state_env: dict[str, str]
) -> None:
    """Containers that it had paused go on at once, or at the next `up` if its children were killed, too."""
    assert up(db, "-d").wait() == 0
    db.execute("db", "sh", "-c", "head -c 100000000 /dev/urandom >/data/large; echo here >/data/marker")
    container = db.container("db")
    save = devenv("snapshot", "save", cwd=db.folder, env=db.env)
    save.wait_for("step", name="save", state="detail")
    save.process.kill()
    docker_cli.until(lambda: docker_cli.inspect(container)["State"]["Status"] == "running")
    docker_cli.until(lambda: not list(Path(state_env["XDG_STATE_HOME"]).glob("*/runs/*/paused")))

    save = devenv("snapshot", "save", cwd=db.folder, env=db.env)
    save.wait_for("step", name="save", state="detail")
    save.kill()
    assert docker_cli.inspect(db.container("db"))["State"]["Status"] == "paused"
    before = db.containers("db")
    again = up(db, "-d")
    assert again.wait() == 0, again.report()
    assert db.containers("db") == before
    assert marker(db) == "here"
    db.execute("db", "rm", "/data/large")
    down = devenv("down", cwd=db.folder, env=db.env)
    assert down.wait() == 0, down.report()
    assert db.leftovers() == {}


def test_gc_ends_and_saves_a_dead_run(db: Stack, up: Up, state_env: dict[str, str]) -> None:
    """`gc` works with a dead guardian, too; other commands mention the run in one line."""
    run = up.ready(db)
    write(db, "orphan")
    kill_all(run)
    images = of(db, state_env, "images")
    left = f"1 container, 1 network, 1 volume of {db.name}"
    assert images.stderr == f"left by an earlier run: {left}; devenv down -p {db.name}\n"
    there = db.leftovers()
    dry = of(db, state_env, "gc", "--dry-run")
    assert (dry.returncode, db.leftovers()) == (0, there)
    assert f"{db.name}: 1 container, 1 network, 1 volume of a dead run" in dry.stdout
    assert of(db, state_env, "gc").returncode == 0
    assert db.leftovers() == {}
    assert of(db, state_env, "images").stderr == ""
    assert len(listed(db, state_env)) == 1


def kill_all(run: Devenv) -> None:
    """Kill the run, its children and its guardian at once."""
    for pid in {run.process.pid, *run.survivors(timeout=0)}:
        os.kill(pid, signal.SIGKILL)
    run.process.wait(10)
