"""The desired state of a project, and the model that Compose gets for it."""

from __future__ import annotations

import copy
import json
import os
import re
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devenv.compose.outline import Selection
from devenv.compose.parse import parse
from devenv.compose.resolve import Loaded
from devenv.compose.run_model import Existing, PortChange
from devenv.docker.cli import Compose, EarlyCommand
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.errors import ConfigError, EngineError, UsageError
from devenv.host import listeners
from devenv.images import prepare
from devenv.model.containers import Container, ProjectState
from devenv.run.desired import DesiredState, build, chosen, require_checks, with_ports
from devenv.run.preload import UpOptions

MODEL: dict[str, Any] = {
    "name": "p",
    "services": {
        "seed": {"image": "seed"},
        "db": {"image": "db", "volumes": [{"type": "volume", "source": "data", "target": "/data"}]},
        "web": {
            "build": {"context": "/p"},
            "depends_on": {"db": {}, "seed": {}},
            "ports": [{"target": 80, "published": "8080"}],
        },
        "side": {"image": "side", "network_mode": "service:db"},
        "theirs": {"image": "theirs"},
    },
    "volumes": {"data": {"name": "p_data"}, "old": {"name": "p_old"}, "far": {"name": "far", "external": True}},
}


def stage(**more: Any) -> DesiredState:
    """All services are chosen; others run `theirs`, and one volume exists already."""
    loaded = Loaded(parse(MODEL, directory="/p", files=("/p/compose.yml",)), MODEL)
    existing = Existing(frozenset({"theirs"}), frozenset(), frozenset({"p_old"}))
    return DesiredState(loaded, frozenset(MODEL["services"]), existing, **more)


def services(compose: Compose) -> dict[str, Any]:
    """The services of the model that Compose gets."""
    written: dict[str, Any] = json.loads(compose.model)["services"]
    return written


def test_services_run_by_others_are_not_ours() -> None:
    """Services run by others are neither created nor built."""
    desired = stage()

    assert set(services(desired.compose)) == set(MODEL["services"])
    assert set(services(desired.making)) == desired.own == set(MODEL["services"]) - {"theirs"}
    assert desired.built == ("web",)


def test_a_start_leaves_what_has_ended() -> None:
    """Dependencies are left out, unless the service shares their namespace."""
    desired = stage()

    assert desired.starting(["web", "theirs"]) == {"web"}
    assert desired.starting(["side"]) == {"side", "db"}


@pytest.mark.parametrize("addresses", [(), ("127.0.0.1",), ("127.0.0.1", "::1")])
def test_ports_are_those_that_will_be_published(addresses: tuple[str, ...]) -> None:
    """The checked addresses are those on which Compose publishes."""
    desired = stage(addresses=addresses)

    assert [(wanted.ips, wanted.port) for wanted in desired.wanted_ports(desired.names)] == [
        (addresses or ("",), 8080)
    ]
    published = services(desired.making)["web"]["ports"]
    assert tuple(port["host_ip"] for port in published if "host_ip" in port) == addresses
    assert desired.is_narrowed is bool(addresses)


class Machine(Engine):
    """A local engine with a container on some ports."""

    def __init__(self, host: str, taken: tuple[int, ...]) -> None:
        self.endpoint = Endpoint(host)
        self.kernel = os.uname().release
        self.taken = taken
        self.containers = SimpleNamespace(published=self.published)  # type: ignore[assignment]

    async def published(self) -> tuple[tuple[str, str, int], ...]:
        """The containers that have them."""
        return tuple(("container other", "127.0.0.1", port) for port in self.taken)


async def decided(
    model: dict[str, Any] | None = None,
    *,
    project_state: ProjectState = ProjectState(),  # noqa: B008 - frozen
    before: DesiredState | None = None,
    host: str = "unix:///e",
    taken: tuple[int, ...] = (),
    **options: Any,
) -> DesiredState:
    """The desired state of a model, or the one after `before`, with its ports."""
    loaded = Loaded(parse(model or MODEL, directory="/p", files=("/p/compose.yml",)), model or MODEL)
    given = DesiredState(loaded, frozenset((model or MODEL)["services"])) if before is None else before
    return await with_ports(given, UpOptions(Selection("/p"), **options), Machine(host, taken), project_state)


def numbers(desired: DesiredState) -> dict[str, str]:
    """The host ports by service and container port."""
    return {f"{change.service} {change.target}": change.published for change in desired.ports}


@pytest.mark.anyio
async def test_ports_are_for_this_machine_alone_unless_somebody_says_otherwise() -> None:
    """`--lan`, `as-written` and a remote engine leave them as they are written."""
    assert (await decided()).addresses == listeners.loopbacks(os.uname().release)
    assert (await decided(lan=True)).addresses == ()
    assert (await decided(host="ssh://far")).addresses == ()
    assert (await decided({**MODEL, "x-devenv": {"ports": "as-written"}})).addresses == ()


@pytest.mark.anyio
async def test_automatic_ports_stay_the_same() -> None:
    """From call to call, by option or by setting, and while a container or the run has them."""
    first = await decided(auto_ports=True)
    port = numbers(first)["web 80"]
    assert numbers(await decided({**MODEL, "x-devenv": {"ports": "auto"}})) == {"web 80": port}
    assert services(first.making)["db"]["environment"] == {"DEVENV_PORT_WEB_80": port}

    moved = await decided(auto_ports=True, taken=(int(port),))
    assert numbers(moved) != numbers(first)
    assert numbers(await decided(auto_ports=True, before=first, taken=(int(port),))) == numbers(first)
    web = Container("1", "p-web-1", "web", "running", ours=True, ports=(("127.0.0.1", int(port), 80),))
    kept = await decided(auto_ports=True, project_state=ProjectState((web,)), taken=(int(port),))
    assert numbers(kept) == numbers(first)
    assert numbers(await decided(before=moved)) == {}


@pytest.mark.anyio
async def test_automatic_ports_leave_alone_what_is_named() -> None:
    """`--port` decides its port; the engine picks ports for several containers; ports of others stay."""
    named = (PortChange("web", "9000", 80),)
    desired = await decided(auto_ports=True, ports=named)
    assert (desired.ports, numbers(desired)) == (named, {"web 80": "9000"})
    assert services(desired.making)["db"]["environment"] == {"DEVENV_PORT_WEB_80": "9000"}

    web = {**MODEL["services"]["web"], "scale": 2, "ports": [{"target": 80}]}
    several = {**MODEL, "services": {**MODEL["services"], "web": web}}
    assert numbers(await decided(several, auto_ports=True)) == {}
    before = replace(stage(), existing=Existing(frozenset({"web"})))
    assert numbers(await decided(before=before, auto_ports=True)) == {}


@pytest.mark.anyio
async def test_a_taken_automatic_port_is_passed_over() -> None:
    """If a process listens on it, on IPv4 or IPv6, the next port is taken; a remote engine cannot be checked."""
    port = int(numbers(await decided(auto_ports=True))["web 80"])
    for family, ip in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((ip, port), family=family):
            assert numbers(await decided(auto_ports=True)) == {"web 80": str(port + 1)}
            assert numbers(await decided(auto_ports=True, host="ssh://far")) == {"web 80": str(port)}


@pytest.mark.anyio
async def test_two_services_on_one_port(tmp_path: Path) -> None:
    """The error names both services, the second place, and a fix; either of them alone is accepted."""
    file = tmp_path / "compose.yml"
    file.write_text("services:\n  a: {image: x, ports: ['8080:80']}\n  b:\n    image: x\n    ports:\n    - 8080:81\n")
    model: dict[str, Any] = {
        "name": "p",
        "services": {
            "a": {"image": "x", "ports": [{"target": 80, "published": "8080"}]},
            "b": {"image": "x", "ports": [{"target": 81, "published": "8080"}]},
        },
    }
    options = UpOptions(Selection(str(tmp_path)))
    loaded = Loaded(parse(model, directory=str(tmp_path), files=(str(file),)), model)
    engine = Machine("unix:///e", ())
    with pytest.raises(ConfigError, match="`a` and `b` both publish the host port 8080") as caught:
        await with_ports(DesiredState(loaded, frozenset("ab")), options, engine, ProjectState())
    assert (caught.value.exit_code, caught.value.where) == (5, "compose.yml:6")
    assert re.search(r"devenv up --port b:\d+=81$", caught.value.hint or "")
    assert await with_ports(DesiredState(loaded, frozenset("b")), options, engine, ProjectState())
    moved = replace(options, ports=(PortChange("b", "8081", 81),))
    assert await with_ports(DesiredState(loaded, frozenset("ab")), moved, engine, ProjectState())


def test_an_unknown_service_is_named() -> None:
    """The error lists the services that exist."""
    with pytest.raises(UsageError, match="nope") as caught:
        chosen(stage().project, ["nope"])
    assert "seed, db, web" in (caught.value.hint or "")


WAITS = {
    "name": "p",
    "services": {
        "web": {"image": "web", "depends_on": {"db": {"condition": "service_healthy"}}},
        "db": {"image": "db"},
    },
}


@pytest.mark.parametrize(
    ("check", "image", "condition", "fine"),
    [
        ({}, None, "service_healthy", False),
        ({}, {"Test": ["NONE"]}, "service_healthy", False),
        ({}, {"Test": ["CMD", "true"]}, "service_healthy", True),
        ({"interval": "1s"}, {"Test": ["CMD", "true"]}, "service_healthy", True),
        ({"disable": True}, {"Test": ["CMD", "true"]}, "service_healthy", False),
        ({"test": ["NONE"]}, {"Test": ["CMD", "true"]}, "service_healthy", False),
        ({"test": ["CMD", "true"]}, None, "service_healthy", True),
        ({}, None, "service_started", True),
        ({}, EngineError("not here"), "service_healthy", True),
    ],
)
@pytest.mark.anyio
async def test_awaited_service_needs_a_health_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: dict[str, Any], image: Any, condition: str, *, fine: bool
) -> None:
    """The file or the image has one, and the file does not turn it off; else the error is at the line that waits."""
    model = copy.deepcopy(WAITS)
    services: dict[str, Any] = model["services"]  # type: ignore[assignment] # of a literal
    services["db"]["healthcheck"] = check
    services["web"]["depends_on"]["db"]["condition"] = condition
    text = f"services:\n  web:\n    depends_on:\n      db: {{condition: {condition}}}\n"
    (tmp_path / "compose.yml").write_text(text)

    async def inspect(_engine: object, reference: str) -> dict[str, Any]:
        assert reference == "db"
        if isinstance(image, EngineError):
            raise image
        return {"Config": {"Healthcheck": image} if image else None}

    monkeypatch.setattr("devenv.docker.images.Images.inspect", inspect)
    loaded = Loaded(parse(model, directory="/p", files=("/p/compose.yml",)), model)
    engine = Engine(None, Endpoint("unix:///x"))  # type: ignore[arg-type] # nobody asks it
    work = require_checks(DesiredState(loaded, frozenset(("web", "db"))), UpOptions(Selection(str(tmp_path))), engine)
    if fine:
        await work
        return
    with pytest.raises(ConfigError) as caught:
        await work
    assert caught.value.said == "compose.yml:4: `web` waits for `db` to be healthy, which has no health check"


@pytest.mark.anyio
async def test_a_build_of_some_services_is_a_command_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that began early builds all of them."""
    model = {**MODEL, "services": {name: {"build": {"context": "/p"}} for name in ("api", "web")}}
    loaded = Loaded(parse(model, directory="/p", files=("/p/compose.yml",)), model)
    given = DesiredState(loaded, frozenset(("api", "web")))
    used: list[EarlyCommand | None] = []

    async def record(*_: Any, early: EarlyCommand | None, **__: Any) -> None:
        used.append(early)

    monkeypatch.setattr(prepare, "build", record)
    early = given.making.early("build")
    for names in (("web",), ("api", "web"), ()):
        await build(given, names, lambda _: None, early=early)
    assert used == [None, early]
