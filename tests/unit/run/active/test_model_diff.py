"""Which services a changed model touches."""

from __future__ import annotations

from typing import Any

import pytest

from devenv.model.containers import Container, ProjectState
from devenv.run.active.model_diff import Difference, between, fixed

WEB: dict[str, Any] = {"image": "web:1", "environment": {"A": "1"}, "depends_on": {"db": {}}}
DB: dict[str, Any] = {"image": "db:1"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"web": WEB, "db": DB}, {"db": DB, "web": dict(WEB)}, Difference()),
        ({"web": WEB}, {"web": {**WEB, "environment": {"A": "2"}}}, Difference(("web",))),
        ({"web": WEB}, {"web": {**WEB, "depends_on": {}}}, Difference()),
        ({"web": WEB}, {"web": {**WEB, "scale": 2}}, Difference(("web",))),
        ({"web": WEB}, {"web": {**WEB, "image": "web:2"}}, Difference(("web",), ("web",))),
        ({"web": WEB}, {"web": {**WEB, "build": {"context": "."}}}, Difference(("web",), ("web",))),
        ({"web": WEB}, {"web": WEB, "db": DB}, Difference(("db",), ("db",))),
        ({"web": WEB, "db": DB}, {"web": WEB}, Difference((), (), ("db",))),
        ({"web": WEB}, {"db": DB}, Difference(("db",), ("db",), ("web",))),
    ],
)
def test_only_what_differs_is_touched(before: dict[str, Any], after: dict[str, Any], expected: Difference) -> None:
    """Changed and new services are touched, possibly changed images are looked up, removed services are named."""
    assert between(before, after) == expected
    assert bool(expected) is (expected != Difference())


@pytest.mark.parametrize(
    "shared",
    [{"network_mode": "service:db"}, {"pid": "service:db"}, {"ipc": "service:db"}, {"volumes_from": ["db:ro"]}],
    ids=lambda shared: next(iter(shared)),
)
def test_services_that_share_a_namespace_are_touched(shared: dict[str, Any]) -> None:
    """A new container takes along the containers in its namespace, and the owner of the namespace that it joins."""
    services = {"db": DB, "side": {"image": "side:1", **shared}, "web": WEB}
    deeper = {**services, "third": {"image": "third:1", "network_mode": "service:side"}}

    assert between(services, {**services, "db": {**DB, "user": "1"}}).touched == ("db", "side")
    assert between(deeper, {**deeper, "db": {**DB, "user": "1"}}).touched == ("db", "side", "third")
    assert between(services, {**services, "web": {**WEB, "user": "1"}}).touched == ("web",)


def test_services_were_recreated_added_or_scaled() -> None:
    """A touched service whose containers stayed counts as none of these."""

    def state(**ids: tuple[str, ...]) -> ProjectState:
        return ProjectState(tuple(Container(i, i, s, "running", ours=True) for s, own in ids.items() for i in own))

    before = state(web=("1",), db=("2",), more=("3",), less=("4", "5"))
    after = state(web=("9",), db=("2",), more=("3", "6"), less=("4",), new=("7",))
    touched = Difference(("db", "less", "more", "new", "web"))
    assert touched.outcome(before, after) == (("web",), ("new",), ("less", "more"))


MODEL: dict[str, Any] = {"name": "p", "networks": {"n": {"name": "p_n"}}, "volumes": {"v": {"name": "p_v"}}}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({}, None),
        ({"services": {"web": WEB}}, None),
        ({"volumes": {"v": {"name": "p_v"}, "w": {"name": "p_w"}}}, None),
        ({"volumes": None}, None),
        ({"name": "q"}, ("name",)),
        ({"networks": {"n": {"name": "p_n", "internal": True}}}, ("networks", "n")),
        ({"volumes": {"v": {"name": "p_v", "driver": "x"}}}, ("volumes", "v")),
    ],
)
def test_changes_that_require_a_new_run(change: dict[str, Any], path: tuple[str, ...] | None) -> None:
    """Another name or a different definition of an existing network or volume do; new and removed ones do not."""
    differences = fixed(MODEL, MODEL | change)

    assert (differences[0] if differences else None) == path
