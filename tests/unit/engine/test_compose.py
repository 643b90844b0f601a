"""What Compose and the engine said when a verb failed, and what people are told."""

from __future__ import annotations

import json

import pytest

from devenv.engine.compose import Compose

MODEL = {"services": {"a": {"container_name": "mine"}, "a-b": {"build": {"context": "/p/b"}}}}
COMPOSE = Compose("p", "/p", json.dumps(MODEL).encode())
DAEMON = "Error response from daemon: "
RUNC = (
    f"{DAEMON}failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: "
)
OWN_WORDS = "Correct `a-b` in the compose file: these are the engine's own words."


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        (
            f' Container p-a-b-1  Starting\n{RUNC}exec: "x": executable file not found in $PATH: unknown',
            'could not start `a-b`: exec: "x": executable file not found in $PATH',
            "Correct `command` or `entrypoint` of `a-b`: its image has no such program.",
        ),
        (
            f" Container mine  Created\n Container p-a-b-1  Creating\n{DAEMON}Minimum memory limit allowed is 6MB",
            "could not start `a-b`: Minimum memory limit allowed is 6MB",
            OWN_WORDS,
        ),
        (
            f" Container mine  Starting\n{DAEMON}unable to find user x: no matching entries in passwd file",
            "could not start `a`: unable to find user x: no matching entries in passwd file",
            "Correct `user` of `a`: its image knows no such name.",
        ),
        (
            f'{DAEMON}Conflict. The name "/mine" is already in use by container "{"0123456789ab" * 5}cdef".',
            'could not start: Conflict. The name "/mine" is already in use by container "0123456789ab".',
            "A container that devenv did not create has this name; remove or rename it.",
        ),
        (
            f"{DAEMON}network n not found",
            "could not start: network n not found",
            "Create it (docker network create), or take `external` from the network.",
        ),
        ('service "a" is unhealthy', 'could not start: service "a" is unhealthy', None),
        ("", "could not start: Compose gave no reason", None),
    ],
)
def test_a_failed_verb(said: str, message: str, hint: str | None) -> None:
    """The service and the engine's reason, without its layers and long ids, and what to correct."""
    error = COMPOSE._failure("start", said)
    assert (error.message, error.hint) == (message, hint)
