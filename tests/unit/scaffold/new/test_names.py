"""What the paths of a scaffold may be, and how they are shown."""

from __future__ import annotations

import pytest

from devenv.errors import RefusedError
from devenv.scaffold.new import names


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "..", "a/..", "../a", "/etc", "a//b", "a/", "C:a", "a\\b", "-rf", "a/-rf", "a\nb", "a\0b",
        "a\u202eb", "a.", "a ", " a", ".git", ".GIT/config", "a/.git/hooks/x", "GIT~1", ".ssh/x", "a/.Ssh",
        "x" * 256, "é" * 128,
    ],
)  # fmt: skip
def test_a_path_that_could_do_harm_is_refused(path: str) -> None:
    """Whatever of it: the way, the name, what another program or file system makes of it."""
    with pytest.raises(RefusedError, match="is refused"):
        names.check([path])


def test_honest_paths_are_taken() -> None:
    """Hidden files, spaces within, other scripts, and what only looks like a name of git's."""
    names.check(["a", "b/c", ".env", ".gitignore", ".github/x", "a b", "日本", "x" * 255, "b/a", "..a", "a..b"])


@pytest.mark.parametrize("paths", [["a", "A"], ["a/b", "A/B"], ["é", "e\u0301"], ["a", "a/b"], ["A/b", "a"]])
def test_paths_that_a_file_system_does_not_hold_apart_are_refused(paths: list[str]) -> None:
    """By case, by the form of their letters, or since one would be a folder."""
    with pytest.raises(RefusedError, match=r"twice|both as a file"):
        names.check(paths)


def test_too_many_paths_are_refused() -> None:
    """One more than the most."""
    names.check(map(str, range(names.MAX_FILES)))
    with pytest.raises(RefusedError, match="10,000"):
        names.check(map(str, range(names.MAX_FILES + 1)))


def test_a_tree_shows_each_folder_once() -> None:
    """Indented, in order, folders with a slash."""
    assert names.tree(["b/d/e", "b/c", "a"]) == ["a", "b/", "  c", "  d/", "    e"]
