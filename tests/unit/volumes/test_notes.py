"""Notes of snapshots, of any origin."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import asdict, replace

import pytest

from devenv.cli.commands.snapshot import _row
from devenv.model.snapshot import Snapshot
from devenv.volumes import notes

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
    """What newer versions add is passed over; what has a default may be missing; a whole number is a time."""
    odd = replace(GOOD, title="käse", directory="/not-utf8-\udcff", settled=False, automatic=False)
    for one in (GOOD, odd):
        assert notes.decode(json.dumps(asdict(one))) == one
        assert notes.decode(json.dumps({**asdict(one), "later": [1]}).encode()) == one
    few = {name: value for name, value in asdict(GOOD).items() if name not in ("title", "database", "settled")}
    assert notes.decode(json.dumps(few)) == GOOD
    assert notes.decode(note(created="7")).created == 7.0


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_field_that_nobody_wrote_is_refused(name: str, value: str) -> None:
    """With its name, or the word that is not a number; never by another exception than ValueError."""
    with pytest.raises(ValueError, match=f"`{name}`|{re.escape(value[:9])} is not a number"):
        notes.decode(note(**{name: value}))


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
def test_what_is_no_note_is_refused(content: str | bytes) -> None:
    """Whatever it is."""
    with pytest.raises(ValueError, match=r"."):
        notes.decode(content)


@pytest.mark.parametrize("created", [0.0, 1e-9, 253_402_127_999.0])
def test_what_is_read_can_be_listed(created: float) -> None:
    """The calendar has a place for every time that a note may have."""
    found = notes.decode(note(created=repr(created)))
    assert _row(found)["saved"] == f"{dt.datetime.fromtimestamp(created).astimezone():%Y-%m-%d %H:%M}"
