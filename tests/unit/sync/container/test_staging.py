"""Where files are put first, and what moves them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from devenv.sync.container import staging


def names() -> Callable[[], str]:
    """`.1~`, `.2~`, ..."""
    numbers = itertools.count(1)
    return lambda: f".{next(numbers)}~"


def many(folder: str, count: int = staging.BULK) -> list[str]:
    """Targets of one folder."""
    return [f"{folder}/f{i:02}" for i in range(count)]


def test_few_are_put_beside_their_places_and_many_into_a_folder_beside_them() -> None:
    """Never elsewhere: a rename must not leave the file system."""
    found = staging.stage(["/a/x", "/b", *many("/c")], names(), alone=False)
    assert found.places["/a/x"] == "/a/.1~"
    assert found.places["/b"] == "/.2~"
    assert found.places["/c/f00"] == "/c/.3~/f00"
    assert found.folders == {"/c/.3~": "/c"}
    assert found.paths == {"/a/.1~", "/.2~", "/c/.3~"}


def test_each_is_put_for_itself_where_a_rename_is_cheap() -> None:
    """However many there are in a folder."""
    found = staging.stage(many("/c"), names(), alone=True)
    assert found.places == {target: f"/c/.{number}~" for number, target in enumerate(many("/c"), 1)}
    assert (found.folders, found.paths) == ({}, frozenset(found.places.values()))


def test_reasons_name_the_target() -> None:
    """Not the place where it was put first, whose number is another one at each try."""
    single, inside = staging.name("a1b2c3", 7), f"{staging.name('a1b2c3', 8)}/f"
    assert staging.plain(f"write /app/{single}: no space left", "/app/f") == "write /app/f: no space left"
    assert staging.plain(f"write /app/{inside}: no space left", "/app/f") == "write /app/f: no space left"
