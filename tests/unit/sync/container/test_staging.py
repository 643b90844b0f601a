"""Where files are staged, and the reasons of failures."""

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


def test_few_files_are_staged_one_by_one_and_many_in_a_folder() -> None:
    """Always in the folder of the target: a rename must not leave the file system."""
    found = staging.stage(["/a/x", "/b", *many("/c")], names(), alone=False)
    assert found.places["/a/x"] == "/a/.1~"
    assert found.places["/b"] == "/.2~"
    assert found.places["/c/f00"] == "/c/.3~/f00"
    assert found.folders == {"/c/.3~": "/c"}
    assert found.paths == {"/a/.1~", "/.2~", "/c/.3~"}


def test_each_file_is_staged_by_itself_if_a_rename_is_cheap() -> None:
    """However many files a folder has."""
    found = staging.stage(many("/c"), names(), alone=True)
    assert found.places == {target: f"/c/.{number}~" for number, target in enumerate(many("/c"), 1)}
    assert (found.folders, found.paths) == ({}, frozenset(found.places.values()))


def test_reasons_name_the_target() -> None:
    """Not the staged file, whose number changes with each attempt."""
    single, inside = staging.name("a1b2c3", 7), f"{staging.name('a1b2c3', 8)}/f"
    assert staging.plain(f"write /app/{single}: no space left", "/app/f") == "write /app/f: no space left"
    assert staging.plain(f"write /app/{inside}: no space left", "/app/f") == "write /app/f: no space left"
