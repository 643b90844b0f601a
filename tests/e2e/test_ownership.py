"""Objects that existed before a run, or belong to others, are unchanged after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support import cli, docker_cli
from support.docker_cli import BASE_IMAGE, docker
from support.stack import IDLE, NewStack, Stack, idle_service, unique_name
from support.upper import Up

pytestmark = pytest.mark.engine


@contextmanager
def outside_things(name: str) -> Iterator[None]:
    """A volume with content and a network without a Compose project, both called `name`."""
    docker("volume", "create", name)
    docker("network", "create", name)
    docker("run", "--rm", "-v", f"{name}:/v", BASE_IMAGE, "sh", "-c", "echo outside >/v/marker")
    try:
        yield
    finally:
        docker("network", "rm", name)
        docker("volume", "rm", name)


@contextmanager
def decoy(project: str) -> Iterator[str]:
    """The id of a container whose labels claim that it is devenv's own in that project."""
    labels = {
        "devenv.project": project,
        docker_cli.PROJECT_LABEL: project,
        "com.docker.compose.service": "decoy",
        "com.docker.compose.container-number": "1",
        "com.docker.compose.oneoff": "False",
    }
    flags = [f"--label={key}={value}" for key, value in labels.items()]
    made = docker("run", "-d", "--init", *flags, BASE_IMAGE, "sleep", "600")
    try:
        yield made
    finally:
        docker_cli.succeeds("rm", "-f", made)


def test_existing_objects_survive_a_run(stack: Stack, up: Up) -> None:
    """Containers, networks and volumes of plain Compose in this project, external and forged ones survive."""
    outside = unique_name("outside")
    mine = idle_service(volumes=["new:/new", "outside:/outside"], networks=["default", "outside", "extra"])
    db = idle_service(volumes=["data:/data"])
    with outside_things(outside):
        stack.compose_file({"db": db}, volumes={"data": {}})
        assert stack.compose("up", "-d").returncode == 0
        stack.execute("db", "sh", "-c", "echo mine >/data/marker")
        before = docker_cli.Inventory.now()
        stack.compose_file(
            {"db": db, "web": mine},
            volumes={"data": {}, "new": {}, "outside": {"external": True, "name": outside}},
            networks={"outside": {"external": True, "name": outside}, "extra": {}},
        )
        with decoy(stack.name) as forged:
            run_beside(stack, up, forged)
        assert docker("run", "--rm", "-v", f"{outside}:/v", BASE_IMAGE, "cat", "/v/marker") == "outside"
        assert before.changes(docker_cli.Inventory.now(), only_project_prefix=stack.name) == []
        stack.remove()


def run_beside(stack: Stack, up: Up, forged: str) -> None:
    """Do a whole run beside foreign objects: it uses them and removes only its own."""
    database = stack.container("db")
    started = docker_cli.inspect(database)["State"]["StartedAt"]
    run = up.ready(stack)
    assert stack.read("web", "/outside/marker") == "outside\n"
    assert stack.container("db") == database
    assert run.stop() == 130, run.report()
    assert run.wait_for("stopped")["survivors"] == []
    removed = {(event["kind"], event["name"]) for event in run.all("removed")}
    assert removed == {
        ("container", f"{stack.name}-web-1"),
        ("network", f"{stack.name}_extra"),
        ("volume", f"{stack.name}_new"),
    }
    assert docker_cli.inspect(forged)["State"]["Running"]
    assert docker_cli.inspect(database)["State"]["StartedAt"] == started
    assert stack.read("db", "/data/marker") == "mine\n"


def test_ending_one_project_does_not_disturb_another(new_stack: NewStack, up: Up) -> None:
    """The other project's containers are unchanged, and its files still synced."""
    rule = {"path": "./src", "action": "sync", "target": "/app"}
    stacks = [new_stack(folder=name) for name in ("one", "other")]
    for stack in stacks:
        stack.write("src/a", "before")
        stack.compose_file(
            {"web": idle_service(develop={"watch": [rule]}, volumes=["data:/data"])}, volumes={"data": {}}
        )
    left, right = stacks
    first_run, second_run = up(left), up(right)
    first_run.wait_for("ready")
    second_run.wait_for("ready")
    ids = right.containers()
    assert first_run.stop() == 130
    assert left.leftovers() == {}
    right.write("src/a", "after")
    second_run.wait_for("synced", service="web")
    assert right.read("web", "/app/a") == "after"
    assert right.containers() == ids
    assert not second_run.all("problem")
    assert second_run.stop() == 130
    assert right.leftovers() == {}


def test_second_up_of_a_project_is_refused(stack: Stack, up: Up) -> None:
    """The second `up` exits with 3, names the process of the first, and disturbs nothing.

    `devenv logs` shows the logs of the first.
    """
    stack.compose_file({"web": idle_service(command=["sh", "-c", f"echo here I am; {IDLE[2]}"])})
    first = up.ready(stack)
    before = stack.containers()
    second = up(stack)
    assert second.wait() == 3
    error = second.all("error")[0]
    assert f"pid {first.process.pid} since " in error["message"]
    assert error["hint"].startswith("devenv logs ")
    logs = cli.run("logs", "web", cwd=stack.folder, env=stack.env)
    assert (logs.returncode, "here I am" in logs.stdout) == (0, True)
    assert stack.containers() == before
    assert first.stop() == 130
    assert stack.leftovers() == {}
