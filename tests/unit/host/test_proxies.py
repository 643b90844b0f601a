"""The proxies for child processes, and for containers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import ConfigError
from devenv.events import Event, Notice
from devenv.host import proxies
from devenv.host.proxies import child_environment, chosen, seen_inside, step_arguments

HERE = "localhost,127.0.0.1,::1"
PROXY = "http://proxy.test:3128"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the proxies of this machine."""
    for name in (*proxies.VARIABLES, "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


@pytest.mark.parametrize(
    ("environment", "system", "expected"),
    [
        ({}, {}, {}),
        ({"NO_PROXY": "a"}, {"no": "b"}, {}),
        ({"http_proxy": PROXY}, {}, {"HTTP_PROXY": PROXY, "NO_PROXY": HERE}),
        ({"HTTPS_PROXY": PROXY}, {"http": "http://other:1"}, {"HTTPS_PROXY": PROXY, "NO_PROXY": HERE}),
        (
            {"HTTP_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8, .corp,localhost"},
            {},
            {"HTTP_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8,.corp,localhost,127.0.0.1,::1"},
        ),
        (
            {},
            {"http": PROXY, "https": "socks5://s.test:1080", "no": "x"},
            {"HTTP_PROXY": PROXY, "HTTPS_PROXY": "socks5://s.test:1080", "NO_PROXY": f"x,{HERE}"},
        ),
        ({"HTTP_PROXY": "http://http.docker.internal:3128"}, {}, {}),
        ({"HTTP_PROXY": "http://u:p%40ss@h:1"}, {}, {"HTTP_PROXY": "http://u:p%40ss@h:1", "NO_PROXY": HERE}),
    ],
)
def test_environment_wins_over_system_proxies(
    environment: dict[str, str], system: dict[str, str], expected: dict[str, str]
) -> None:
    """The environment in either spelling, else the system; this machine is always an exception."""
    assert chosen(environment, system) == expected


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        (
            {"HTTP_PROXY": "http://user:p%40ss@h:99999"},
            "HTTP_PROXY is not the address of a proxy: http://***@h:99999",
        ),
        ({"HTTPS_PROXY": "user:p%40ss@h:1"}, "HTTPS_PROXY is not the address of a proxy: http://***@h:1"),
        ({"HTTP_PROXY": "h:3128"}, "not the address of a proxy: h:3128"),
        ({"HTTP_PROXY": "http://h:0"}, "not the address of a proxy: http://h:0"),
        ({"HTTP_PROXY": "http://h:port"}, "not the address of a proxy"),
        ({"HTTP_PROXY": "http://"}, "not the address of a proxy"),
        ({"HTTP_PROXY": "file:///etc/passwd"}, "not the address of a proxy"),
        ({"HTTP_PROXY": "http://a b:1"}, "not the address of a proxy"),
        ({"HTTP_PROXY": "http://[::1:1"}, "not the address of a proxy"),
    ],
)
def test_invalid_proxy_is_an_error(environment: dict[str, str], reason: str) -> None:
    """The error (5) names the variable, and shows no user and no password."""
    with pytest.raises(ConfigError) as raised:
        chosen(environment, {})
    assert reason in raised.value.message
    assert "p%40ss" not in raised.value.message
    assert raised.value.exit_code == 5


@pytest.mark.parametrize(
    ("proxy", "inside"),
    [
        ("http://127.0.0.1:7890", "http://172.17.0.1:7890"),
        ("http://u:p@localhost:7890/", "http://u:p@172.17.0.1:7890/"),
        ("http://[::1]", "http://172.17.0.1"),
        (PROXY, PROXY),
    ],
)
def test_loopback_proxy_is_replaced_by_the_gateway(proxy: str, inside: str) -> None:
    """A loopback proxy is reached by the gateway, the others as they are; exceptions stay."""
    variables = seen_inside({"HTTP_PROXY": proxy, "NO_PROXY": HERE}, "172.17.0.1")
    assert variables == {"HTTP_PROXY": inside, "NO_PROXY": HERE}


def test_children_get_both_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs such as curl read lower case, others upper case."""
    monkeypatch.setenv("https_proxy", PROXY)
    assert child_environment() == {
        "HTTPS_PROXY": PROXY,
        "NO_PROXY": HERE,
        "https_proxy": PROXY,
        "no_proxy": HERE,
    }


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.1"])
def test_a_proxy_that_builds_do_not_reach(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A proxy that listens only on loopback is reported without its password; one on all addresses is used."""
    with contextlib.closing(socket.create_server((host, 0))) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("HTTP_PROXY", f"http://u:c4n4ry@localhost:{port}")
        build_args, events = arguments(bridge="127.0.0.2")
    if host == "127.0.0.2":
        assert (build_args["Http_Proxy"], events) == (f"http://u:c4n4ry@127.0.0.2:{port}", [])
    else:
        assert build_args == {}
        assert [event.message for event in events if isinstance(event, Notice)] == [
            f"your proxy http://***@localhost:{port} listens only on 127.0.0.1, where builds cannot reach it"
        ]


def test_a_proxy_elsewhere_needs_no_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is passed to the build unchanged, also to an engine on another machine."""
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert arguments(host="ssh://far")[0]["Http_Proxy"] == PROXY


def test_a_loopback_proxy_is_not_there_for_an_engine_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback of this machine cannot be reached from another machine."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    build_args, events = arguments(host="ssh://far")
    assert (build_args, len(events)) == ({}, 1)


@pytest.mark.parametrize("address", ["127.0.0.2", "192.0.2.1"])
def test_silent_proxy_is_not_passed_on(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A proxy that refuses connections or does not answer is not passed to the build."""
    monkeypatch.setattr(proxies, "PROBE_TIMEOUT", 0.2)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert arguments(bridge=address)[0] == {}


def test_desktop_has_a_name_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name works only in containers, so no connection is tried."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert arguments(system="Docker Desktop")[0]["Http_Proxy"] == "http://host.docker.internal:1"


def test_the_docker_clis_own_proxies_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compose passes the proxies of config.json to builds."""
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    (tmp_path / "config.json").write_text('{"proxies": {"default": {"httpProxy": "http://other:1"}}}')
    assert arguments() == ({}, [])


def arguments(
    *, host: str = "unix:///x", system: str = "Linux", bridge: str = "172.17.0.1"
) -> tuple[dict[str, str], list[Event]]:
    """The arguments and the notices, with an engine that answers from a table."""

    class Table:
        endpoint = Endpoint(host)

        async def ask(self, path: str, _: str, read: Callable[[Any], Any]) -> Any:
            answers: dict[str, Any] = {
                "info": {"OperatingSystem": system},
                "networks/bridge": {"IPAM": {"Config": [{"Gateway": "fd00::1"}, {"Gateway": bridge}]}},
            }
            return read(answers[path])

    events: list[Event] = []
    return anyio.run(step_arguments, cast("Engine", Table()), events.append), events
