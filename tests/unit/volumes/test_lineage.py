"""Lineages: which volume they belong to, and what a new volume gets; and notes of any origin."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import asdict, replace
from typing import Any

import pytest

from devenv.cli.commands.snapshot import _row
from devenv.model.containers import Volume
from devenv.model.snapshot import Snapshot
from devenv.state.identity import Place
from devenv.volumes.lineage import (
    NOTHING,
    Beginning,
    Lineage,
    LiveVolume,
    Reference,
    Start,
    WantedVolume,
    advanced,
    beginning,
    decode,
    find,
    head_of_old,
    of_volume,
)

ENGINE, ADDRESS = "id /var/lib/docker", "unix:///run/docker.sock"
AT, LATER = "2026-11-30T10:00:00Z", "2026-11-30T10:00:01Z"
SHOP = Place("/home/me/shop", 1, 2)
WANTED = WantedVolume(ENGINE, ADDRESS, SHOP, "shop", "data", "shop_data", is_fixed=False)
FIXED = replace(WANTED, name="data-of-all", is_fixed=True)
OWN = Lineage("own", ENGINE, SHOP, "shop", "data", "shop_data")
OF_ALL = Lineage("of-all", ENGINE, Place(""), "other", "any", "data-of-all")


@pytest.mark.parametrize(
    ("wanted", "gone", "expected"),
    [
        (WANTED, False, "own"),
        (WANTED, True, "own"),
        (replace(WANTED, address="tcp://x:1"), False, "own"),
        (replace(WANTED, engine="id /mnt"), False, ""),
        (replace(WANTED, key="more"), False, ""),
        (replace(WANTED, project="shop-2"), False, ""),
        (replace(WANTED, place=replace(SHOP, inode=3)), False, "own"),
        (replace(WANTED, place=Place("/home/me/store", 1, 2)), True, "own"),
        (replace(WANTED, place=Place("/home/me/store", 1, 2)), False, ""),
        (replace(WANTED, place=Place("/home/me/store", 1, 3)), True, ""),
        (replace(WANTED, place=Place("/home/me/store", 1, 2), engine="id /mnt"), True, ""),
        (replace(WANTED, place=Place("/home/me/store", 1, 2), key="more"), True, ""),
        (replace(WANTED, place=Place("/home/me/store", 1, 2), project="store"), True, "own"),
        (replace(WANTED, place=Place("/home/me/store", 1, 2), project="named"), True, ""),
        (FIXED, False, "of-all"),
        (replace(FIXED, place=Place("/else", 5, 6), project="x", key="y"), False, "of-all"),
        (replace(FIXED, engine="id /mnt"), False, ""),
        (replace(FIXED, name="shop_data"), False, ""),
        (replace(WANTED, name="data-of-all", project="x"), False, ""),
    ],
    ids=[
        "own", "own, though it looks gone", "another address", "another engine", "another volume", "another project",
        "cloned again at its path", "renamed", "linked or mounted twice", "copied", "renamed on another engine",
        "another volume of a renamed folder", "renamed, named by the folder", "renamed and named",
        "fixed", "fixed, of another project", "fixed, on another engine", "a fixed name like ours",
        "a name like the fixed one",
    ],
)  # fmt: skip
def test_lineage_belongs_to_engine_folder_project_and_key(wanted: WantedVolume, gone: bool, expected: str) -> None:
    """A lineage belongs to engine, folder, project and key; that of a fixed name to engine and name."""
    lineage = find([OF_ALL, OWN], wanted, gone=frozenset({SHOP.path} if gone else ()))
    assert (lineage.id if lineage else "") == expected


def test_a_folder_of_its_own_comes_before_a_renamed_one() -> None:
    """A folder that was moved away and back, or another in its place, has its own data there."""
    moved = replace(OWN, id="moved", place=Place("/home/me/gone", 1, 2))
    assert find([moved, OWN], WANTED, gone=frozenset({"/home/me/gone"})) == OWN
    assert find([moved], WANTED, gone=frozenset({"/home/me/gone"})) == moved


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (replace(OWN, place=Place("/clone", 1, 9)), True),
        (replace(OWN, place=Place("/clone", 1, 9), name="x", project="store"), False),
        (replace(OWN, engine="id /mnt"), True),
        (replace(OWN, project="shop-2", name="shop-2_data"), True),
        (replace(OWN, key="more", name="shop_more"), False),
        (replace(OWN, place=Place("/else"), project="x", key="y"), True),
        (OWN, False),
    ],
    ids=["a clone", "another project elsewhere", "another engine", "another name in this folder", "another volume",
         "of the same real name", "own"],
)  # fmt: skip
def test_other_lineages_that_may_be_meant(other: Lineage, expected: bool) -> None:
    """They are offered to a project that begins empty, if they have a saved state."""
    assert replace(other, head=("1", "data")).is_other_of(WANTED) is expected
    assert not other.is_other_of(WANTED)


def snapshot(set_id: str, created: float = 1.0, **more: Any) -> Snapshot:
    """A whole state of the lineage."""
    made = Snapshot(set_id, "data", "shop_data", "shop", SHOP.path, ADDRESS, created, 10, 1, "d", lineage="own")
    return replace(made, **more)


def of_data(*ids: str) -> frozenset[Reference]:
    """The states with these ids of the volume."""
    return frozenset((set_id, "data") for set_id in ids)


HEAD, OLDER = snapshot("2", 2.0), snapshot("1", 1.0)
NEWER = snapshot("9", 9.0, lineage="", automatic=False)
TORN = snapshot("3", 3.0, settled=False)
EVERYTHING = (OLDER, HEAD, TORN, NEWER)
HEADED = replace(OWN, head=("2", "data"), saved=2.0)


@pytest.mark.parametrize(
    ("lineage", "stored", "fits", "expected"),
    [
        (None, EVERYTHING, None, Beginning(Start.EMPTY)),
        (OWN, EVERYTHING, None, Beginning(Start.EMPTY)),
        (HEADED, EVERYTHING, None, Beginning(Start.HEAD, HEAD, ("2", "data"))),
        (HEADED, (OLDER, TORN, NEWER), None, Beginning(Start.LOST, None, ("2", "data"))),
        (HEADED, (replace(HEAD, volume="more"), OLDER), None, Beginning(Start.LOST, None, ("2", "data"))),
        (replace(HEADED, asked=("9", "data")), EVERYTHING, None, Beginning(Start.ASKED, NEWER, ("9", "data"))),
        (replace(HEADED, asked=("8", "data")), EVERYTHING, None, Beginning(Start.LOST, None, ("8", "data"))),
        (replace(HEADED, asked=NOTHING), EVERYTHING, None, Beginning(Start.DROPPED, None, NOTHING)),
        (replace(HEADED, torn=("3", "data")), EVERYTHING, None, Beginning(Start.TORN, TORN, ("3", "data"))),
        (replace(HEADED, torn=("4", "data")), EVERYTHING, None, Beginning(Start.TORN, None, ("4", "data"))),
        (
            replace(HEADED, torn=("3", "data"), asked=("1", "data")), EVERYTHING, None,
            Beginning(Start.TORN, TORN, ("3", "data")),
        ),
        (HEADED, EVERYTHING, of_data("2"), Beginning(Start.HEAD, HEAD, ("2", "data"))),
        (HEADED, EVERYTHING, of_data("1", "3", "9"), Beginning(Start.UNFIT, OLDER, ("2", "data"))),
        (HEADED, EVERYTHING, of_data("3", "9"), Beginning(Start.UNFIT, None, ("2", "data"))),
        (HEADED, EVERYTHING, frozenset({("2", "uploads")}), Beginning(Start.UNFIT, None, ("2", "data"))),
        (HEADED, (OLDER, NEWER), of_data("1"), Beginning(Start.LOST, None, ("2", "data"))),
        (replace(HEADED, asked=("9", "data")), EVERYTHING, of_data(), Beginning(Start.ASKED, NEWER, ("9", "data"))),
    ],
    ids=[
        "nothing known", "nothing saved", "head", "head is gone", "head of another", "asked", "asked, and gone",
        "dropped", "torn", "torn, and gone", "torn and asked", "head fits", "an older one fits", "none fits",
        "another volume of the set fits",
        "head is gone, an older one fits", "asked, and does not fit",
    ],
)  # fmt: skip
def test_content_of_a_new_volume(
    lineage: Lineage | None, stored: tuple[Snapshot, ...], fits: frozenset[Reference] | None, expected: Beginning
) -> None:
    """It is the requested state or the head: never a merely newer state, and no older one without a notice."""
    assert beginning(lineage, stored, fits) == expected


def test_last_readable_state_is_chosen() -> None:
    """It is of the same lineage, whatever the order in the store is."""
    stored = (snapshot("1", 1.0), snapshot("0", 1.5), HEAD, snapshot("8", 1.7, lineage="another"))
    assert beginning(HEADED, stored, of_data("0", "1", "8")).snapshot == stored[1]


def test_a_saved_state_is_the_head() -> None:
    """It replaces an interrupted state; a requested state stays requested until a volume began with it."""
    lineage = replace(HEADED, torn=("3", "data"), asked=("1", "data"), live=LiveVolume("shop_data", AT, 1.0))
    after = advanced(lineage, snapshot("5", 5.0))
    live = lineage.live and replace(lineage.live, parent=("5", "data"))
    assert after == replace(lineage, head=("5", "data"), saved=5.0, torn=NOTHING, live=live)


@pytest.mark.parametrize(
    ("volume", "engine", "expected"),
    [
        (Volume("shop_data", created=AT), ENGINE, "own"),
        (Volume("shop_data", created="2026-11-30T12:00:00+02:00"), ENGINE, "own"),
        (Volume("shop_data", created=LATER), ENGINE, ""),
        (Volume("shop_data", created=AT), "id /mnt", ""),
        (Volume("other", created=AT), ENGINE, ""),
    ],
    ids=["it", "in another zone", "created again", "another engine", "another name"],
)
def test_which_lineage_a_volume_continues(volume: Volume, engine: str, expected: str) -> None:
    """It is found by name and time on one engine; a lineage without a volume has none."""
    live = LiveVolume("shop_data", AT, 1.0)
    lineage = of_volume([replace(OWN, id="no volume"), replace(OWN, live=live)], engine, volume)
    assert (lineage.id if lineage else "") == expected


# --- devenv 0.1 -------------------------------------------------------------------------------------------------

REAL = {ADDRESS: ADDRESS, "unix:///var/run/docker.sock": ADDRESS, SHOP.path: SHOP.path, "/link/shop": SHOP.path}


def old(set_id: str, created: float, **more: Any) -> Snapshot:
    """A state that devenv 0.1 saved."""
    return snapshot(set_id, created, lineage="", **more)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (old("9", 9.0), "9"),
        (old("9", 9.0, directory="/link/shop"), "9"),
        (old("9", 9.0, endpoint="unix:///var/run/docker.sock"), "9"),
        (old("9", 9.0, name="renamed"), "9"),
        (old("9", 0.5), "1"),
        (old("9", 9.0, settled=False), "1"),
        (old("9", 9.0, automatic=False), "1"),
        (old("9", 9.0, endpoint="tcp://x:1"), "1"),
        (old("9", 9.0, directory="/else"), "1"),
        (old("9", 9.0, project="other"), "1"),
        (old("9", 9.0, volume="more"), "1"),
        (snapshot("9", 9.0), "1"),
    ],
    ids=["newer", "by a link", "by another name of the socket", "of another real name", "older", "no whole state",
         "imported", "another engine", "another folder", "another project", "another volume", "of a lineage"],
)  # fmt: skip
def test_the_head_of_what_devenv_0_1_saved(other: Snapshot, expected: str) -> None:
    """It is the last whole state of that volume, folder and engine, under any project name."""
    head = head_of_old([old("1", 1.0), other], WANTED, real=REAL)
    assert head is not None
    assert head.id == expected
    assert head_of_old([], WANTED, real=REAL) is None


GOOD = Snapshot("20261130-1", "data", "p_data", "p", "/p", "unix:///e", 1.8e9, 10240, 300, "0" * 64)
WRONG: dict[str, list[str]] = {
    "created": ["1e18", "1e999", "-1", "Infinity", "-Infinity", "NaN", '"1"', "null", "true", "[]", "9" * 400],
    "size": ["-1", "1.0", '"1"', "true", "null", "9" * 30, "NaN"],
    "stored": ["-1", "1e3", "{}"],
    "automatic": ["1", "null", '"yes"'],
    "settled": ["0", "[]"],
    "id": ['""', '"../1"', '".."', '".in1"', '"a/b"', '"a\\n"', "1", '"' + "x" * 5000 + '"'],
    "volume": ['""', '"' + "x" * 241 + '"', '"' + "/" * 90 + '"', '"\\ud800"', "3"],
    "name": ["3", "null", '"' + "x" * 4097 + '"'],
    "digest": ['""', '"' + "0" * 63 + '"', '"' + "0" * 64 + '\\n"', '"' + "G" * 64 + '"'],
    "title": ["3", "{}"],
    "directory": ["null"],
}  # fmt: skip


def note(**raw: str) -> str:
    """The note with these fields as they are written."""
    given = {name: json.dumps(value) for name, value in asdict(GOOD).items()} | raw
    return "{" + ", ".join(f'"{name}": {value}' for name, value in given.items()) + "}"


def test_a_note_is_read_as_it_was_written() -> None:
    """Fields of newer versions are ignored; a field with a default may be missing; an integer is a time."""
    odd = replace(GOOD, title="käse", directory="/not-utf8-\udcff", settled=False, automatic=False)
    for one in (GOOD, odd):
        assert decode(json.dumps(asdict(one))) == one
        assert decode(json.dumps({**asdict(one), "later": [1]}).encode()) == one
    few = {name: value for name, value in asdict(GOOD).items() if name not in ("title", "database", "settled")}
    assert decode(json.dumps(few)) == GOOD
    assert decode(note(created="7")).created == 7.0


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_field_that_nobody_wrote_is_refused(name: str, value: str) -> None:
    """The error has its name, or the word that is not a number, and is always a ValueError."""
    with pytest.raises(ValueError, match=f"`{name}`|{re.escape(value[:9])} is not a number"):
        decode(note(**{name: value}))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        "3",
        '"x"',
        "{",
        "{}",
        "[" * 60_000,
        '{"id":' * 10_000,
        "x" * 70_000,
        b"\xff\xfe",
        b"\x00" * 90,
    ],
    ids=lambda content: repr(content[:6]),
)
def test_invalid_notes_are_refused(content: str | bytes) -> None:
    """Any invalid value is refused."""
    with pytest.raises(ValueError, match=r"."):
        decode(content)


@pytest.mark.parametrize("created", [0.0, 1e-9, 253_402_127_999.0])
def test_what_is_read_can_be_listed(created: float) -> None:
    """The calendar has a place for every time that a note may have."""
    snapshot = decode(note(created=repr(created)))
    assert _row(snapshot)["saved"] == f"{dt.datetime.fromtimestamp(created).astimezone():%Y-%m-%d %H:%M}"


@pytest.mark.parametrize("asked", [("3", "data"), NOTHING])
def test_a_saved_state_that_began_with_what_was_asked_for_replaces_it(asked: Reference) -> None:
    """The run died before it could note that its services had started: the next start must not go back."""
    began = replace(HEADED, asked=asked, live=LiveVolume("shop_data", AT, 1.0, asked))
    after = advanced(began, snapshot("5", 5.0))
    assert (after.asked, after.head) == (None, ("5", "data"))
    assert after.live is not None
    assert after.live.parent == ("5", "data")


def test_a_state_saved_before_the_one_asked_for_was_restored_does_not_replace_it() -> None:
    """The volume still has another state."""
    asked = ("3", "data")
    began = replace(HEADED, asked=asked, live=LiveVolume("shop_data", AT, 1.0, ("4", "data")))
    assert advanced(began, snapshot("5", 5.0)).asked == asked
    assert advanced(replace(began, live=None), snapshot("5", 5.0)).asked == asked
