"""Whether a path is below another."""

from __future__ import annotations

import random

import pytest

from devenv import paths
from devenv.paths import ancestors, below, is_below, is_within, normal, relative_to, written


@pytest.mark.parametrize(
    ("path", "folder", "relative"),
    [
        ("/a", "/a", ""),
        ("/a/b", "/a", "b"),
        ("/a/b/c", "/a", "b/c"),
        ("/a/b/c", "/a/b/", "c"),
        ("/ab", "/a", None),
        ("/a", "/a/b", None),
        ("/b/a", "/a", None),
        ("/a", "/", "a"),
        ("/", "/", ""),
        ("/", "/a", None),
    ],
)
def test_a_path_relative_to_a_folder(path: str, folder: str, relative: str | None) -> None:
    """The folder itself is within, and not below."""
    assert relative_to(path, folder) == relative
    assert is_within(path, folder) is (relative is not None)
    assert is_below(path, folder) is bool(relative)


@pytest.mark.parametrize("path", ["/a/b", "a/b", "//a/b/", "/a/./b", "/a/c/../b", "///a//b", "/../a/b"])
def test_a_path_that_is_written_in_another_way(path: str) -> None:
    """It is absolute and has no part to leave out."""
    assert normal(path) == "/a/b"


def test_within_any_of_several_folders() -> None:
    assert is_within("/a/b", "/x", "/a")
    assert not is_within("/a/b", "/x", "/a/c")
    assert not is_within("/a/b")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/b/c", ["/a/b", "/a"]), ("/a", []), ("/", []), ("", []), ("a/b/c", ["a/b", "a"])],
)
def test_ancestors_are_nearest_first_and_without_the_root(path: str, expected: list[str]) -> None:
    assert [*ancestors(path)] == expected


@pytest.mark.parametrize("count", [0, 1, paths.FEW, paths.FEW + 1, 60])
def test_a_test_for_many_paths_says_the_same_as_one_by_one(count: int) -> None:
    """However many folders there are, nested or side by side."""
    chance = random.Random(count)

    def some() -> str:
        return "".join(f"/{chance.choice('abc')}" for _ in range(chance.randrange(1, 6)))

    folders = {some() for _ in range(count)} | ({f"/only/{n}" for n in range(count)} if count > paths.FEW else set())
    is_below_one = below(folders)
    for path in ["/", *(some() for _ in range(500)), "/only", "/only/1", "/only/1/x"]:
        assert is_below_one(path) is any(is_below(path, folder) for folder in folders), (path, folders)


@pytest.mark.parametrize("others", [(), tuple(f"/x/{n}" for n in range(20))])
def test_everything_is_below_the_root(others: tuple[str, ...]) -> None:
    is_below_one = below({"/", *others})
    assert is_below_one("/a")
    assert is_below_one("/a/b")


@pytest.mark.parametrize(
    ("path", "expected"), [("/p/a/b", "./a/b"), ("/p", "."), ("/pa", "/pa"), ("/", "/"), ("data", "data")]
)
def test_a_path_as_people_write_it(path: str, expected: str) -> None:
    """Relative below the folder of the file; everything else as it is, also the name of a volume."""
    assert written(path, "/p") == expected
