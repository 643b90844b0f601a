"""What Compose and the engine said when a verb failed, and what people are told."""

from __future__ import annotations

import json

import pytest

from devenv.docker.compose import Compose, VerbError

MODEL = {"services": {"a": {"container_name": "mine"}, "a-b": {"build": {"context": "/p/b"}}}}
COMPOSE = Compose("p", "/p", json.dumps(MODEL).encode())
DAEMON = "Error response from daemon: "
RUNC = (
    f"{DAEMON}failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)


@pytest.mark.parametrize(
    ("said", "message", "service"),
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
def test_a_failed_verb(said: str, message: str, service: str | None) -> None:
    """The service and the engine's reason, without its layers, its folders, ids and the names of containers."""
    error = COMPOSE._failure("start", said)
    assert isinstance(error, VerbError)
    assert (error.message, error.service) == (message, service)
    assert error.message.endswith(error.reason)


def test_a_port_taken_meanwhile_leaves_the_other_ports_in_the_hint() -> None:
    """Whoever types it gets what was asked for before, too; of the port in question the new one counts."""
    model = {"services": {"web": {"ports": [{"published": "8080", "target": 80}]}}}
    compose = Compose("p", "/p", json.dumps(model).encode(), {("db", 5432): "15432", ("web", 80): "8080"})
    said = "Error response from daemon: driver failed: Bind for 127.0.0.1:8080 failed: port is already allocated"
    error = compose._failure("start", said)
    assert error.hint == "Publish it elsewhere: devenv up --port db:15432=5432 --port web:18080=80"
