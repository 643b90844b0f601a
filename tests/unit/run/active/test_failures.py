"""From what Compose and a container left behind to the error, its kind and its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded
from devenv.docker.compose_failures import VerbError
from devenv.errors import ConfigError, DevenvError, EngineError
from devenv.model.containers import Container, ProjectState
from devenv.model.project import Build, Mount, Project, Service
from devenv.model.status import Phase, Standing
from devenv.run.active.causes import Script
from devenv.run.active.failures import FailureReporter, find_script
from support.engine import MemoryEngine, MemoryHost
from support.memory.played import placed

pytestmark = pytest.mark.anyio

FILE = """\
services:
  web:
    image: x
    command: nope
    mem_limit: 64m
    healthcheck: {test: curl}
  api: {image: y}
networks:
  front: {name: shared, external: true}
secrets:
  key:
    file: /p/key.txt
"""
MODEL = {
    "services": {
        "web": {"command": ["nope"], "mem_limit": "1", "healthcheck": {"test": ["c"]}},
        "api": {"command": None},
    },
    "networks": {"front": {"name": "shared", "external": True}},
    "secrets": {"key": {"file": "/p/key.txt"}},
}
NO_PROGRAM = 'exec: "nope": executable file not found in $PATH'


@pytest.fixture
def host() -> MemoryHost:
    """Containers of `web` and `api` with one log and one health check."""
    made = MemoryHost()
    for service in ("web", "api"):
        printed(made, service, *(f"line {number}" for number in range(30)))
    return made


def printed(host: MemoryHost, service: str, *lines: str) -> None:
    """The service's container has printed these lines, and its check has failed."""
    check = "\r\n".join(f"check {number}" for number in range(9))
    failed = [{"ExitCode": 1, "Output": check}]
    placed(host, service, lines=lines, id=f"id-{service}", health="unhealthy", health_log=failed)


@pytest.fixture
def reporter(tmp_path: Path, host: MemoryHost) -> FailureReporter:
    """Of the project above."""
    (tmp_path / "compose.yml").write_text(FILE)
    project = Project("p", str(tmp_path), (), (Service("web"), Service("api")))
    return FailureReporter(MemoryEngine(host), Loaded(project, MODEL), Selection(str(tmp_path)))


def container(service: str, state: str = "created", **more: Any) -> Container:
    """A container of the service."""
    return Container(f"id-{service}", f"p-{service}-1", service, state, ours=True, **more)


@pytest.mark.parametrize(
    ("reason", "service", "kind", "message", "where"),
    [
        (NO_PROGRAM, "web", ConfigError, "could not start `web`: its image has no program `nope`", "compose.yml:4"),
        (NO_PROGRAM, "api", ConfigError, "could not start `api`: its image has no program `nope`", "compose.yml:7"),
        (NO_PROGRAM, None, ConfigError, "could not start: its image has no program `nope`", None),
        (
            "network shared declared as external, but could not be found",
            None,
            EngineError,
            "could not start: the external network `shared` does not exist",
            "compose.yml:9",
        ),
        (
            "bind source path does not exist: /p/key.txt",
            "web",
            ConfigError,
            "could not start `web`: the secret `key` is the file /p/key.txt, which does not exist",
            "compose.yml:11",
        ),
        ("no memory", "web", EngineError, "could not start `web`: no memory", None),
        ("no memory", None, EngineError, "could not start: no memory", None),
    ],
)
async def test_refusal_is_an_error_of_the_file_or_of_the_engine(
    reporter: FailureReporter,
    reason: str,
    service: str | None,
    kind: type[DevenvError],
    message: str,
    where: str | None,
) -> None:
    """A mistake in the file is an error of the file, a missing object on the engine an error of the engine."""
    error = await reporter.refused(VerbError("start", reason, service), ProjectState())
    assert (type(error), error.message, error.where) == (kind, message, where)
    assert bool(error.hint) == ("no memory" not in reason or bool(service))


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ('exec: "/entrypoint.sh": permission denied', 1),
        ('exec: "/entrypoint.sh\r": no such file or directory', 1),
        ("exec /entrypoint.sh: exec format error", 1),
        ("exec /entrypoint.sh: no such file or directory", 1),
        (NO_PROGRAM, 5),
        ("unable to find user node: no matching entries in passwd file", 5),
        ("invalid mount config for type \"bind\": invalid mount path: 'data' mount path must be absolute", 5),
        ("image x was found but its platform (linux/arm64) does not match the specified platform (linux/amd64)", 5),
        ("image x was found but does not match the specified platform: wanted wasi/wasm, actual: linux/amd64", 5),
        ('failed to resolve runtime path: runtime "x.v1" binary not installed "shim": file does not exist', 4),
        ('error mounting "/p/a" to rootfs at "/etc/b": mount src=/p/a, dst=/etc/b: not a directory', 5),
        ("Minimum memory limit allowed is 6MB", 5),
        ('Conflict. The container name "/mine" is already in use by container "x"', 4),
        ("No such image: nothing:1", 4),
        ("all predefined address pools have been fully subnetted", 4),
        ("something that nobody knows", 4),
    ],
)
async def test_the_exit_code_of_a_refusal(reporter: FailureReporter, reason: str, code: int) -> None:
    """5 for what the files say, 1 for a program that is broken, 4 for the engine; wherever it is written."""
    for service in ("web", "api"):
        assert (await reporter.refused(VerbError("start", reason, service), ProjectState())).exit_code == code


async def test_a_refusal_finds_its_service_by_what_the_engine_noted(reporter: FailureReporter) -> None:
    """If several services were starting, Compose does not name the service: the error of the container does."""
    project_state = ProjectState(
        (container("api"), container("web", error=f"failed to create task for container: {NO_PROGRAM}: unknown"))
    )
    error = await reporter.refused(VerbError("start", NO_PROGRAM), project_state)
    assert error.message == "could not start `web`: its image has no program `nope`"


async def test_place_that_no_longer_exists_is_not_named(reporter: FailureReporter, tmp_path: Path) -> None:
    """The files may be edited, and broken, while it runs."""
    (tmp_path / "compose.yml").write_text("services: [")
    error = await reporter.refused(VerbError("start", NO_PROGRAM, "web"), ProjectState())
    assert (type(error), error.where) == (ConfigError, None)


async def test_error_for_a_failed_service(reporter: FailureReporter) -> None:
    """How and why, its last lines, and the line to correct; without a known cause, how to look inside."""
    ended = container("web", "exited", exit_code=137, out_of_memory=True)
    error = await reporter.failed(Standing("web", Phase.EXITED, "exit code 137"), [ended])
    lines = error.message.splitlines()
    assert lines[0] == "service web failed: ended with exit code 137: it ran out of memory, and was killed"
    assert lines[1:] == [f"  line {number}" for number in range(18, 30)]
    assert (error.where, error.exit_code) == ("compose.yml:5", 1)
    unknown = await reporter.failed(
        Standing("api", Phase.EXITED, "exit code 3"), [container("api", "exited", exit_code=3)]
    )
    assert (unknown.where, unknown.hint) == (
        "compose.yml:7",
        "To look inside: devenv run --rm --no-deps --entrypoint sh api",
    )


async def test_kill_without_a_known_reason(reporter: FailureReporter) -> None:
    """With a memory limit, lack of memory is likely; without one the reason is unknown."""
    for name, likely in (("web", True), ("api", False)):
        killed = container(name, "exited", exit_code=137)
        error = await reporter.failed(Standing(name, Phase.EXITED, "exit code 137"), [killed])
        assert ("ran out of memory, as it has a limit" in error.message) is likely


async def test_error_for_an_unhealthy_service(reporter: FailureReporter) -> None:
    """The last words of the check that failed come first."""
    sick = container("web", "running", health="unhealthy")
    error = await reporter.failed(Standing("web", Phase.UNHEALTHY, "its health check fails"), [sick])
    lines = error.message.splitlines()
    assert lines[0] == "service web failed: its health check fails"
    assert lines[1:5] == [*(f"  health check: check {number}" for number in (6, 7, 8)), "  line 18"]
    assert error.hint == "If it only starts slowly, raise `healthcheck.start_period` of web."
    cut = await reporter.failed(Standing("web", Phase.UNHEALTHY, "disconnected"), [container("web", "running")])
    assert cut.hint == "devenv up   (somebody disconnected it while it was starting)"


async def test_line_with_the_cause_is_shown(reporter: FailureReporter, host: MemoryHost) -> None:
    """A long stack trace after the line does not hide it."""
    trace = (f"  at {number}" for number in range(14))
    printed(host, "web", "first", "Error: Cannot find module 'x'", *trace, "", "Node.js")
    error = await reporter.failed(Standing("web", Phase.EXITED, "exit code 1"), [container("web", "exited")])
    lines = error.message.splitlines()
    assert lines[1:4] == ["  Error: Cannot find module 'x'", "  ...", "    at 4"]
    assert lines[-2:] == ["    at 13", "  Node.js"]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/app/run.sh", Script("mounted/run.sh", "#!/bin/sh\r")),
        ("/entrypoint.sh", Script("web/docker/entrypoint.sh", "#!/bin/bash")),
        ("./entrypoint.sh", Script("web/docker/entrypoint.sh", "#!/bin/bash")),
        ("/twice.sh", None),
        ("/gone.sh", None),
    ],
)
def test_file_of_a_program_is_found(tmp_path: Path, program: str, expected: Script | None) -> None:
    """It is mounted, or the only file of that name in the build context."""
    for name, text in {
        "mounted/run.sh": "#!/bin/sh\r\nexit\r\n",
        "web/docker/entrypoint.sh": "#!/bin/bash\n",
        "web/node_modules/entrypoint.sh": "x",
        "web/a/twice.sh": "x",
        "web/b/twice.sh": "x",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    mounts = (Mount("bind", "/app", str(tmp_path / "mounted")),)
    service = Service("web", build=Build(str(tmp_path / "web")), volumes=mounts)
    assert find_script(str(tmp_path), service, program) == expected
    assert find_script(str(tmp_path), None, program) is None


async def test_ended_service_is_not_blamed_on_its_health_check(reporter: FailureReporter, host: MemoryHost) -> None:
    """A last check that succeeded is not shown; a failed one is, but the exit code comes first."""
    refused = {"ExitCode": 7, "Output": "connection refused"}
    killed = container("api", "exited", exit_code=137, health="unhealthy")
    for checks, shown in (([refused, {"ExitCode": 0, "Output": ""}], False), ([refused], True)):
        placed(host, "api", "exited", id="id-api", health="unhealthy", health_log=checks)
        error = await reporter.failed(Standing("api", Phase.EXITED, "exit code 137"), [killed])
        assert error.message.startswith("service api failed: ended with exit code 137: it was killed (SIGKILL)")
        assert ("health check: connection refused" in error.message) is shown


async def test_only_output_of_the_last_process_is_shown(reporter: FailureReporter, host: MemoryHost) -> None:
    """Since the end of the process before."""
    placed_container = placed(host, "api", "exited", id="id-api", exit_code=3)
    placed_container.log = [(1, placed_container.started + second * 10**9, f"life {second}") for second in range(3)]
    last = replace(reporter, since=lambda _: "2026-01-01T00:00:02.5Z")
    error = await last.failed(Standing("api", Phase.EXITED, "exit code 3"), [container("api", "exited", exit_code=3)])
    assert error.message.splitlines()[1:] == ["  life 2"]
