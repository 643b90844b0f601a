"""Git worktrees: found by their files, with a name for the project in each."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from devenv.compose.worktrees import branch, git_worktree, repository, worktree_project
from support import worktrees
from support.worktrees import add, git, linked


def worktree(folder: str) -> tuple[str, str] | None:
    """The project and the name of the folder's worktree."""
    tree = git_worktree(folder)
    return None if tree is None else (tree.project, tree.name)


@pytest.mark.parametrize(
    ("project", "name", "expected"),
    [
        ("shop", "feature", "shop-feature"),
        ("shop", "shop-feature", "shop-feature"),
        ("shop", "shop_2", "shop_2"),
        ("shop", "shop", "shop-shop"),
        ("shop", "shopping", "shop-shopping"),
        ("My Shop.app", "x", "myshopapp-x"),
        ("日本", "x", "x"),
        ("日本", "日本", "[0-9a-f]{4}"),
        ("shop", "JIRA-12", "shop-jira-12-[0-9a-f]{4}"),
        ("shop", "1.2", "shop-12-[0-9a-f]{4}"),
        ("shop", "-_", "shop-[0-9a-f]{4}"),
        ("shop", "\udcff", "shop-[0-9a-f]{4}"),
        ("s" * 300, "w" * 300, "s{40}-w{40}-[0-9a-f]{4}"),
    ],
)
def test_the_name_carries_the_worktree(project: str, name: str, expected: str) -> None:
    """Compose accepts the name, and it is the same each time."""
    result = worktree_project(project, name)
    assert re.fullmatch(expected, result)
    assert re.fullmatch("[a-z0-9][a-z0-9_-]*", result)
    assert worktree_project(project, name) == result


@pytest.mark.parametrize("names", [("a", "A"), ("1.2", "12"), ("ü", "ö"), ("w" * 41, "w" * 42), ("x", "-x")])
def test_two_worktrees_never_share_a_name(names: tuple[str, str]) -> None:
    """Their names differ even if only characters differ that a project's name cannot have."""
    assert len({worktree_project("shop", name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("common", "name"),
    [("/me/shop/.git", "shop"), ("/srv/shop.git", "shop"), ("/me/shop/.bare", "shop"), ("/srv/shop", "shop")],
)
def test_a_repository_has_a_name(common: str, name: str) -> None:
    """It is that of the parent folder, or its own for a bare repository."""
    assert repository(common) == name


def submodule(folder: Path, git: Path) -> Path:
    """Make `folder` a submodule whose repository is `git`."""
    folder.mkdir(parents=True)
    git.mkdir(parents=True)
    (folder / ".git").write_text(f"gitdir: {git}\n")
    return folder


@pytest.mark.parametrize("relative", [False, True])
def test_a_worktree_is_known_by_its_files(tmp_path: Path, relative: bool) -> None:
    """At its root the project has the name of the repository, below that of the folder; links may be relative."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature", relative=relative)
    (tree / "app/deep").mkdir(parents=True)
    assert worktree(str(tree)) == ("shop", "feature")
    assert worktree(str(tree / "app/deep")) == ("deep", "feature")


def test_what_git_writes_is_understood(tmp_path: Path) -> None:
    """Git's own worktrees and submodules, and a submodule in a worktree."""
    lib = worktrees.repository(tmp_path / "lib")
    shop = worktrees.repository(tmp_path / "shop")
    git(shop, "submodule", "--quiet", "add", str(lib), "lib")
    git(shop, "commit", "-qm", "lib")
    there = add(shop, tmp_path / "there")
    git(there, "submodule", "--quiet", "update", "--init")
    repositories = [worktree(str(folder)) for folder in (shop, shop / "lib", there, there / "lib")]
    assert repositories == [None, None, ("shop", "there"), ("lib", "there")]


def test_folders_that_are_not_worktrees(tmp_path: Path) -> None:
    """A main worktree, a submodule, no repository, a `.git` without a path, or a pipe."""
    main, odd = tmp_path / "shop", tmp_path / "odd"
    linked(tmp_path / "there", main, "feature")
    assert worktree(str(main)) is None
    assert worktree(str(submodule(main / "lib", main / ".git/modules/worktrees/lib"))) is None
    odd.mkdir()
    assert worktree(str(odd)) is None
    for text in ("", "gitdir: \n", "nothing", "gitdir: /nowhere"):
        (odd / ".git").write_text(text)
        assert worktree(str(odd)) is None
    (odd / ".git").unlink()
    os.mkfifo(odd / ".git")
    assert worktree(str(odd)) is None


def test_a_submodule_in_a_worktree(tmp_path: Path) -> None:
    """Each worktree has its own copy of the submodule, so the name contains the worktree."""
    main = tmp_path / "shop"
    tree = linked(tmp_path / "there", main, "feature")
    lib = submodule(tree / "lib", main / ".git/worktrees/feature/modules/lib")
    assert worktree(str(lib)) == ("lib", "feature")


def test_an_unreadable_link_is_no_worktree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that cannot be read is ignored, since git reports it."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)
    assert worktree(str(tree)) is None


def test_the_main_tree_of_a_worktree_is_known(tmp_path: Path) -> None:
    """The same folder there; a bare repository has no main worktree."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")
    (tree / "app").mkdir()
    found = git_worktree(str(tree / "app"))
    assert found is not None
    assert found.root == str(tree)
    assert found.in_main(str(tree / "app/x")) == str(tmp_path / "shop/app/x")
    (tmp_path / "shop/.git").rename(tmp_path / "shop/.bare")
    (tree / ".git").write_text(f"gitdir: {tmp_path}/shop/.bare/worktrees/feature\n")
    found = git_worktree(str(tree))
    assert found is not None
    assert found.in_main(str(tree)) == ""


@pytest.mark.parametrize(
    ("head", "expected"),
    [("ref: refs/heads/feature/x\n", "feature/x"), (f"{'ab12' * 10}\n", "ab12ab1"), ("", None)],
)
def test_the_branch_of_a_folder(tmp_path: Path, head: str, expected: str | None) -> None:
    """Of a repository and of a worktree, from a folder below; the id of a commit is shortened."""
    main = tmp_path / "main"
    (main / ".git").mkdir(parents=True)
    (main / ".git/HEAD").write_text(head)
    tree = linked(tmp_path / "tree", main, "tree")
    (main / ".git/worktrees/tree/HEAD").write_text("ref: refs/heads/other\n")
    (main / "below").mkdir()
    assert branch(str(main / "below")) == expected
    assert branch(str(tree)) == "other"
    assert branch(str(tmp_path)) is None
