"""Where files are put first, and what moves them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from devenv.watch import staging
from devenv.watch.shell import quoted


def names() -> Callable[[], str]:
    """`.1~`, `.2~`, ..."""
    numbers = itertools.count(1)
    return lambda: f".{next(numbers)}~"


def many(folder: str, count: int = staging.BULK) -> list[str]:
    """Targets of one folder."""
    return [f"{folder}/f{i:02}" for i in range(count)]


def test_few_are_put_beside_their_places_and_many_into_a_folder_beside_them() -> None:
    """Never elsewhere: a rename must not leave the file system."""
    found = staging.stage(["/a/x", "/b", *many("/c")], (), names())
    assert found.places["/a/x"] == "/a/.1~"
    assert found.places["/b"] == "/.2~"
    assert found.places["/c/f00"] == "/c/.3~/f00"
    assert found.folders == {"/c/.3~": "/c"}
    assert found.strays == {"/a/.1~", "/.2~", "/c/.3~"}


def test_a_new_folder_is_put_as_a_whole_beside_itself() -> None:
    """With what is deeper in it; its files are in no group."""
    found = staging.stage(["/a/new/x", "/a/new/deep/y", "/a/z"], ["/a/new"], names())
    assert found.trees == {"/a/.1~": "/a/new"}
    assert found.places == {"/a/new/x": "/a/.1~/x", "/a/new/deep/y": "/a/.1~/deep/y", "/a/z": "/a/.2~"}
    assert [found.tree_of(p) for p in found.places.values()] == ["/a/.1~", "/a/.1~", None]
    assert found.strays == {"/a/.1~", "/a/.2~"}
    assert staging.groups(found, found.places.values()) == []


def test_only_topmost_unknown_folders_of_many_files_are_asked_for() -> None:
    """One question instead of one a folder, and none where little is to be won."""
    targets = [*many("/a/b/c"), "/a/few/x"]
    assert staging.to_ask(targets, {"/"}, ()) == ["/a"]
    assert staging.to_ask(targets, {"/a"}, ()) == ["/a/b"]
    assert staging.to_ask(targets, {"/a"}, {"/a/b"}) == []
    assert staging.to_ask(targets, {"/a", "/a/b", "/a/b/c"}, ()) == []


def test_a_group_is_as_long_as_a_command_line_takes() -> None:
    """More become several orders."""
    found = staging.stage(many("/c", staging.MV_ARGUMENTS + 1), (), names())
    groups = staging.groups(found, found.places.values())
    assert [len(group) for group in groups] == [staging.MV_ARGUMENTS, 1]
    assert staging.together(groups[1], quoted) == b"g '/c/.1~' '/c' 'f500'"


def test_reasons_name_the_target() -> None:
    """Not the place where it was put first, whose number is another one at each try."""
    single, inside = staging.name("a1b2c3", 7), f"{staging.name('a1b2c3', 8)}/f"
    assert staging.plain(f"write /app/{single}: no space left", "/app/f") == "write /app/f: no space left"
    assert staging.plain(f"write /app/{inside}: no space left", "/app/f") == "write /app/f: no space left"
