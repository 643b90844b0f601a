"""`devenv run` and `devenv scale`: containers next to a run, which is not disturbed."""

from __future__ import annotations

import pytest

from support import cli, docker_cli
from support.stack import Stack, free_port, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine


@pytest.fixture
def trio(stack: Stack) -> Stack:
    """A database with a port, a tool of a profile, and an app that waits for both."""
    stack.compose_file(
        {
            "db": idle_service(ports=[f"{free_port()}:80"]),
            "seed": idle_service(command=["sh", "-c", "echo seeded"]),
            "app": idle_service(
                depends_on={
                    "db": {"condition": "service_started"},
                    "seed": {"condition": "service_completed_successfully"},
                }
            ),
            "tool": idle_service(command=["sh", "-c", "echo $$WORD"], profiles=["tools"], depends_on=["app"]),
        }
    )
    return stack


def test_one_off_container_does_not_recreate_dependencies(trio: Stack, up: Up, state_env: dict[str, str]) -> None:
    """Unlike with Compose, the database is not recreated, and the seed does not run again."""
    env = {**trio.env, **state_env}
    run = up.ready(trio)
    before = {
        container: docker_cli.inspect(container)["State"]["StartedAt"]
        for container in docker_cli.containers(trio.name)
    }
    done = cli.run("run", "--rm", "-e", "WORD=app", "tool", cwd=trio.folder, env=env)
    assert (done.returncode, done.stdout) == (0, "app\n"), done.stderr
    assert cli.run("run", "--rm", "app", "sh", "-c", "exit 7", cwd=trio.folder, env=env).returncode == 7
    assert {
        container: docker_cli.inspect(container)["State"]["StartedAt"]
        for container in docker_cli.containers(trio.name)
    } == before
    assert run.stop() == 130
    assert trio.leftovers() == {}


def test_one_off_container_does_not_prevent_a_start(trio: Stack, up: Up) -> None:
    """A one-off container does not count for its service; without a run, `run` starts dependencies on loopback."""
    alone = cli.run("run", "--name", f"{trio.name}-left", "app", "true", cwd=trio.folder, env=trio.env)
    assert alone.returncode == 0, alone.stderr
    db = docker_cli.inspect(docker_cli.containers(trio.name, "db")[0])
    assert {at["HostIp"] for at in db["NetworkSettings"]["Ports"]["80/tcp"]} <= {"127.0.0.1", "::1"}
    assert "devenv.project" not in db["Config"]["Labels"]
    run = up.ready(trio)
    assert [event["service"] for event in run.all("service") if event["state"] == "healthy"].count("app") == 1
    assert run.stop() == 130
    assert {docker_cli.inspect(container)["Name"] for container in docker_cli.containers(trio.name)} >= {
        f"/{trio.name}-left"
    }
    trio.compose("down", "--remove-orphans")


def test_scaled_containers_belong_to_the_run(stack: Stack, up: Up, state_env: dict[str, str]) -> None:
    """Unlike with Compose, containers keep our label, and `down` removes all; without a run, Compose scales."""
    stack.compose_file({"two": idle_service(), "one": idle_service(ports=[f"{free_port()}:80"])})
    env = {**stack.env, **state_env}
    up.ready(stack, "--detach").process.wait()
    first = {*docker_cli.containers(stack.name)}
    scale = cli.run("scale", "two=3", cwd=stack.folder, env=env)
    assert scale.returncode == 0, scale.stderr
    assert len(docker_cli.containers(stack.name, "two")) == 3
    assert first <= {*docker_cli.containers(stack.name)}
    assert cli.run("down", cwd=stack.folder, env=env).returncode == 0
    assert stack.leftovers() == {}
    assert cli.run("scale", "two=2", cwd=stack.folder, env=env).returncode == 0
    labels = [docker_cli.inspect(container)["Config"]["Labels"] for container in docker_cli.containers(stack.name)]
    assert not any("devenv.project" in each for each in labels)
    stack.compose("down")
