"""Both Compose versions with our run model: the same containers as with the files, and no question."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded, load
from devenv.compose.run_model import BuildChange, Choices, Existing, dump, run_model
from devenv.docker.cli import Compose
from devenv.docker.client import Engine
from devenv.docker.compose_failures import VerbError
from devenv.errors import DevenvError, EngineError, PortError
from devenv.images import prepare
from devenv.images.needs import DockerfileText
from devenv.images.prepare import PreparedImages
from devenv.run.active.failures import FailureReporter
from devenv.run.desired import DesiredState, chosen, observe
from devenv.tasks import each
from support import docker_cli
from support.stack import NewStack, Stack, free_port, idle_service

pytestmark = pytest.mark.engine


def torture(stack: Stack) -> None:
    """A project with nearly every key that a Compose file may have."""
    stack.write(".env", "TAG=trixie-slim\n")
    stack.write("app.env", "A=$5\nB='lit$eral'\nexport D=x y\nE='multi\nline'\n")
    (stack.folder / "latin.env").write_bytes(b"LATIN=\xe9t\xe9\n")
    stack.write("sec.txt", "secret\n")
    stack.write("con f.txt", "config\n")
    stack.write("sub/compose.yml", "services:\n  inc: {image: x, profiles: [extra], volumes: ['./rel:/rel']}\n")
    stack.write(
        "common.yml",
        "services:\n  base:\n    image: stand-in.devenv/debian:trixie-slim\n    environment: {FROM_BASE: '1'}\n",
    )
    (stack.folder / "dir with space").mkdir()
    newer = "" if "2.26" in stack.compose("version", "--short").stdout else ", include: '*.js', initial_sync: true"
    stack.write("compose.yml", TORTURE.replace("NAME", stack.name).replace("NEWER", newer))


TORTURE = """\
name: NAME
include: [sub/compose.yml]
x-log: &log
  logging: {driver: json-file, options: {max-size: 10m, tag: "{{.Name}}$$x"}}
services:
  web:
    <<: *log
    extends: {file: common.yml, service: base}
    build:
      context: .
      dockerfile_inline: "FROM stand-in.devenv/debian:trixie-slim\\nRUN echo $$HOME > /home.txt\\nARG X\\n"
      args: {X: "a$$b", Y: "="}
      additional_contexts: {other: "./dir with space"}
      labels: ["l.a=1"]
      tags: ["NAME-web:x"]
      ulimits: {nofile: 1024}
    image: NAME-web
    command: [sh, -c, "echo $$HOME; sleep 1000"]
    env_file: [app.env, latin.env]
    environment:
      - EQ==
      - MERGE=<<
      - NO=no
      - OCT=0644
      - SEXA=22:22
      - DATE=2020-01-01
      - EMPTY=
      - UNSETX
      - UNI=ünï☃💥
      - "CTRL=a\\tb\\x85"
    labels: {a.b: "1", t: "true", d: "$$x"}
    ports: ["127.0.0.1::81", {target: 94, protocol: udp}]
    volumes:
      - "./dir with space:/d s:ro"
      - "data:/data"
      - /anon
      - {type: tmpfs, target: /tm, tmpfs: {size: 10m, mode: 0o1777}}
      - {type: bind, source: ./b, target: /b, bind: {create_host_path: true, propagation: rprivate}}
    tmpfs: ["/t1:size=1m", /t2]
    ulimits: {nproc: 65535, nofile: {soft: 100, hard: 200}}
    deploy:
      resources: {limits: {cpus: "0.5", memory: 50M}, reservations: {memory: 20M}}
      restart_policy: {condition: on-failure, delay: 5s}
    healthcheck:
      test: ["CMD-SHELL", "echo $$A || exit 1"]
      interval: 1m30s
      retries: 3
      start_period: 1s
      start_interval: 500ms
    networks: {default: {aliases: [w1]}, net: {}}
    secrets: [s1, {source: s2, target: /run/x, mode: 0440}]
    configs: [{source: c1, target: /etc/c}, {source: c2, target: /etc/c2}]
    depends_on:
      db: {condition: service_started, restart: true}
      opt: {condition: service_started, required: false}
    stop_grace_period: 1m30s
    sysctls: [net.core.somaxconn=1024]
    cap_add: [NET_ADMIN]
    devices: ["/dev/null:/dev/xnull"]
    extra_hosts: ["h:1.2.3.4", "host.docker.internal:host-gateway"]
    dns: 8.8.8.8
    init: true
    working_dir: "/w d"
    stdin_open: true
    shm_size: 1gb
    group_add: ["1"]
    hostname: h
    restart: "no"
    x-svc: {a: {x-b: [1, 2]}}
    develop:
      watch:
        - {path: ./src, action: sync, target: /src, ignore: ["*.x"], x-y: 1NEWER}
  db:
    image: stand-in.devenv/debian:${TAG}
    command: sleep 1000
    healthcheck: {disable: true}
    network_mode: none
    memswap_limit: -1
    profiles: ["", on]
  opt: {image: stand-in.devenv/debian:trixie-slim, profiles: [extra], network_mode: "service:db", scale: 3}
volumes:
  data: {labels: [a=b]}
networks:
  net: {driver_opts: {com.docker.network.enable_ipv6: "false"}, attachable: true}
secrets:
  s1: {file: sec.txt}
  s2: {environment: HOME}
configs:
  c1: {file: "./con f.txt"}
  c2: {content: "a=$$b ${TAG}\\n"}
"""


@pytest.fixture
def both(compose_env: dict[str, str], new_stack: NewStack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A project with a unique name, for devenv in this process and plain Compose, of one version."""
    for key, value in compose_env.items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    return new_stack(compose_env)


async def ours(stack: Stack, choices: Choices | None = None, foreign: frozenset[str] = frozenset()) -> Compose:
    """The verbs on the stack's run model; existing objects by name count as found."""
    text = (stack.folder / "compose.yml").read_text()
    profiles = ("on",) if ", on]" in text else ()
    loaded = await load(Selection(str(stack.folder), profiles=profiles))
    existing = Existing(
        foreign,
        networks=frozenset(docker_cli.networks()),
        volumes=frozenset(docker_cli.volumes()),
    )
    model = run_model(loaded.model, existing=existing, choices=replace(choices or Choices(), owner="me@host-1"))
    return Compose(loaded.project.name, loaded.project.directory, dump(model))


async def create(stack: Stack, foreign: frozenset[str] = frozenset()) -> None:
    """Create as `up` does, before anything runs."""
    compose = await ours(stack, foreign=foreign)
    await compose.build(["web"])
    await compose.create()


def states(stack: Stack) -> dict[str, str]:
    """The stack's containers by name, with the id of each."""
    return {docker_cli.inspect(name)["Name"]: name for name in stack.containers()}


def test_containers_of_plain_compose_are_not_recreated(both: Stack) -> None:
    """Compose sees no difference for a foreign service of any kind."""
    torture(both)
    assert both.compose("--profile=on", "create", "--build").returncode == 0
    before = states(both)
    anyio.run(lambda: create(both, foreign=frozenset({"web", "db"})))
    assert states(both) == before
    assert len(before) == 2


def test_second_run_recreates_nothing(both: Stack) -> None:
    """A container from the run model matches the files, and stays if networks and volumes exist."""
    torture(both)

    async def up() -> list[str]:
        lines: list[str] = []
        compose = await ours(both)
        await compose.build(["web"], lines.append)
        await compose.create()
        await compose.start()
        return lines

    assert any("DONE" in line for line in anyio.run(up))
    first = states(both)
    anyio.run(lambda: create(both))
    assert states(both) == first
    web = both.container("web")
    environment = docker_cli.inspect(web)["Config"]["Env"]
    assert {"A=$5", "B=lit$eral", "E=multi\nline", "EQ==", "MERGE=<<", "NO=no", "SEXA=22:22", "DATE=2020-01-01"} <= {
        *environment
    }
    assert "UNI=ünï☃💥" in environment
    assert docker_cli.read(web, "/home.txt") == "/root\n"
    assert docker_cli.read(web, "/run/secrets/s1") == "secret\n"
    assert docker_cli.read(web, "/etc/c") == "config\n"
    assert docker_cli.read(web, "/etc/c2") == "a=$b trixie-slim\n"
    labels = docker_cli.inspect(web)["Config"]["Labels"]
    assert (labels["d"], labels["devenv.owner"]) == ("$x", "me@host-1")
    ports = docker_cli.inspect(web)["NetworkSettings"]["Ports"]
    assert {binding["HostIp"] for bindings in ports.values() for binding in bindings} == {"127.0.0.1"}
    assert docker_cli.inspect(f"{both.name}_net")["Labels"]["devenv.owner"] == "me@host-1"
    assert "devenv.owner" not in docker_cli.inspect(f"{both.name}_data")["Labels"]


def plain_stack(stack: Stack) -> None:
    """One service with a named volume, a network and a port."""
    stack.compose_file({"web": idle_service(volumes=["data:/data"], ports=["80"], init=True)}, volumes={"data": {}})


def test_foreign_service_is_not_touched(both: Stack) -> None:
    """The service's container is the same afterwards."""
    plain_stack(both)
    assert both.compose("up", "-d").returncode == 0
    before = states(both)

    async def up() -> None:
        compose = await ours(both, foreign=frozenset({"web"}))
        await compose.create()
        await compose.start()

    anyio.run(up)
    assert states(both) == before


def test_build_uses_a_stand_in_as_its_base(both: Stack) -> None:
    """The Dockerfile is not changed."""
    both.write("Dockerfile", "FROM nowhere.invalid/base:7\nRUN echo built > /made\n")
    both.compose_file({"web": idle_service(image=f"{both.name}-web", build={"context": "."})})
    choices = Choices(builds={"web": BuildChange({"nowhere.invalid/base:7": docker_cli.BASE_IMAGE})})

    async def up() -> None:
        compose = await ours(both, choices)
        await compose.build()
        await compose.create()
        await compose.start()

    anyio.run(up)
    assert both.read("web", "/made") == "built\n"


def test_model_of_one_service_leaves_others_alone(both: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other services keep running with any COMPOSE_REMOVE_ORPHANS."""
    monkeypatch.setenv("COMPOSE_REMOVE_ORPHANS", "1")
    monkeypatch.setenv("COMPOSE_FILE", "/nowhere/compose.yml")
    monkeypatch.setenv("COMPOSE_PROFILES", "nothing")
    both.compose_file({"web": idle_service(depends_on=["db"]), "db": idle_service()})

    async def up() -> None:
        loaded = await load(Selection(str(both.folder), files=("compose.yml",)))
        for services in (None, frozenset({"web"})):
            existing = Existing(networks=frozenset({f"{both.name}_default"} if services else ()))
            model = run_model(loaded.model, existing=existing, choices=Choices(), services=services)
            await Compose(both.name, str(both.folder), dump(model)).create(force=services is not None)

    anyio.run(up)
    assert len(both.containers("web")) == len(both.containers("db")) == 1


def test_port_in_use_error_names_service_and_option(both: Stack) -> None:
    """The error names the service whose port it is, and the option that moves it."""
    port = free_port()
    both.compose_file({name: idle_service(ports=[f"{port}:80"]) for name in ("one", "two")})

    async def up() -> None:
        compose = await ours(both)
        await compose.create()
        await compose.start(["one"])
        await compose.start(["two"])

    with pytest.raises(PortError) as caught:
        anyio.run(up)
    assert str(caught.value) == f"host port {port}, which `two` publishes, is taken"
    assert str(caught.value.hint).startswith("Publish it elsewhere: devenv up --port two:")
    assert str(caught.value.hint).endswith("=80")


# service -> its keys, the message, and the key in the line of the place
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "program": ({"command": ["nope"]}, "could not start `program`: its image has no program `nope`", "command:"),
    "file": ({"command": ["/etc/passwd"]}, "could not start `file`: `/etc/passwd` is not executable", "command:"),
    "user": ({"user": "nobody2"}, "could not start `user`: its image has no user `nobody2`", "user: nobody2"),
    "folder": (
        {"working_dir": "/etc/passwd"},
        "could not create `folder`: its working folder /etc/passwd cannot be entered",
        "working_dir:",
    ),
    "mount": (
        {"volumes": ["./empty:/etc/passwd"]},
        "could not start `mount`: empty cannot be mounted on /etc/passwd: one is a file, the other a folder",
        "volumes:",
    ),
    "device": (
        {"devices": ["/dev/nope"]},
        "could not start `device`: the engine's machine has no device `/dev/nope`",
        "devices:",
    ),
    "secret": (
        {"secrets": ["key"]},
        "could not create `secret`: the secret `key` is the file key.txt, which does not exist",
        "key:",
    ),
    "network": (
        {"networks": ["front"]},
        "could not create: the external network `dvt-nowhere` does not exist",
        "front:",
    ),
    "waiting": (
        {"depends_on": {"base": {"condition": "service_healthy"}}},
        "could not start: others wait for `base` to be healthy, but it has no health check",
        "base:",
    ),
}


def test_refusals_name_service_meaning_and_line(both: Stack) -> None:
    """The error has no containers, ids and layers."""
    services = {name: idle_service() | keys for name, (keys, _, _) in REFUSED.items()}
    services["base"] = idle_service(healthcheck=None)
    more = {"networks": {"front": {"external": True, "name": "dvt-nowhere"}}, "secrets": {"key": {"file": "key.txt"}}}
    written = both.compose_file(services, **more).read_text().splitlines()
    (both.folder / "empty").mkdir()
    both.compose("create", "base")
    errors: dict[str, DevenvError] = {}

    async def refuse(api: Engine, loaded: Loaded, name: str) -> None:
        project_state = await api.project_state(both.name)
        compose = DesiredState(loaded, chosen(loaded.project, [name]), await observe(api, project_state)).compose
        try:
            await compose.create([name])
            await compose.start([name])
        except VerbError as error:
            reporter = FailureReporter(api, loaded, Selection(str(both.folder)))
            errors[name] = await reporter.refused(error, await api.project_state(both.name))

    async def refuse_all() -> None:
        loaded = await load(Selection(str(both.folder)))
        async with Engine.connect() as api:
            await each(lambda name: refuse(api, loaded, name), REFUSED)

    anyio.run(refuse_all)
    assert {name: error.message for name, error in errors.items()} == {
        name: message for name, (_, message, _) in REFUSED.items()
    }
    for name, error in errors.items():
        assert error.line is not None, name
        assert REFUSED[name][2] in written[error.line - 1], name
        assert error.hint
        assert error.exit_code == {"network": 4, "file": 1}.get(name, 5)


@pytest.mark.parametrize(
    ("dockerfile", "build", "complaint"),
    [
        (
            "FROM stand-in.devenv/debian:trixie-slim\nRUN echo one >&2 && cat /nope\n",
            {},
            (
                "Dockerfile:2: the build of `web` failed: `RUN echo one >&2 && cat /nope` ended with exit code 1\n"
                "  one\n  cat: /nope: No such file or directory"
            ),
        ),
        (
            "FROM stand-in.devenv/debian:trixie-slim\nRUNN x\n",
            {},
            "Dockerfile:2: unknown instruction: RUNN (did you mean RUN?)",
        ),
        (
            "FROM stand-in.devenv/debian:trixie-slim\nCOPY nope /x\n",
            {},
            "Dockerfile:2: `COPY nope /x`: `nope` is not in the build context",
        ),
        (
            "FROM stand-in.devenv/debian:trixie-slim\n",
            {"target": "zz"},
            "Dockerfile: `build.target` names the stage `zz`, which does not exist",
        ),
        ("", {"dockerfile": "Nope"}, "the Dockerfile of `web` does not exist"),
        ("", {"context": "nope"}, "the build context of `web` does not exist: nope"),
    ],
    ids=["run", "syntax", "copy", "target", "no-dockerfile", "no-context"],
)
def test_failed_build_names_service_step_and_line(
    both: Stack, dockerfile: str, build: dict[str, str], complaint: str
) -> None:
    """The error has the step's last lines, and what to do."""
    both.write("Dockerfile", dockerfile)
    both.compose_file({"web": {"build": {"context": ".", **build}}})

    async def build_it() -> None:
        loaded = await load(Selection(str(both.folder)))
        texts = {"web": DockerfileText("Dockerfile", dockerfile)} if dockerfile else {}
        await prepare.build(await ours(both), ["web"], lambda _: None, loaded.project, PreparedImages(texts=texts))

    with pytest.raises(DevenvError) as caught:
        anyio.run(build_it)
    assert caught.value.said == complaint
    assert caught.value.hint
    assert caught.value.exit_code == (1 if "RUN echo" in dockerfile else 5)


def test_project_loads_without_an_engine(both: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first Compose command reports the missing engine."""
    plain_stack(both)
    compose = anyio.run(lambda: ours(both))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert anyio.run(lambda: load(Selection(str(both.folder)))).project.name == both.name
    with pytest.raises(EngineError) as caught:
        anyio.run(compose.create)
    assert str(caught.value) == f"no engine answers at unix://{tmp_path}/none.sock"


def test_model_is_not_shown_in_commands(both: Stack) -> None:
    """Neither the repr nor a command line contains values of an env_file."""
    torture(both)
    compose = anyio.run(lambda: ours(both))
    assert "lit" not in repr(compose)
    assert "lit" not in json.dumps(compose.argv("create", "web"))
    assert str(os.getpid()) not in compose.argv("create")
