"""Containers as the engine describes them."""

from __future__ import annotations

import pytest

from devenv.docker import inspect


def test_a_container_that_is_killed_at_once_has_no_grace_period() -> None:
    """`stop_grace_period: 0s` differs from a missing period, which means ten seconds."""

    def stop_timeout(config: dict[str, int]) -> float:
        return inspect.container(
            {"Id": "1", "Name": "/x", "State": {"Status": "running"}, "Config": config}
        ).stop_timeout

    assert [stop_timeout({"StopTimeout": 0}), stop_timeout({"StopTimeout": 3}), stop_timeout({})] == [0, 3, 10]


def test_published_ports_are_read_by_their_protocol() -> None:
    """TCP and UDP apart; a port that is only exposed is not published."""
    ports = {
        "80/tcp": [{"HostIp": "::", "HostPort": "8080"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
        "9/udp": None,
    }
    shown = {"Id": "1", "Name": "/x", "State": {"Status": "running"}, "NetworkSettings": {"Ports": ports}}
    container = inspect.container({**shown, "Config": {}})
    assert (container.ports, container.udp_ports) == ((("::", 8080, 80),), (("", 53, 53),))


@pytest.mark.parametrize(("code", "line"), [(1, "refused"), (0, "")])
def test_the_last_health_check_counts_if_it_failed(code: int, line: str) -> None:
    """The text is its last line that is not empty; a failed check before a good one does not count."""
    checks = [{"ExitCode": 1, "Output": "old"}, {"ExitCode": code, "Output": "10%\r20%\nrefused\n\n"}]
    state = {"Status": "running", "Health": {"Status": "starting", "Log": checks}}
    assert inspect.container({"Id": "1", "Name": "/x", "State": state, "Config": {}}).check == line


def test_the_name_and_the_id_of_the_image_are_apart() -> None:
    """The engine has the id beside the configuration, and the name in it."""
    shown = {"Id": "1", "Name": "/x", "State": {"Status": "running"}, "Image": "sha256:2", "Config": {"Image": "a:1"}}
    container = inspect.container(shown)
    assert (container.image, container.reference) == ("sha256:2", "a:1")


@pytest.mark.parametrize(
    ("test", "path"),
    [
        (["CMD", "curl", "-f", "http://localhost:8000/health"], "/health"),
        (["CMD-SHELL", "wget -qO- http://127.0.0.1/healthz?full=1 || exit 1"], "/healthz"),
        (["CMD", "python", "-c", "u.urlopen('http://localhost:8000/api/health/')"], "/api/health/"),
        (["CMD", "curl", "-f", "https://[::1]:8443"], "/"),
        (["CMD-SHELL", "curl http://0.0.0.0:80/"], "/"),
        (["CMD-SHELL", "curl -f http://localhost:${PORT}/up || exit 1"], "/up"),
        (["CMD-SHELL", "curl localhost:8000/up"], "/up"),
        (["CMD", "wget", "--spider", "localhost"], "/"),
        (["CMD-SHELL", "curl -V; nc -z localhost 80"], ""),
        (["CMD", "curl", "http://db:8000/health"], ""),
        (["CMD", "pg_isready"], ""),
        (["NONE"], ""),
    ],
)  # fmt: skip
def test_the_path_that_a_health_check_requests(test: list[str], path: str) -> None:
    """It is the path of an HTTP request to the container itself, from the Compose file or the image."""
    shown = {"Id": "1", "Name": "/x", "State": {"Status": "running"}, "Config": {"Healthcheck": {"Test": test}}}
    assert inspect.container(shown).checked == path


def test_a_container_in_a_listing_is_recognized_as_in_an_inspection() -> None:
    """By the same fields; a listing says only in words how it ended."""
    labels = {
        "com.docker.compose.project": "shop", "com.docker.compose.service": "web", "devenv.owner": "me",
        "com.docker.compose.container-number": "1", "com.docker.compose.config-hash": "x",
    }  # fmt: skip
    entry = {"Id": "1", "Names": ["/shop-web-1"], "State": "exited", "Labels": labels, "ImageID": "i", "Image": "a"}
    listed = inspect.listed({**entry, "Status": "Exited (137) 3 minutes ago"})
    config = {"Labels": labels, "Image": "a"}
    state = {"Status": "exited", "ExitCode": 137}
    inspected = inspect.container({"Id": "1", "Name": "/shop-web-1", "Image": "i", "State": state, "Config": config})
    for name in (
        "id",
        "name",
        "service",
        "state",
        "exit_code",
        "holds",
        "project",
        "number",
        "owner",
        "is_old",
        "inherits",
    ):
        assert getattr(listed, name) == getattr(inspected, name), name
    assert inspect.listed({**entry, "Status": "Exited (0) 1 second ago"}).exit_code == 0
