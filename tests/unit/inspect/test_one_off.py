"""Verbs of Compose with the run model."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from devenv.errors import DevenvError
from devenv.inspect.one_off import _joined, _stood_in, require_containers
from devenv.model.containers import Container, ProjectState

CONTAINERS = (
    Container("1", "shop-web-1", "web", "running", ours=True),
    Container("2", "shop-db-1", "db", "exited", ours=True),
)


@pytest.mark.parametrize(
    ("verb", "service", "message", "hint"),
    [
        ("start", "web", "", ""),
        ("start", "db", "", ""),
        ("start", "api", "api is not running", "devenv up api"),
        ("restart", "api", "api is not running", "devenv up api"),
        ("wait", "web", "", ""),
        ("wait", "db", "db is not running", "devenv start db"),
        ("attach", "api", "api is not running", "devenv up api"),
        ("restart", "", "", ""),
    ],
)
def test_verbs_need_containers(verb: str, service: str, message: str, hint: str) -> None:
    """Start needs an existing container, wait a running one; the hint is the command that creates one."""
    with pytest.raises(DevenvError) if message else contextlib.nullcontext() as caught:
        require_containers("shop", [service] if service else [], verb, CONTAINERS)
    assert caught is None or (caught.value.message, caught.value.hint) == (message, hint)


def test_commands_without_services_need_any_container() -> None:
    """Any container of the project is enough."""
    with pytest.raises(DevenvError, match="nothing of shop is running"):
        require_containers("shop", [], "start", ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"network_mode": "service:web"}, {"network_mode": "container:1"}),
        ({"pid": "service:web", "ipc": "host"}, {"pid": "container:1", "ipc": "host"}),
        ({"network_mode": "service:db"}, {"network_mode": "service:db"}),
        ({"volumes_from": ["web:ro", "web", "db"]}, {"volumes_from": ["container:1:ro", "container:1", "db"]}),
        ({"links": ["web:old", "db"]}, {"links": ["db"], "external_links": ["1:old"]}),
        ({"links": ["web"]}, {"external_links": ["1:web"]}),
        ({"image": "a"}, {"image": "a"}),
    ],
)
def test_a_one_off_container_joins_running_ones(written: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compose would refuse the name of a service that is left out; only running containers can be joined."""
    model = {"name": "shop", "services": {"side": written, "web": {}}}
    assert _joined(model, "side", CONTAINERS)["services"] == {"side": expected, "web": {}}


@pytest.mark.parametrize(("reference", "expected"), [("stand-in.devenv/nginx:1", True), ("nginx:1", False)])
def test_a_run_with_stand_ins_is_known_by_the_names_of_its_images(reference: str, expected: bool) -> None:
    """The user consented then, so that `devenv run` uses them, too; the id of an image says nothing."""
    web = Container("1", "shop-web-1", "web", "running", ours=True, image="sha256:1", reference=reference)
    assert _stood_in(ProjectState((web,))) is expected
