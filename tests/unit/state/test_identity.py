"""The identity of objects: tables of which are the same, and which only look the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.model.containers import Container, Network, ProjectState, Volume
from devenv.state import identity
from devenv.state.identity import (
    Old,
    Place,
    VolumeRecord,
    VolumeVerdict,
    Window,
    created,
    engine_key,
    moment,
    verdict,
)

AT, LATER = "2026-11-30T10:00:00Z", "2026-11-30T10:00:01Z"
OWNER = "me@host-1"

# --- engines and folders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        ([("a", "/d")], [("a", "/d")], True),
        ([("a", "/d")], [("a", "/d"), ("a", "/d")], True),
        ([("a", "/d")], [("a", "/mnt")], False),
        ([("a", "/d")], [("b", "/d")], False),
        ([("a", "/d")], [("a", "/d"), ("b", "/d")], False),
    ],
    ids=["the same", "asked twice", "copied with its id", "another", "not known to be stable"],
)
def test_an_engine_is_its_id_and_its_data(
    first: Sequence[tuple[str, str]], other: Sequence[tuple[str, str]], same: bool
) -> None:
    """Its address does not matter: one engine may have two addresses."""
    assert (engine_key(first, "unix:///a") == engine_key(other, "tcp://b:1")) is same


@pytest.mark.parametrize("answers", [[("a", "/d"), ("b", "/d")], [("", "/d")], [("", ""), ("", "")]])
def test_an_engine_without_a_stable_id_is_its_address(answers: Sequence[tuple[str, str]]) -> None:
    """Podman makes an id for each answer."""
    changed = [(f"{key}x", root) if key else ("", root) for key, root in answers]
    assert engine_key(answers, "unix:///a") == engine_key(changed, "unix:///a")
    assert engine_key(answers, "unix:///a") != engine_key(answers, "unix:///b")


HERE = Place("/home/me/shop", 1, 2)


@pytest.mark.parametrize(
    ("other", "is_gone", "expected"),
    [
        (Place("/home/me/store", 1, 2), True, True),
        (Place("/home/me/store", 1, 2), False, False),
        (Place("/home/me/store", 1, 3), True, False),
        (Place("/home/me/store", 9, 2), True, False),
        (HERE, True, False),
        (Place("/home/me/store"), True, False),
    ],
    ids=["renamed", "reached by two paths", "copied", "on another disk", "itself", "cannot be looked at"],
)
def test_a_folder_that_was_renamed(other: Place, is_gone: bool, expected: bool) -> None:
    """It is the same folder under a new path, if the old path does not exist: a copy is another folder."""
    assert HERE.is_renamed_to(other, is_gone=is_gone) is expected


def test_a_folder_that_nobody_looked_at_is_not_renamed() -> None:
    """Devenv 0.1 recorded only the path: without an inode there is no proof."""
    assert not Place("/a").is_renamed_to(Place("/b"), is_gone=True)


# --- containers and networks ------------------------------------------------------------------------------------

WINDOW = Window("shop", OWNER, frozenset({"old"}), {"web": "", "db": "store"}, frozenset({"shop_default"}))


def container(name: str = "shop-web-1", service: str = "web", **more: Any) -> Container:
    """A container that Compose creates for us."""
    made = Container("new", name, service, "created", ours=False, project="shop", number="1", owner=OWNER)
    return replace(made, **more)


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (container(), True),
        (container("shop-web-12", number="12"), True),
        (container("shop_web_1"), True),
        (container("0123456789ab_shop-web-1"), True),
        (container("0123456789ab_shop_web_1"), True),
        (container("store", "db"), True),
        (container("0123456789ab_store", "db"), True),
        (container(id="old"), False),
        (container(owner=""), False),
        (container(owner="other@host-2"), False),
        (container(inherits=True), False),
        (container(project="store"), False),
        (container("shop-web-2"), False),
        (container("shop-web-1", number="2"), False),
        (container("shop-web-", number=""), False),
        (container("shop-web-x", number="x"), False),
        (container("shop-web_1"), False),
        (container("0123456789a_shop-web-1"), False),
        (container("0123456789AB_shop-web-1"), False),
        (container("x-0123456789ab_shop-web-1"), False),
        (container("shop-cache-1", "cache"), False),
        (container("shop-db-1", "db"), False),
        (container("store", "web"), False),
        (container("other", "db"), False),
        (container("shop-web-run-0123456789ab"), False),
    ],
    ids=[
        "new", "a second digit", "compatibility", "replaces another", "replaces another, compatibility",
        "container_name", "replaces another, container_name", "existed before", "no owner", "another owner",
        "copied image", "another project", "another number", "another number in its label", "no number",
        "no number at all", "half compatibility", "eleven digits", "capitals", "in the middle",
        "service that was not asked for", "numbered, though it has a name", "name of another service",
        "another name", "one-off",
    ],
)  # fmt: skip
def test_objects_that_a_call_may_have_created(thing: Container, expected: bool) -> None:
    """New, labelled by the call itself, and of a name that the call gives: labels alone can be copied."""
    assert WINDOW.may_have_created(thing) is expected
    project_state, reported = ProjectState((thing,)), [("container", thing.name)]
    assert created(WINDOW, project_state, reported) == (("new",) if expected else ())


@pytest.mark.parametrize(
    ("project", "service", "fixed", "name"),
    [
        ("shop", "db", "0123456789ab_db", "0123456789ab_db"),
        ("shop", "db", "0123456789ab_db", "ba9876543210_0123456789ab_db"),
        ("0123456789ab", "web", "", "0123456789ab_web_1"),
        ("0123456789ab", "web", "", "0123456789ab-web-1"),
        ("0123456789ab_x", "web", "", "0123456789ab_x-web-1"),
        ("0123456789ab_x", "web", "", "ba9876543210_0123456789ab_x-web-1"),
    ],
)
def test_names_that_look_as_if_something_was_replaced(project: str, service: str, fixed: str, name: str) -> None:
    """Twelve digits before `_` may be the name's own: such a container is ours, too."""
    window = replace(WINDOW, project=project, services={service: fixed})
    thing = container(name, service, project=project)
    final = name if name.count("_") < 2 or name.startswith("0123456789ab") else name[13:]
    assert window.may_have_created(thing)
    assert created(window, ProjectState((thing,)), [("container", final)]) == ("new",)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (Network("new", "shop_default", ours=False, owner=OWNER), True),
        (Network("old", "shop_default", ours=False, owner=OWNER), False),
        (Network("new", "shop_default", ours=False), False),
        (Network("new", "shop_default", ours=False, owner="other@host-2"), False),
        (Network("new", "shop_back", ours=False, owner=OWNER), False),
    ],
    ids=["new", "existed before", "no owner", "another owner", "not of the model"],
)
def test_networks_that_a_call_may_have_created(network: Network, expected: bool) -> None:
    """They have its owner and name, and Compose has reported them."""
    project_state = ProjectState(networks=(network,))
    assert WINDOW.may_have_created(network) is expected
    assert created(WINDOW, project_state, [("network", network.name)]) == (("new",) if expected else ())
    assert created(WINDOW, project_state, [("container", network.name), ("network", "other")]) == ()


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ([("container", "shop-web-1")], "a b"),
        ([("container", "shop-web-2")], "c"),
        ([("network", "shop-web-1")], ""),
        ([("container", "shop-web-3")], ""),
        ([], ""),
    ],
)
def test_unreported_objects_were_not_created_by_the_call(reported: list[tuple[str, str]], expected: str) -> None:
    """Another call may create a container of the same kind at the same time; a new container has the final name."""
    project_state = ProjectState((
        container(id="a"),
        container("0123456789ab_shop-web-1", id="b"),
        container("shop-web-2", id="c", number="2"),
    ))  # fmt: skip
    assert " ".join(created(WINDOW, project_state, reported)) == expected


def test_a_call_that_may_create_nothing() -> None:
    """It has neither services nor networks."""
    window = Window("shop", OWNER)
    assert not window.may_have_created(container())
    assert not window.may_have_created(Network("new", "shop_default", ours=False, owner=OWNER))


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (container(owner="", is_old=True), True),
        (container("any name", "", owner="", is_old=True), True),
        (Network("new", "any", ours=False, is_old=True), True),
        (container(is_old=False), False),
        (container(id="old", is_old=True), False),
        (container(is_old=True, inherits=True), False),
        (Network("new", "any", ours=False, owner=OWNER), False),
    ],
)
def test_what_devenv_0_1_counts_as_its_own(thing: Container | Network, expected: bool) -> None:
    """Its labels decide, except for objects that existed before or have the labels from an image."""
    assert Old(frozenset({"old"})).may_have_created(thing) is expected


@pytest.mark.parametrize(
    ("thing", "is_other"),
    [
        (container(owner="other@host-2"), True),
        (container(owner="", is_old=True), True),
        (container(owner=""), False),
        (container(owner=OWNER), False),
        (container(owner="other@host-2", ours=True), False),
        (container(owner="other@host-2", inherits=True), False),
        (container(owner="other@host-2", number=""), False),
        (container(owner="other@host-2", holds="shop_data"), False),
    ],
    ids=[
        "another owner", "devenv 0.1 without a record", "plain Compose", "ours by its label", "ours by its id",
        "copied image", "not Compose's", "a holder",
    ],
)  # fmt: skip
def test_containers_of_another_owner_are_found(thing: Container, is_other: bool) -> None:
    """Another owner's run of the project, seen by a container that Compose created for it."""
    assert identity.others(ProjectState((thing,)), OWNER) == ((thing,) if is_other else ())


def test_the_oldest_container_says_since_when() -> None:
    """The engine's clock counts, not the order of the list."""
    times = ["2026-11-30T10:00:00.2Z", "2026-11-30T10:00:00.100000001Z", "2026-11-30T12:00:00+03:00"]
    theirs = [container(id=str(n), owner="other", created=at) for n, at in enumerate(times)]
    assert [one.id for one in identity.others(ProjectState(tuple(theirs)), OWNER)] == ["2", "1", "0"]


# --- volumes ----------------------------------------------------------------------------------------------------

RECORD = VolumeRecord("shop_data", "local", AT)
VOLUME = Volume("shop_data", "shop", "data", driver="local", created=AT)
INTENDED = moment(AT) or 0.0


@pytest.mark.parametrize(
    ("record", "volume", "expected"),
    [
        (RECORD, VOLUME, VolumeVerdict.LIKELY),
        (replace(RECORD, is_proven=True), VOLUME, VolumeVerdict.SAME),
        (replace(RECORD, is_proven=True), replace(VOLUME, created=LATER), VolumeVerdict.OTHER),
        (RECORD, replace(VOLUME, created=LATER), VolumeVerdict.OTHER),
        (RECORD, replace(VOLUME, created="2026-11-30T09:59:59Z"), VolumeVerdict.OTHER),
        (RECORD, replace(VOLUME, created=""), VolumeVerdict.OTHER),
        (RECORD, replace(VOLUME, created="2026-11-30T12:00:00+02:00"), VolumeVerdict.LIKELY),
        (RECORD, replace(VOLUME, created="2026-11-30T05:00:00-05:00"), VolumeVerdict.LIKELY),
        (RECORD, replace(VOLUME, created="2026-11-30T12:00:00Z"), VolumeVerdict.OTHER),
        (replace(RECORD, is_proven=True), replace(VOLUME, driver="nfs"), VolumeVerdict.OTHER),
        (replace(RECORD, driver=""), VOLUME, VolumeVerdict.LIKELY),
        (RECORD, replace(VOLUME, driver=""), VolumeVerdict.LIKELY),
    ],
    ids=[
        "same second",
        "proven",
        "proven, and created later",
        "created later",
        "created earlier",
        "no time",
        "in another zone",
        "in a zone of the west",
        "the same text in another zone",
        "another driver",
        "driver not recorded",
        "driver not known",
    ],
)
def test_verdict_about_a_recorded_volume(record: VolumeRecord, volume: Volume, expected: VolumeVerdict) -> None:
    """Equal times prove nothing within a second; another time proves that it is another volume."""
    assert verdict(record, volume, is_held=False, is_moved=False) is expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, VolumeVerdict.OTHER),
        (-2, VolumeVerdict.LIKELY),
        (0, VolumeVerdict.LIKELY),
        (60, VolumeVerdict.LIKELY),
        (61, VolumeVerdict.OTHER),
        (None, VolumeVerdict.OTHER),
    ],
)
def test_a_volume_that_was_intended_and_never_seen(seconds: float | None, expected: VolumeVerdict) -> None:
    """The run died during the create: a volume that appeared much later is not ours."""
    record = VolumeRecord("shop_data", intended=INTENDED)
    at = "" if seconds is None else dt.datetime.fromtimestamp(INTENDED + seconds, dt.UTC).isoformat()
    assert verdict(record, replace(VOLUME, created=at), is_held=False, is_moved=False) is expected


def test_a_volume_of_devenv_0_1() -> None:
    """Only its name was recorded, so it is saved before it is removed."""
    record = VolumeRecord("shop_data")
    assert verdict(record, VOLUME, is_held=False, is_moved=False) is VolumeVerdict.LIKELY


@pytest.mark.parametrize("record", [RECORD, VolumeRecord("shop_data", intended=INTENDED)])
@pytest.mark.parametrize("volume", [VOLUME, replace(VOLUME, created=LATER), replace(VOLUME, driver="nfs")])
def test_a_volume_in_use_by_ours_is_the_same(record: VolumeRecord, volume: Volume) -> None:
    """The engine removes none that a container mounts, running or not."""
    assert verdict(record, volume, is_held=True, is_moved=False) is VolumeVerdict.SAME


@pytest.mark.parametrize(
    ("volume", "expected"),
    [
        (replace(VOLUME, created=LATER), VolumeVerdict.MOVED),
        (VOLUME, VolumeVerdict.SAME),
        (replace(VOLUME, created=LATER, driver="nfs"), VolumeVerdict.OTHER),
    ],
)
def test_names_count_if_the_data_folder_was_moved(volume: Volume, expected: VolumeVerdict) -> None:
    """But a driver does not change by that."""
    assert verdict(replace(RECORD, is_proven=True), volume, is_held=False, is_moved=True) is expected


@pytest.mark.parametrize(
    ("known", "now", "expected"),
    [
        ({"a": AT, "b": AT}, {"a": LATER, "b": LATER}, True),
        ({"a": AT, "b": AT, "gone": AT}, {"a": LATER, "b": LATER, "new": AT}, True),
        ({"a": AT, "b": AT}, {"a": LATER, "b": AT}, False),
        ({"a": AT}, {"a": LATER}, False),
        ({"a": AT, "b": ""}, {"a": LATER, "b": LATER}, False),
        ({"a": AT, "b": AT}, {"a": "2026-11-30T11:00:00+01:00", "b": "2026-11-30T11:00:00+01:00"}, False),
        ({}, {"a": AT, "b": AT}, False),
        ({"a": AT, "b": AT}, {}, False),
    ],
    ids=["all", "all that still exist", "one alone", "only one is known", "one has no time", "another zone",
         "nothing is known", "nothing exists"],
)  # fmt: skip
def test_moved_data_folder_is_detected(known: Mapping[str, str], now: Mapping[str, str], expected: bool) -> None:
    """A volume that was created again is not a move, and neither is another time zone."""
    assert identity.is_moved(known, now) is expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:00:00.5Z", 0.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1969-12-31T19:00:00-05:00", 0.0),
        ("1970-01-01T00:00:00", 0.0),
        ("2026-10-25T02:30:00+02:00", 1792888200.0),
        ("2026-10-25T02:30:00+01:00", 1792891800.0),
        ("0001-01-01T00:00:00Z", -62135596800.0),
        ("9999-12-31T23:59:59-12:00", 253402343999.0),
        ("0001-01-01T00:00:00+12:00", -62135640000.0),
        ("", None),
        ("yesterday", None),
        ("2026-13-01T00:00:00Z", None),
    ],
)
def test_times_are_compared_as_instants(text: str, seconds: float | None) -> None:
    """Equal instants are equal numbers, in any time zone, also in the hour that repeats."""
    assert moment(text) == seconds


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    """Unexpected text from an engine or a driver must not cause a traceback."""
    assert moment(text) is None or isinstance(moment(text), float)
