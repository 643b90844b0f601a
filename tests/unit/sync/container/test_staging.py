"""Where files are put first, and what moves them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from devenv.sync.container import shell_commands, staging
from devenv.sync.container.shell_commands import quoted


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
    assert found.strays == {"/a/.1~", "/.2~", "/c/.3~"}


def test_each_is_put_for_itself_where_a_rename_is_cheap() -> None:
    """However many there are in a folder."""
    found = staging.stage(many("/c"), names(), alone=True)
    assert found.places == {target: f"/c/.{number}~" for number, target in enumerate(many("/c"), 1)}
    assert (found.folders, found.strays) == ({}, frozenset(found.places.values()))
    assert staging.groups(found, found.places.values()) == []


def test_a_group_is_as_long_as_a_command_line_takes() -> None:
    """More become several orders."""
    found = staging.stage(many("/c", shell_commands.MV_ARGUMENTS + 1), names(), alone=False)
    groups = staging.groups(found, found.places.values())
    assert [len(group) for group in groups] == [shell_commands.MV_ARGUMENTS, 1]
    assert staging.together(groups[1], quoted) == b"g '/c/.1~' '/c' 'f500'"


def test_reasons_name_the_target() -> None:
    """Not the place where it was put first, whose number is another one at each try."""
    single, inside = staging.name("a1b2c3", 7), f"{staging.name('a1b2c3', 8)}/f"
    assert staging.plain(f"write /app/{single}: no space left", "/app/f") == "write /app/f: no space left"
    assert staging.plain(f"write /app/{inside}: no space left", "/app/f") == "write /app/f: no space left"
