"""Containers that devenv or others recreate have the files of the tree; no other service waits for them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from support import docker_cli
from support.stack import Stack, built_service, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

UP_TO_DATE = 2.0  # seconds from the command that recreated a container until it is equal to the host


def rule(path: str, action: str = "sync") -> dict[str, Any]:
    """A watch rule with a target named like its folder."""
    return {"path": f"./{path}", "action": action, **({"target": f"/{path}"} if "sync" in action else {})}


def test_files_saved_during_a_build_are_in_the_new_container(stack: Stack, up: Up) -> None:
    """A slow build does not delay other services, and the new container has all files.

    A file that requires a rebuild during a build causes another one.
    """
    word = secrets.token_hex(4)  # a cached build of another run would not be slow
    stack.write("version", "1")
    stack.write("src/a", "before")
    web = built_service(
        "COPY version /version\nRUN [ $(cat /version) = 1 ] || sleep 3",
        develop={"watch": [rule("version", "rebuild"), rule("src")]},
    )
    stack.compose_file({"web": web, "side": idle_service(develop={"watch": [rule("src")]})})
    run = up.ready(stack)
    stack.write("version", f"2{word}")
    run.wait_for("step", name="rebuild", state="begin")
    time.sleep(0.5)
    stack.write("src/a", "during")
    stack.write("version", f"3{word}")
    docker_cli.until(lambda: stack.read("side", "/src/a"), lambda text: text == "during", timeout=2)
    assert not run.all("rebuilt"), "the build was over before the save"
    docker_cli.until(lambda: len(run.all("rebuilt", service="web")), lambda count: count == 2)
    assert (stack.read("web", "/version"), stack.read("web", "/src/a")) == (f"3{word}", "during")
    assert run.all("problem") == []
    assert run.stop() == 130


def test_containers_recreated_by_others_are_synced(stack: Stack, up: Up) -> None:
    """Containers that plain Docker recreates, scales or restarts are up to date within two seconds."""
    for number in range(20):
        stack.write(f"src/{number}", str(number))
    stack.compose_file({"web": built_service("RUN mkdir /src", develop={"watch": [rule("src")]})})
    run = up.ready(stack)

    def took(command: Callable[[], object]) -> float:
        command()
        began = time.monotonic()
        wanted = {str(number) for number in range(20)}
        for container in stack.containers("web"):
            docker_cli.until(
                partial(docker_cli.execute, container, "ls", "/src"),
                lambda output: {*output.split()} == wanted,
                timeout=10,
            )
        return time.monotonic() - began

    def restart() -> None:
        stack.execute("web", "sh", "-c", "rm /src/*")
        docker_cli.docker("restart", stack.container("web"))

    figures = {
        "restarted": took(restart),
        "recreated": took(lambda: stack.compose("up", "-d", "--force-recreate", "web")),
        "scaled": took(lambda: stack.compose("up", "-d", "--scale", "web=3", "web")),
    }
    assert len(stack.containers("web")) == 3
    assert max(figures.values()) < UP_TO_DATE, figures
    stack.write("src/0", "from now on, too")
    for container in stack.containers("web"):
        docker_cli.until(lambda c=container: docker_cli.read(c, "/src/0"), "from now on, too".__eq__, timeout=5)  # type: ignore[misc]
    assert run.all("problem") == []


def test_restart_waits_only_if_compose_waits_for_the_service(stack: Stack, up: Up) -> None:
    """Services restart at once while Compose waits for another one to be healthy."""
    healthy = {"test": ["CMD", "test", "-e", "/tmp/ready"], "interval": "0.2s", "retries": 100}
    stack.write("web.conf", "1")
    stack.write("slow.conf", "1")
    stack.compose_file(
        {
            "web": idle_service(develop={"watch": [rule("web.conf", "restart")]}, healthcheck=None),
            "slow": idle_service(develop={"watch": [rule("slow.conf", "restart")]}, healthcheck=healthy),
            "late": idle_service(depends_on={"slow": {"condition": "service_healthy"}}),
        }
    )
    run = up(stack)
    run.wait_for("service", service="web", state="started")
    run.wait_for("service", service="slow", state="starting")
    stack.write("slow.conf", "2")
    stack.write("web.conf", "2")
    run.wait_for("restarted", service="web", timeout=5)
    assert not run.all("restarted", service="slow")
    stack.execute("slow", "touch", "/tmp/ready")
    run.wait_for("ready")
    run.wait_for("restarted", service="slow")
    assert run.all("problem") == []
    assert run.stop() == 130


def test_rebuild_with_the_same_image_replaces_the_container(stack: Stack, up: Up) -> None:
    """The new container has the saved files."""
    rules = [{"action": "rebuild", "path": "./src/pkg"}, {"action": "sync", "path": "./src", "target": "/src"}]
    stack.write("src/pkg", "one")
    stack.compose_file({"web": built_service("WORKDIR /src", develop={"watch": rules})})
    run = up.ready(stack)
    before = stack.compose("ps", "-q").stdout
    stack.write("src/pkg", "two")
    run.wait_for("rebuilt", service="web")
    assert stack.compose("ps", "-q").stdout != before
    assert stack.read("web", "/src/pkg") == "two"
    assert run.stop() == 130
