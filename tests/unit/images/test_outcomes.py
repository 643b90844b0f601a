"""What the words of a failed pull mean, and what follows."""

from __future__ import annotations

import pytest

from devenv.images.outcomes import Decision, Failure, decide, explain, read_failure
from devenv.images.references import Need

DAEMON = "Error response from daemon: "
HUB = f'{DAEMON}Get "https://registry.test/v2/": '
SILENT = Failure("connection refused", impossible=True)
DENIED = Failure("access is denied")
NODE_SILENT = "  node:22 (backend/Dockerfile:1): docker.io does not answer: connection refused"
REDIS_SILENT = "  redis:7 (service cache, service queue): docker.io does not answer: connection refused"
FRONTEND_SILENT = "  docker/dockerfile:1 (backend/Dockerfile:1): docker.io does not answer: connection refused"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (f"{HUB}dial tcp: lookup registry.test on 10.0.0.53:53: no such host", "its name is not found (DNS)"),
        (f"{HUB}dial tcp: lookup registry.test on [::1]:53: server misbehaving", "its name is not found (DNS)"),
        (f"{HUB}dial tcp: lookup registry.test: Temporary failure in name resolution", "its name is not found (DNS)"),
        (f"{HUB}dial tcp 192.0.2.1:443: i/o timeout", "no answer in time"),
        (f"{HUB}net/http: TLS handshake timeout", "no answer in time"),
        (f"{HUB}context deadline exceeded", "no answer in time"),
        (
            f"{HUB}net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
            "no answer in time",
        ),
        (f"{HUB}dial tcp 127.0.0.1:443: connect: connection refused", "connection refused"),
        (f"{HUB}dial tcp 192.0.2.1:443: connect: no route to host", "no route to it"),
        (f"{HUB}dial tcp 192.0.2.1:443: connect: network is unreachable", "no route to it"),
        (f"{HUB}read tcp 10.0.0.2:4->192.0.2.1:443: read: connection reset by peer", "the connection broke"),
        (f"{HUB}EOF", "the connection broke"),
        (f"{HUB}remote error: tls: internal error", "the connection broke"),
        (
            f"{HUB}tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "its certificate is not trusted",
        ),
        (f"{HUB}http: server gave HTTP response to HTTPS client", "it does not speak HTTPS"),
        (
            f"{HUB}proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused",
            "the proxy does not let it through",
        ),
        (f"{DAEMON}received unexpected HTTP status: 503 Service Unavailable", "it is out of service"),
        (
            f'{DAEMON}Head "https://r.test/": unauthorized: Get "https://a.test/": lookup a.test: no such host',
            "its name is not found (DNS)",
        ),
    ],
)
def test_no_registry_answers(text: str, cause: str) -> None:
    """Whatever keeps the engine from a registry's answer makes the pull impossible."""
    assert read_failure(text + "\n") == Failure(cause, impossible=True)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            f"{DAEMON}manifest for node:99 not found: manifest unknown: manifest unknown",
            "there is no such image or tag",
        ),
        ("no such manifest: docker.io/library/node:99", "there is no such image or tag"),
        (
            f"{DAEMON}pull access denied for x/y, repository does not exist or may require 'docker login': denied: x",
            "access is denied",
        ),
        (f'{DAEMON}Head "https://registry.test/v2/x/manifests/1": unauthorized', "access is denied"),
        (f'{DAEMON}Head "https://registry.test/v2/x/manifests/1": no basic auth credentials', "access is denied"),
        (
            f"{DAEMON}toomanyrequests: You have reached your pull rate limit.",
            "the registry's limit of pulls is reached",
        ),
        (
            f"{DAEMON}no matching manifest for linux/arm64/v8 in the manifest list entries",
            "there is no such image for this processor",
        ),
        ("write /var/lib/docker/tmp/x: no space left on device", "the engine's disk is full"),
        ("invalid reference format: repository name must be lowercase", "that is not an image's name"),
        (f"{DAEMON}something that nobody foresaw\n", "something that nobody foresaw"),
        ("", "no reason given"),
    ],
)
def test_a_registry_answers_no(text: str, cause: str) -> None:
    """A registry's own refusal is an error, never a reason for a stand-in."""
    assert read_failure(text) == Failure(cause)


@pytest.mark.parametrize(
    ("failure", "here", "recipe", "consent", "expected"),
    [
        (SILENT, False, True, True, Decision(stand_ins=("node:22",))),
        (SILENT, False, True, False, Decision(failed={"node:22": SILENT})),
        (SILENT, False, False, True, Decision(failed={"node:22": SILENT})),
        (SILENT, True, True, True, Decision(stale=("node:22",))),
        (SILENT, True, False, False, Decision(stale=("node:22",))),
        (DENIED, False, True, True, Decision(failed={"node:22": DENIED})),
        (DENIED, True, True, True, Decision(failed={"node:22": DENIED})),
    ],
)
def test_decide(failure: Failure, here: bool, recipe: bool, consent: bool, expected: Decision) -> None:
    """A stand-in only where no registry answers, nothing is here, a recipe exists and the user agreed."""
    names = {"node:22"}
    decision = decide(
        {"node:22": failure}, here=names if here else (), recipes=names if recipe else (), consent=consent
    )
    assert decision == expected


@pytest.mark.parametrize(
    ("failed", "consent", "message", "hint"),
    [
        (
            {"node:22": SILENT},
            False,
            f"an image cannot be had:\n{NODE_SILENT}",
            "devenv up --stand-ins",
        ),
        (
            {"node:22": SILENT, "redis:7": SILENT},
            False,
            f"2 images cannot be had:\n{NODE_SILENT}\n{REDIS_SILENT}",
            "there is no stand-in for redis:7: reach a registry, or `docker load` it from a file",
        ),
        (
            {"redis:7": SILENT},
            True,
            f"an image cannot be had:\n{REDIS_SILENT}",
            "there is no stand-in for redis:7: reach a registry, or `docker load` it from a file",
        ),
        (
            {"ghcr.io/a/b:1": DENIED},
            True,
            "an image cannot be had:\n  ghcr.io/a/b:1 (service private): access is denied",
            "docker login ghcr.io",
        ),
        (
            {"redis:7": DENIED},
            True,
            "an image cannot be had:\n  redis:7 (service cache, service queue): access is denied",
            "docker login",
        ),
        (
            {"docker/dockerfile:1": SILENT},
            True,
            f"an image cannot be had:\n{FRONTEND_SILENT}",
            "take the `# syntax=` line out of the Dockerfile: the engine's own builder reads it too",
        ),
        (
            {"node:22": Failure("there is no such image or tag")},
            True,
            "an image cannot be had:\n  node:22 (backend/Dockerfile:1): there is no such image or tag",
            None,
        ),
    ],
)
def test_explain(failed: dict[str, Failure], consent: bool, message: str, hint: str | None) -> None:
    """The error names every image, who needs it and why it is missing, and what to type next."""
    needs = [
        Need("node:22", ("backend/Dockerfile:1",), kind="base"),
        Need("redis:7", ("service cache", "service queue")),
        Need("ghcr.io/a/b:1", ("service private",)),
        Need("docker/dockerfile:1", ("backend/Dockerfile:1",), kind="frontend"),
    ]
    error = explain(failed, needs, recipes={"node:22"}, consent=consent)
    assert (error.message, error.hint, error.exit_code) == (message, hint, 4)
