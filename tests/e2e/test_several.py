"""Several trees of one repository up at the same time, each with its own name, ports and data."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from devenv.host import listeners
from support import cli, docker_cli, worktrees
from support.cli import Devenv, StartDevenv
from support.stack import Stack, built_service, copy_sample, free_port, idle_service, place_of, unique_name
from support.upper import Up

pytestmark = pytest.mark.engine

UP_TIMEOUT = 900  # seconds; on a new machine the images are built first
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Trees = Callable[[Path, int], list[Stack]]


@pytest.fixture
def trees(engine: str, base_image: str, tmp_path: Path) -> Iterator[Trees]:
    """Makes worktrees of a folder, which becomes a repository: `trees(folder, number)`.

    All are removed after the test. Nothing in their environment names the project.
    """
    made: list[Stack] = []

    def make(folder: Path, number: int) -> list[Stack]:
        main = worktrees.repository(folder)
        made.append(Stack(main, main.name))
        for index in range(number):
            tree = worktrees.add(main, tmp_path / f"tree-{index}")
            made.append(Stack(tree, f"{main.name}-{tree.name}"))
            made[-1].env = {}
        return made[-number:]

    yield make
    for stack in made:
        stack.remove()


def address(run: Devenv) -> dict[str, str]:
    """Service and container port -> the address in `ready`."""
    (ready,) = run.all("ready")
    return {f"{port['service']} {port['target']}": port["address"] for port in ready["ports"]}


def bound(port: str) -> set[str]:
    """The addresses on which this machine listens at the port."""
    number = f"{int(port):04X}"
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()]
    return {row[1].partition(":")[0] for row in rows if row[3] == listeners.LISTEN and row[1].endswith(f":{number}")}


@pytest.mark.long
def test_worktrees_have_their_own_ports_and_data(trees: Trees, tmp_path: Path, devenv: StartDevenv) -> None:
    """Five trees of the sample are up at once; each todo is only in the database of its own tree."""
    folder = copy_sample(tmp_path).rename(tmp_path / unique_name("todos"))
    stacks = trees(folder, 5)
    runs = [devenv("up", "-d", "--stand-ins", "--port", "auto", cwd=stack.folder) for stack in stacks]
    for run, stack in zip(runs, stacks, strict=True):
        assert run.wait_for("ready", timeout=UP_TIMEOUT)["project"] == stack.name
        assert run.wait() == 0, run.report()
    sites = [run.all("ready")[0]["urls"][0] for run in runs]
    assert len(set(sites)) == len(stacks)
    for site, stack in zip(sites, stacks, strict=True):
        title = json.dumps({"title": stack.name}).encode()
        todo = urllib.request.Request(f"{site}api/todos", title, {"content-type": "application/json"})
        with direct.open(todo, timeout=30) as answer:
            assert answer.status < 300
    for site, stack in zip(sites, stacks, strict=True):
        with direct.open(f"{site}api/todos", timeout=30) as answer:
            assert [todo["title"] for todo in json.load(answer)] == [stack.name]
        port = stack.execute("backend", "printenv", "DEVENV_PORT_PROXY_80")
        assert site == f"http://localhost:{port.strip()}/"
    ends = [devenv("down", "--volumes", cwd=stack.folder) for stack in stacks]
    assert [end.wait() for end in ends] == [0] * len(stacks)
    assert [stack.leftovers() for stack in stacks] == [{}] * len(stacks)


def test_removed_worktrees_leave_nothing_after_gc(
    trees: Trees, tmp_path: Path, devenv: StartDevenv, state_env: Mapping[str, str]
) -> None:
    """Four trees are listed from any folder: one is ended by name, then all are removed, while three still run."""
    main = tmp_path / unique_name("gone")
    stack = Stack(main, main.name)
    stack.write(
        "compose.yml",
        json.dumps(
            {
                "services": {
                    "web": {**built_service("RUN touch /x", volumes=["data:/d"]), "image": f"{main.name}/web:dev"}
                },
                "volumes": {"data": {}},
            }
        ),
    )
    stacks = trees(main, 4)
    runs = [devenv("up", "-d", cwd=stack.folder) for stack in stacks]
    assert [run.wait() for run in runs] == [0] * 4, runs[0].report()
    assert docker_cli.docker("image", "ls", "-q", f"{main.name}/web") == ""

    def listed() -> dict[str, tuple[str, str | None]]:
        done = cli.run("ls", "--output", "json", cwd=tmp_path, env=state_env)
        return {run["project"]: (run["state"], run["branch"]) for run in json.loads(done.stdout)["runs"]}

    assert listed() == {stack.name: ("detached", f"branch/{stack.folder.name}") for stack in stacks}
    assert cli.run("down", stacks[0].name, cwd=tmp_path, env=state_env).returncode == 0
    assert listed().keys() == {stack.name for stack in stacks[1:]}
    first = stacks[0].name  # built by somebody else, in another folder with the same project name
    labels = [f"--label=com.docker.compose.{key}" for key in (f"project={first}", "service=other")]
    (tmp_path / "Dockerfile").write_text(f"FROM {docker_cli.BASE_IMAGE}\n")
    docker_cli.docker("build", "-q", *labels, "-t", f"{first}-other:latest", str(tmp_path))
    for stack in stacks:
        worktrees.git(main, "worktree", "remove", "--force", str(stack.folder))
    assert listed() == {stack.name: ("ended" if stack is stacks[0] else "detached", None) for stack in stacks}
    assert cli.run("gc", cwd=tmp_path, env=state_env).returncode == 0
    assert listed() == {}
    assert [stack.leftovers() for stack in stacks] == [{}] * 4
    assert docker_cli.docker("image", "inspect", "-f", "{{.RepoTags}}", f"{first}-other") == f"[{first}-other:latest]"
    assert len(docker_cli.images_of(first)) == 1
    docker_cli.remove_images(first)
    assert [docker_cli.images_of(stack.name) for stack in stacks[1:]] == [[]] * 3
    state = Path(state_env["XDG_STATE_HOME"], "devenv-compose")
    assert (len([*(state / "runs").iterdir()]), len([*(state / "snapshots").iterdir()])) == (0, 4)
    assert cli.run("gc", "--snapshots", cwd=tmp_path, env=state_env).returncode == 0
    assert [*(state / "snapshots").iterdir(), *(state / "lineages").glob("*.json")] == []


def test_tree_keeps_its_ports_and_data(
    trees: Trees, tmp_path: Path, devenv: StartDevenv, state_env: Mapping[str, str]
) -> None:
    """A tree keeps its ports through a second `up`, which replaces nothing, and `down`; no other tree gets them.

    Other commands, ours and those of `docker compose`, work on the tree in which they are typed.
    """
    main = tmp_path / unique_name("ports")
    stack = Stack(main, main.name)
    web = idle_service(ports=["80:80", "81"], volumes=["data:/data"])
    model = {
        "services": {"web": web, "my-db": idle_service()},
        "volumes": {"data": {}},
        "x-devenv": {"ports": "auto"},
    }
    stack.write("compose.yml", json.dumps(model))
    left, right = trees(main, 2)

    def up(tree: Stack) -> dict[str, str]:
        run = devenv("up", "-d", cwd=tree.folder)
        run.wait_for("ready")
        assert run.wait() == 0, run.report()
        return address(run)

    ports, other_ports = up(left), up(right)
    assert ports.keys() == {"web 80", "web 81"}
    assert not set(ports.values()) & set(other_ports.values())
    ids = left.containers()
    assert up(left) == ports
    assert left.containers() == ids
    for service, target in (("my-db", 80), ("web", 81)):
        number = left.execute(service, "printenv", f"DEVENV_PORT_WEB_{target}").strip()
        assert ports[f"web {target}"] == f"127.0.0.1:{number}"
        loopback = {"0100007F", "00000000000000000000000001000000"}
        assert bound(number) == loopback if len(listeners.loopbacks(os.uname().release)) > 1 else {"0100007F"}

    port = ports["web 80"].partition(":")[2]
    refused = devenv("up", "--port", f"web:{port}=80", cwd=right.folder)
    assert refused.wait() == 4, refused.report()
    assert (
        f"port {port} (service web) is taken by web of the project {left.name}" in refused.all("error")[0]["message"]
    )

    def typed(*args: str) -> str:
        done = cli.run(*args, cwd=left.folder, env=state_env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    typed("exec", "-T", "web", "sh", "-c", "echo mine > /data/whose")
    assert right.read("web", "/data/whose") is None
    assert set(typed("ps", "-q", "--no-trunc").split()) == set(ids)
    assert typed("config").startswith(f"{left.name} in ")
    typed("sync")
    typed("down")
    assert (left.leftovers(), len(right.containers())) == ({}, 2)

    assert up(left) == ports
    assert left.read("web", "/data/whose") == "mine\n"
    for tree in (left, right):
        assert cli.run("down", "-v", cwd=tree.folder, env=state_env).returncode == 0


def test_file_with_fixed_names_is_up_in_three_trees(
    trees: Trees, tmp_path: Path, devenv: StartDevenv, state_env: Mapping[str, str]
) -> None:
    """`name`, `container_name`, named network and volume, `container:`, a fixed port and `.env` do not collide."""
    main = Stack(tmp_path / unique_name("fixed"), "")
    main.name, db = main.folder.name, f"{main.folder.name}_db"
    side = idle_service(
        container_name=f"{main.name}_side",
        network_mode=f"container:{db}",
        volumes_from=[f"container:{db}:ro"],
        depends_on=["db"],
    )
    subnet = f"10.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"
    port = free_port()
    ports, url = [f"{port}:80"], f"http://localhost:{port}/"
    own = {"container_name": db, "volumes": ["data:/data"], "env_file": [".env"]}
    networks = {"back": {"ipv4_address": f"{subnet}.5"}}
    services = {"db": idle_service(**own, networks=networks, ports=ports, environment={"URL": url}), "side": side}
    back = {"name": f"{db}_net", "ipam": {"config": [{"subnet": f"{subnet}.0/24"}]}}
    names = {"volumes": {"data": {"name": f"{db}_data"}}, "networks": {"back": back}}
    main.compose_file(services, **names)
    main.write(".gitignore", ".env\n")
    stacks = [main, *trees(main.folder, 2)]
    main.write(".env", "KIND=mine\n")

    refused = devenv("up", "-d", cwd=stacks[1].folder)
    assert refused.wait() == 5, refused.report()
    assert refused.all("error")[0]["hint"] == f"cp {main.folder}/.env .env"
    for stack in stacks[1:]:
        stack.write(".env", "KIND=copy\n")
    runs = [devenv("up", "-d", cwd=stack.folder) for stack in stacks]
    for run, stack in zip(runs, stacks, strict=True):
        assert run.wait_for("ready", timeout=UP_TIMEOUT)["project"] == stack.name
        assert run.wait() == 0, run.report()
    taken = [address(run)["db 80"] for run in runs]
    assert (len(set(taken)), taken[0]) == (3, f"127.0.0.1:{port}")
    line = place_of(main.folder, "URL")
    runs[1].wait_for(
        "notice", message=f"{line}: URL names localhost:{port}, which is localhost:{taken[1][10:]} in this run"
    )

    def typed(stack: Stack, *args: str) -> str:
        done = cli.run(*args, cwd=stack.folder, env=state_env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for stack in stacks:
        typed(stack, "exec", "-T", "db", "sh", "-c", f"echo {stack.name} > /data/whose")
    for stack in stacks:
        assert stack.read("side", "/data/whose") == f"{stack.name}\n"
        found = stack.execute("db", "sh", "-c", f"getent hosts {db}; hostname -i").split()
        assert found[0] == found[-1]
        assert set(typed(stack, "ps", "-q", "--no-trunc").split()) == set(stack.containers())
    assert typed(stacks[1], "run", "--rm", "-T", "side", "cat", "/data/whose") == f"{stacks[1].name}\n"
    ends = [devenv("down", "--volumes", cwd=stack.folder) for stack in stacks]
    assert [end.wait() for end in ends] == [0] * len(stacks)
    assert [stack.leftovers() for stack in stacks] == [{}] * len(stacks)


def test_port_added_during_a_run_gets_a_free_number(stack: Stack, up: Up) -> None:
    """The number is reported; the other ports do not change."""
    services = {"web": idle_service(ports=["80:80"])}
    stack.compose_file(services)
    run = up.ready(stack, "--port", "auto")
    stack.compose_file({**services, "late": idle_service(ports=["81"])})
    assert run.wait_for("reloaded", added=["late"])["recreated"] == ["web"]
    late = stack.execute("web", "printenv", "DEVENV_PORT_LATE_81").strip()
    assert bound(late)
    run.wait_for("notice", message=f"late 81 is published on port {late}")
    assert stack.execute("late", "printenv", "DEVENV_PORT_WEB_80").strip() == address(run)["web 80"].split(":")[1]
    assert run.stop() == 130


def test_two_services_on_one_port_are_refused(stack: Stack, up: Up) -> None:
    """Nothing is created; exit code 5, the line of the second service, and a `--port` that works are reported."""
    port = free_port()
    stack.compose_file({"a": idle_service(ports=["80", f"{port}:80"]), "b": idle_service(ports=[f"{port}:81"])})
    run = up(stack)
    assert run.wait() == 5, run.report()
    error = run.all("error")[0]
    lines = (stack.folder / "compose.yml").read_text().splitlines()
    assert error["where"] == f"compose.yml:{1 + lines.index(f'    - {port}:81')}"
    assert f"both publish the host port {port}" in error["message"]
    assert stack.leftovers() == {}
    way_out = re.search(r"--port \S+", error["hint"])
    assert way_out
    assert up.ready(stack, *way_out[0].split()).stop() == 130
    stack.compose_file({"a": idle_service(ports=[f"{port}:80"], scale=2)})
    run = up(stack)
    assert run.wait() == 5, run.report()
    error = run.all("error")[0]
    assert error["message"] == f"`a` has 2 containers, but only one can have the host port {port}"
    assert error["where"].startswith("compose.yml:")


@pytest.mark.skipif(os.getuid() != 0, reason="a network of its own needs root")
def test_unreachable_published_ports_are_reported(stack: Stack, state_env: Mapping[str, str]) -> None:
    """If ports are published elsewhere, as with WSL2, a notice suggests `--lan`, unless it was given."""
    test = {"test": ["CMD", "true"], "interval": "1s", "start_interval": "100ms", "start_period": "10s"}
    stack.compose_file({"web": idle_service(ports=[f"{free_port()}:80"], healthcheck=test)})
    elsewhere = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-m", "devenv"]
    for options, hints in ([], ["devenv up --lan"]), (["--lan"], []):
        done = subprocess.run(
            [*elsewhere, "up", "-d", "--output", "json", *options],
            cwd=stack.folder,
            env={**os.environ, **stack.env, **state_env},
            capture_output=True,
            text=True,
            check=True,
        )
        events = [json.loads(line) for line in done.stdout.splitlines()]
        refused = [event["hint"] for event in events if event["event"] == "notice" and "refused" in event["message"]]
        assert refused == hints, done.stdout
        assert cli.run("down", cwd=stack.folder, env={**stack.env, **state_env}).returncode == 0
