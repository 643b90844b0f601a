"""Errors from the output of failed verbs of Compose."""

from __future__ import annotations

import json

import pytest

from devenv.docker.cli import Compose
from devenv.docker.compose_failures import BuildError, BuildLog, VerbError

MODEL = {"services": {"a": {"container_name": "mine"}, "a-b": {"build": {"context": "/p/b"}}}}
COMPOSE = Compose("p", "/p", json.dumps(MODEL).encode())
DAEMON = "Error response from daemon: "
RUNC = (
    f"{DAEMON}failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)


@pytest.mark.parametrize(
    ("output", "message", "service"),
    [
        (
            f' Container p-a-b-1  Starting\n{RUNC}exec: "x": executable file not found in $PATH: unknown',
            'could not start `a-b`: exec: "x": executable file not found in $PATH',
            "a-b",
        ),
        (
            f" Container mine  Created\n Container {'0123456789ab'}_p-a-b-1  Creating\n{DAEMON}no memory",
            "could not start `a-b`: no memory",
            "a-b",
        ),
        (f" Container mine  Starting\n{DAEMON}no user x", "could not start `a`: no user x", "a"),
        (f" Container mine  Starting\n Container p-a-b-1  Starting\n{DAEMON}x", "could not start: x", None),
        (
            f'{DAEMON}Conflict. The name "/mine" is already in use by container "{"0123456789ab" * 5}cdef".',
            'could not start: Conflict. The name "/mine" is already in use by ….',
            None,
        ),
        (
            f"{DAEMON}cannot join network of a non running container: {'0123456789ab' * 5}cdef",
            "could not start: cannot join network of a non running container: …",
            None,
        ),
        (
            f'{RUNC}error mounting "/p/x": make mountpoint "/var/lib/docker/overlay2/0ab1/merged/app/x": read-only',
            'could not start: error mounting "/p/x": make mountpoint "/app/x": read-only',
            None,
        ),
        (
            "dependency failed to start: container p-a-b-1 exited (0)",
            "could not start: dependency failed to start: `a-b` exited (0)",
            None,
        ),
        (
            "dependency failed to start: container mine is unhealthy",
            "could not start: dependency failed to start: `a` is unhealthy",
            None,
        ),
        ('service "a" is unhealthy', 'could not start: service "a" is unhealthy', None),
        ("container of somebody", "could not start: container of somebody", None),
        ("", "could not start: Compose gave no reason", None),
    ],
)
def test_a_failed_verb(output: str, message: str, service: str | None) -> None:
    """The service and the engine's reason, without internal prefixes, folders, ids and names of containers."""
    error = COMPOSE.failures().of_verb("start", output)
    assert isinstance(error, VerbError)
    assert (error.message, error.service) == (message, service)
    assert error.message.endswith(error.reason)


def test_the_hint_for_a_taken_port_has_the_other_ports() -> None:
    """The ports that the command line named stay; the taken port gets a new number."""
    model = {"services": {"web": {"ports": [{"published": "8080", "target": 80}]}}}
    compose = Compose("p", "/p", json.dumps(model).encode(), {("db", 5432): "15432", ("web", 80): "8080"})
    output = "Error response from daemon: driver failed: Bind for 127.0.0.1:8080 failed: port is already allocated"
    error = compose.failures().of_verb("start", output)
    assert error.hint == "Publish it elsewhere: devenv up --port db:15432=5432 --port web:18080=80"


def build_log(*lines: str) -> BuildLog:
    """The log of a build that printed these lines."""
    log = BuildLog(lambda _: None)
    for line in lines:
        log.line(line)
    return log


def test_a_failed_step_of_a_build() -> None:
    """The instruction, its exit code and its last lines; the step names the service, if several are built."""
    log = build_log(
        "#1 [a-b internal] load build definition",
        "#5 [a-b dev 2/2] RUN make",
        *(f"#5 0.{n} line {n}" for n in range(20)),
        "#5 ERROR: process did not complete",
        "#6 [other 1/2] FROM x",
    )
    reason = 'failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 2'
    error = COMPOSE.failures().of_build(log, reason, ())
    assert isinstance(error, BuildError)
    assert (error.service, error.reason, error.in_step) == ("a-b", "`RUN make` ended with exit code 2", True)
    assert error.instruction == "RUN make"
    assert error.exit_code == 1
    assert error.lines == tuple(f"line {n}" for n in range(5, 20))


def test_a_login_in_the_output_of_a_build_is_hidden() -> None:
    shown: list[str] = []
    log = BuildLog(shown.append)
    log.line("#5 [2/2] RUN curl https://me:secret@x.test/")
    log.line("\x1b[0m")
    assert shown == ["#5 [2/2] RUN curl https://***@x.test/"]
    error = COMPOSE.failures().of_build(log, "failed to fetch https://me:secret@x.test/a", ("a",))
    assert error.message == "the build of `a` failed: failed to fetch https://***@x.test/a"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("unknown shorthand flag: 'p' in -p", "`docker compose` is not installed"),
        ("Cannot connect to the Docker daemon at unix:///x. Is it running?", "no engine answers at unix:///x"),
        (
            "permission denied while trying to connect to the Docker API at unix:///x: dial",
            "no permission to use the engine at unix:///x",
        ),
    ],
)
def test_errors_that_every_verb_may_meet(output: str, message: str) -> None:
    assert COMPOSE.failures().of_verb("start", output).message == message
    assert COMPOSE.failures().of_build(build_log(), output, ()).message == message
