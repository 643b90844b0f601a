"""What Compose is given of a project's state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devenv.config.load import Loaded
from devenv.config.parse import parse
from devenv.config.runmodel import Found
from devenv.engine.compose import Compose
from devenv.errors import UsageError
from devenv.lifecycle.stage import Stage, chosen

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


def stage(**more: Any) -> Stage:
    """All services chosen; somebody else runs `theirs`, and one volume was there before."""
    loaded = Loaded(parse(MODEL, directory="/p", files=("/p/compose.yml",)), MODEL)
    found = Found(frozenset({"theirs"}), frozenset(), frozenset({"p_old"}))
    return Stage(loaded, frozenset(MODEL["services"]), found, **more)


def services(compose: Compose) -> dict[str, Any]:
    """The services of the model that Compose gets."""
    found: dict[str, Any] = json.loads(compose.model)["services"]
    return found


def test_what_is_ours() -> None:
    """What somebody else runs is neither made nor built by us, and a volume that was there is not new."""
    found = stage()

    assert set(services(found.compose)) == set(MODEL["services"])
    assert set(services(found.making)) == found.own == set(MODEL["services"]) - {"theirs"}
    assert (found.built, found.new_volumes) == (("web",), ("p_data",))


def test_a_start_leaves_what_has_ended() -> None:
    """What runs can be waited for, what has ended is left out, and the owner of a shared namespace stays in."""
    found = stage()

    assert services(found.starting(["web"], ["db", "theirs"]))["web"]["depends_on"] == {"db": {}}
    assert set(services(found.starting(["side"], []))) == {"side", "db"}


@pytest.mark.parametrize(("more", "ip"), [({}, "127.0.0.1"), ({"loopback": False}, "")])
def test_ports_are_those_that_will_be_published(more: dict[str, Any], ip: str) -> None:
    """The address that is looked at is the one that Compose is told to publish on."""
    found = stage(**more)

    assert [(wanted.ip, wanted.port) for wanted in found.wanted_ports(found.names)] == [(ip, 8080)]
    assert services(found.making)["web"]["ports"][0].get("host_ip", "") == ip


def test_an_unknown_service_is_named() -> None:
    """Whoever asks for a service that is not there hears which ones are."""
    with pytest.raises(UsageError, match="nope") as caught:
        chosen(stage().project, ["nope"])
    assert "seed, db, web" in (caught.value.hint or "")
