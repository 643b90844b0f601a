"""Errors before anything runs name the command to type next."""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest

from devenv.host import listeners
from support import cli, docker_cli
from support.cli import StartDevenv
from support.docker_cli import BASE_IMAGE, docker
from support.stack import Stack, free_port, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine
LOOPBACKS = listeners.loopbacks(os.uname().release)

SERVICE = f"services:\n  web:\n    image: {BASE_IMAGE}\n"
RULE = f"{SERVICE}    develop:\n      watch:\n"


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("services:\n  web: [\n", "compose.yml:2", r"a bracket is not closed", r"Close it"),
        (f"{SERVICE}    imagee: x\n", "compose.yml:4", r"unknown key `imagee`", r"Did you mean `image`\?"),
        (f"{SERVICE}    ports: ['http']\n", "compose.yml:4", r"`http` is not a port mapping", r"8080:80"),
        (f"{RULE}        - path: ./src\n          action: sync\n", "compose.yml:6", r"`target`", None),
        (f"{RULE}        - {{path: ./src, action: sync, target: app}}\n", "compose.yml:6", r"not absolute", r"/app`"),
        (f"{RULE}        - {{path: ./src, action: rebuild}}\n", "compose.yml:6", r"nothing to rebuild", r"`build:`"),
        (
            f"{RULE}        - {{path: ., action: synch, target: /a}}\n",
            "compose.yml:6",
            r"`synch` is not one of",
            None,
        ),
    ],
    ids=["bad YAML", "unknown key", "port", "sync without target", "relative target", "rebuild", "action"],
)
def test_compose_file_error_has_its_place_and_a_hint(
    stack: Stack, state_env: Mapping[str, str], text: str, where: str, message: str, hint: str | None
) -> None:
    """The error has file:line, the problem and the correction, with exit code 5; nothing is created."""
    stack.write("compose.yml", text)
    done = cli.run("up", cwd=stack.folder, env={**state_env, **stack.env})
    assert done.returncode == 5, done.stderr
    assert re.match(rf"error: {where}(:\d+)?: ", done.stderr), done.stderr
    assert re.search(message, done.stderr.splitlines()[0])
    assert hint is None or re.search(rf"^  hint: .*{hint}", done.stderr, re.MULTILINE), done.stderr
    assert not re.search(r"Traceback|level=|additional propert", done.stderr)
    assert stack.leftovers() == {}


def test_missing_compose_file_is_reported(stack: Stack, state_env: Mapping[str, str]) -> None:
    """The error names the folder that was searched, with exit code 5."""
    done = cli.run("up", cwd=stack.folder, env={**state_env, **stack.env})
    assert done.returncode == 5, done.stderr
    assert "compose.y" in done.stderr


def test_missing_engine_is_reported_with_its_address(stack: Stack, state_env: Mapping[str, str]) -> None:
    """The error has the address and the command that starts an engine, exit code 4."""
    stack.compose_file({"web": idle_service()})
    dead = f"unix://{stack.folder}/no.sock"
    done = cli.run("up", cwd=stack.folder, env={**state_env, **stack.env, "DOCKER_HOST": dead})
    assert done.returncode == 4, done.stderr
    first, second = done.stderr.splitlines()
    assert dead in first
    assert re.fullmatch(r"  hint: .*(systemctl start docker|dockerd|open -a Docker).*", second)


@contextmanager
def listening(port: int) -> Iterator[str]:
    """Listen on the loopback port in this process; return devenv's name for it."""
    with socket.create_server(("127.0.0.1", port)):
        yield f"pid {os.getpid()} ("


@contextmanager
def listening_on_ipv6(port: int) -> Iterator[str]:
    """Listen on the IPv6 loopback port, which a browser tries first; return devenv's name for the process."""
    if len(LOOPBACKS) == 1:
        pytest.skip("the engine has no IPv6 here")
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        yield f"pid {os.getpid()} ("


@contextmanager
def publishing(port: int) -> Iterator[str]:
    """Publish the loopback port of a container; return devenv's name for it."""
    name = f"dvt-port-{port}"
    docker("run", "-d", "--rm", "--init", f"--name={name}", f"-p=127.0.0.1:{port}:80", BASE_IMAGE, "sleep", "600")
    try:
        yield f"container {name}"
    finally:
        docker_cli.succeeds("rm", "-f", name)


@pytest.mark.parametrize("taken", [listening, listening_on_ipv6, publishing])
def test_port_in_use_is_reported_with_its_user_and_a_working_hint(
    stack: Stack, up: Up, taken: Callable[[int], AbstractContextManager[str]]
) -> None:
    """The error names the process that uses the port, with exit code 4; the `--port` in the hint works.

    Ports are published on loopback addresses only, which is reported once; an address in the file is kept.
    """
    port, named = free_port(), free_port()
    stack.compose_file(
        {"web": idle_service(ports=[f"{port}:80"]), "open": idle_service(ports=[f"0.0.0.0:{named}:80"])}
    )
    with taken(port) as owner:
        refused = up(stack)
        assert refused.wait() == 4, refused.report()
        error = refused.all("error")[0]
        assert f"port {port} (service web) is taken by {owner}" in error["message"]
        assert stack.leftovers() == {}
        program, verb, *typed = shlex.split(error["hint"])
        assert (program, verb) == ("devenv", "up")
        if taken is not publishing:  # the rest is the same in all cases
            return
        run = up.ready(stack, *typed)
        free = typed[typed.index("--port") + 1].split(":")[1].split("=")[0]
        assert published(stack, "web") == [(ip, free) for ip in LOOPBACKS]
        assert len(run.all("notice", message=lambda message: "--lan" in message)) == 1
        assert published(stack, "open") == [("0.0.0.0", str(named))]
        assert run.stop() == 130


def published(stack: Stack, service: str) -> list[tuple[str, str]]:
    """(host address, host port) of the container port 80 on the engine."""
    bindings = docker_cli.inspect(stack.container(service))["NetworkSettings"]["Ports"]["80/tcp"]
    return sorted((binding["HostIp"], binding["HostPort"]) for binding in bindings)


@pytest.mark.parametrize("how", ["--lan", "x-devenv"])
def test_lan_option_publishes_ports_as_written(stack: Stack, up: Up, how: str) -> None:
    """`--lan`, or `ports: as-written` in x-devenv, publishes ports like Compose: on all addresses."""
    port = free_port()
    settings = {"x-devenv": {"ports": "as-written"}} if how == "x-devenv" else {}
    stack.compose_file({"web": idle_service(ports=[f"{port}:80"])}, **settings)
    run = up.ready(stack, *(["--lan"] if how == "--lan" else []))
    assert ("0.0.0.0", str(port)) in published(stack, "web")
    assert not run.all("notice", message=lambda message: "--lan" in message)
    assert run.stop() == 130


def test_port_option_for_an_unknown_port_is_a_usage_error(stack: Stack, devenv: StartDevenv) -> None:
    """The error lists the existing ports, exit code 2."""
    stack.compose_file({"web": idle_service(ports=["80"])})
    run = devenv("up", "--port", "web:8080=81", cwd=stack.folder, env=stack.env)
    assert run.wait() == 2, run.report()
    assert "80" in run.all("error")[0]["hint"]
    assert stack.leftovers() == {}
