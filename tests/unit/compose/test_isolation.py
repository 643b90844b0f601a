"""An isolated project has no name that another checkout has, and says what it changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from devenv.compose.isolation import commands_on, fixed_addresses, isolate, moved_addresses

STARTED = {"condition": "service_started", "required": True, "restart": True}


def isolated(services: dict[str, Any], **top_level: Any) -> dict[str, Any]:
    """The services of an isolated project with these services."""
    model, _ = isolate({"name": "shop-x", "services": services, **top_level})
    result: dict[str, Any] = model["services"]
    return result


def words(services: dict[str, Any], **top_level: Any) -> str:
    """What isolation says."""
    return isolate({"name": "shop-x", "services": services, **top_level})[1].words


DB = {"container_name": "shop_db", "networks": {"back": None}}
OWN = {"networks": {"back": {"aliases": ["shop_db"]}}}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (DB, OWN),
        ({"container_name": "shop_db"}, {"networks": {"default": {"aliases": ["shop_db"]}}}),
        (
            {**DB, "networks": {"back": {"aliases": ["a"], "priority": 1}, "front": None}},
            {"networks": {"back": {"aliases": ["a", "shop_db"], "priority": 1}, "front": {"aliases": ["shop_db"]}}},
        ),
        ({**DB, "networks": {"proxy": None, "back": None}}, {"networks": {"proxy": None, **OWN["networks"]}}),
        ({"container_name": "shop_db", "network_mode": "host"}, {"network_mode": "host"}),
        ({"container_name": "db"}, {"networks": {"default": {"aliases": ["db"]}}}),
        ({"container_name": "shop-x-db", "networks": {"back": None}}, "same"),
        ({"image": "a", "networks": {"back": None}}, "same"),
    ],
)
def test_a_container_name_becomes_an_alias(service: dict[str, Any], expected: Any) -> None:
    """In each network of the project; a name that begins with the project's stays."""
    networks = {"proxy": {"name": "proxy", "external": True}}
    result = isolated({"db": copy.deepcopy(service)}, networks=networks)["db"]
    assert result == (service if expected == "same" else expected)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"network_mode": "container:shop_db"}, {"network_mode": "service:db", "depends_on": {"db": STARTED}}),
        ({"pid": "container:shop_db"}, {"pid": "service:db", "depends_on": {"db": STARTED}}),
        ({"ipc": "container:shop_db"}, {"ipc": "service:db", "depends_on": {"db": STARTED}}),
        (
            {"volumes_from": ["x", "container:shop_db:ro", "container:shop_db"]},
            {"volumes_from": ["x", "db:ro", "db"], "depends_on": {"db": STARTED}},
        ),
        (
            {"pid": "container:shop_db", "depends_on": {"db": {"condition": "service_healthy"}}},
            {"pid": "service:db", "depends_on": {"db": {"condition": "service_healthy"}}},
        ),
        ({"external_links": ["shop_db", "shop_db:old", "far:x"]}, {"external_links": ["far:x"]}),
        ({"external_links": ["shop_db:old"]}, {}),
        ({"network_mode": "container:far", "ipc": "host"}, "same"),
        ({"volumes_from": ["container:far:ro"]}, "same"),
    ],
)
def test_references_to_a_container_name_its_service(service: dict[str, Any], expected: Any) -> None:
    """As the Compose specification writes each; containers of others stay."""
    result = isolated({"db": copy.deepcopy(DB), "side": copy.deepcopy(service)})["side"]
    assert result == (service if expected == "same" else expected)


def test_the_alias_of_an_external_link_is_one_of_the_service() -> None:
    """The link itself needs the container's name."""
    services = isolated({"db": copy.deepcopy(DB), "web": {"external_links": ["shop_db:old"]}})
    assert services["db"]["networks"] == {"back": {"aliases": ["shop_db", "old"]}}


@pytest.mark.parametrize("kind", ["networks", "volumes", "configs", "secrets"])
@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ({"name": "shop_data", "driver": "x"}, "shop-x_key"),
        ({"name": "shop-x_key"}, "shop-x_key"),
        ({"name": "shop-x-mine"}, "shop-x-mine"),
        ({"name": "far", "external": True}, "far"),
        (None, None),
    ],
)
def test_resources_have_names_of_the_project(kind: str, resource: dict[str, Any] | None, name: str | None) -> None:
    """External ones are shared."""
    model, _ = isolate({"name": "shop-x", "services": {}, kind: {"key": resource}})
    assert model[kind]["key"] == (resource and {**resource, "name": name})


def test_the_engine_chooses_subnets() -> None:
    """No two networks can have the same; the addresses of services in them are dropped, too."""
    pools = {"config": [{"subnet": "10.9.0.0/24", "gateway": "10.9.0.1"}], "driver": "default"}
    networks = {
        "back": {"name": "b", "ipam": pools},
        "six": {"ipam": {"config": [{"subnet": "fd00::/64"}]}, "enable_ipv6": True},
        "far": {"external": True, "ipam": pools},
        "plain": {"ipam": {}},
    }
    web = {"networks": {"back": {"ipv4_address": "10.9.0.5", "priority": 1}, "far": {"ipv4_address": "10.9.0.6"}}}
    model, isolation = isolate({"name": "shop-x", "services": {"web": web}, "networks": networks})
    assert model["networks"]["back"] == {"name": "shop-x_back", "ipam": {"driver": "default"}}
    assert model["networks"]["six"] == {"ipam": {}, "enable_ipv6": False}
    assert (model["networks"]["far"], model["networks"]["plain"]) == (networks["far"], networks["plain"])
    assert model["services"]["web"]["networks"] == {"back": {"priority": 1}, "far": {"ipv4_address": "10.9.0.6"}}
    assert isolation.addresses == {"10.9.0.5"}
    assert "networks without fixed subnets: back, six;" in isolation.words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("redis://10.9.0.5:6379/0", ["10.9.0.5"]),
        ("http://[fd00::5]:80,10.9.0.5", ["10.9.0.5", "fd00::5"]),
        ("10.9.0.50 110.9.0.5 10.9.0.5.1 fd00::51 afd00::5", []),
    ],
)
def test_dropped_addresses_in_values(value: str, expected: list[str]) -> None:
    """Whole addresses only."""
    assert fixed_addresses(value, {"10.9.0.5", "fd00::5"}) == expected


def test_ports_are_automatic_and_the_given_model_stays() -> None:
    """Whatever the file says about ports; a block of another type is left to the checks of the file."""
    given = {"name": "shop-x", "services": {"db": DB}, "x-devenv": {"ports": "as-written", "keep": "a"}}
    before = copy.deepcopy(given)
    assert isolate(given)[0]["x-devenv"] == {"ports": "auto", "keep": "a"}
    assert given == before
    assert isolate({"name": "shop-x", "services": {}, "x-devenv": []})[0]["x-devenv"] == {"ports": "auto"}
    assert isolate({"name": "shop-x", "services": {}, "x-devenv": ["a"]})[0]["x-devenv"] == ["a"]


BUILT: dict[str, Any] = {"build": {"context": "/x"}, "image": "me/web:dev"}


@pytest.mark.parametrize(
    ("services", "images"),
    [
        ({"web": BUILT}, ["shop-x-web"]),
        ({"worker": {"image": "docker.io/me/web:dev"}, "web": BUILT}, ["shop-x-web", "shop-x-web"]),
        ({"web": BUILT, "worker": BUILT}, ["shop-x-web", "shop-x-web"]),
        ({"web": {**BUILT, "pull_policy": "build"}}, ["shop-x-web"]),
        ({"web": BUILT, "db": {"image": "me/web:prod"}}, ["shop-x-web", "me/web:prod"]),
        ({"web": {**BUILT, "pull_policy": "always"}}, "same"),
        ({"web": {**BUILT, "image": "shop-x-mine"}}, "same"),
        ({"web": BUILT, "top": {"build": {"args": {"BASE": "me/web:dev"}}, "image": "shop-x-top"}}, "same"),
        ({"web": BUILT, "top": {"build": {"additional_contexts": {"a": "docker-image://me/web"}}, "image": "b"}},
         ["me/web:dev", "shop-x-top"]),
        ({"web": {"image": "me/web:dev"}}, "same"),
    ],
)  # fmt: skip
def test_an_image_that_is_built_has_a_name_of_the_project(services: dict[str, Any], images: Any) -> None:
    """In each service that uses it; unless it may be pulled, or a build names it."""
    written = [service["image"] for service in services.values()]
    result = isolated(copy.deepcopy(services))
    assert [service["image"] for service in result.values()] == (written if images == "same" else images)


@pytest.mark.parametrize(
    ("dockerfile", "is_named"),
    [
        ("FROM me/web:dev AS base", True),
        ("# x\n  from --platform=linux/amd64 me/web", True),
        ("FROM debian\nCOPY --from=me/web:dev /a /b", True),
        ("FROM debian\nRUN --mount=type=bind,from=me/web,target=/x true", True),
        ('ARG BASE="me/web:dev"\nFROM $BASE', True),
        ("FROM me/web-base\nCOPY me/web me/web", False),
        ("FROM registry:5000/me/web", False),
    ],
)
def test_an_image_that_a_dockerfile_names_is_shared(dockerfile: str, *, is_named: bool) -> None:
    """Its name cannot be changed there. Without knowledge of the Dockerfiles, all are."""
    model, isolation = isolate({"name": "shop-x", "services": {"web": copy.deepcopy(BUILT)}}, ["FROM a", dockerfile])
    assert model["services"]["web"]["image"] == ("me/web:dev" if is_named else "shop-x-web")
    assert (isolation.shared["images"] == ["me/web:dev"]) == is_named
    model, isolation = isolate({"name": "shop-x", "services": {"web": copy.deepcopy(BUILT)}}, None)
    assert (model["services"]["web"], isolation.shared["images"]) == (BUILT, ["me/web:dev"])


def test_one_line_says_what_was_changed() -> None:
    """And what is shared; a project without such names has none."""
    assert words({"web": {"image": "a"}}, networks={"default": {"name": "shop-x_default"}}) == ""
    services = {
        "db": {**DB, "ports": [{"target": 80}]},
        "web": {"container_name": "shop_web", "network_mode": "container:far", "build": {}, "image": "me/web"},
        "base": {"build": {}, "image": "me/base", "pull_policy": "always"},
    }
    resources = {"volumes": {"data": {"name": "a"}}, "networks": {"proxy": {"name": "traefik", "external": True}}}
    assert words(copy.deepcopy(services), **resources) == (
        "shop-x is isolated: network aliases in place of container names: shop_db, shop_web; own volumes: data; "
        "own images: me/web; ports are automatic; "
        "shared with other projects: networks traefik, images me/base, containers far"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("http://localhost:8000/x", [("localhost:8000", "localhost:21000")]),
        ("http://127.0.0.1:8000,http://[::1]:8000", ["127.0.0.1:21000", "[::1]:21000"]),
        ("postgres://u:p@host.docker.internal:8000/db", ["host.docker.internal:21000"]),
        ("localhost:80001 localhost:800 mylocalhost:8000 web:8000 8000", []),
    ],
)
def test_addresses_whose_port_moved(value: str, expected: list[Any]) -> None:
    """Those of this machine, with the address that each has now."""
    found = list(moved_addresses(value, {8000: 21000}))
    assert [
        pair if isinstance(want, tuple) else pair[1] for pair, want in zip(found, expected, strict=True)
    ] == expected


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("docker exec -it shop_db psql", "shop_db"),
        ("\t@docker container exec shop_db sh", "shop_db"),
        ("x | docker cp - shop_db:/x", "shop_db"),
        ('"seed": "docker exec shop_db seed"', "shop_db"),
        ("docker exec shop_db_2 sh", None),
        ("docker exec my/shop_db sh", None),
        ("docker compose exec db psql", None),
        ("docker run --name shop_db x", None),
        ("echo shop_db", None),
    ],
)
def test_commands_that_name_a_container(line: str, name: str | None) -> None:
    """Commands of docker on a container; Compose takes services."""
    assert list(commands_on(f"#!/bin/sh\n{line}", ["shop_db", "shop_web"])) == ([(2, name)] if name else [])
