"""The name of a project in a git worktree."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from devenv.compose import identity
from devenv.compose.files import read
from devenv.compose.identity import project_name, worktree, worktree_project
from support.worktrees import add, git, linked, repository

PLAIN = "services:\n  web: {image: a}\n"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)


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
    found = worktree_project(project, name)
    assert re.fullmatch(expected, found)
    assert re.fullmatch("[a-z0-9][a-z0-9_-]*", found)
    assert worktree_project(project, name) == found


@pytest.mark.parametrize("names", [("a", "A"), ("1.2", "12"), ("ü", "ö"), ("w" * 41, "w" * 42), ("x", "-x")])
def test_two_worktrees_never_share_a_name(names: tuple[str, str]) -> None:
    """Also if they differ only in characters that a project's name cannot have."""
    assert len({worktree_project("shop", name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("common", "name"),
    [("/me/shop/.git", "shop"), ("/srv/shop.git", "shop"), ("/me/shop/.bare", "shop"), ("/srv/shop", "shop")],
)
def test_a_repository_has_a_name(common: str, name: str) -> None:
    """It is that of the parent folder, or its own for a bare repository."""
    assert identity.repository(common) == name


def submodule(folder: Path, git: Path) -> Path:
    """Make `folder` a submodule whose repository is `git`."""
    folder.mkdir(parents=True)
    git.mkdir(parents=True)
    (folder / ".git").write_text(f"gitdir: {git}\n")
    return folder


@pytest.mark.parametrize("relative", [False, True])
def test_a_worktree_is_known_by_its_files(tmp_path: Path, relative: bool) -> None:
    """At its root the project has the name of the repository, below it that of the folder; links may be relative."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature", relative=relative)
    (tree / "app/deep").mkdir(parents=True)
    assert worktree(str(tree)) == ("shop", "feature")
    assert worktree(str(tree / "app/deep")) == ("deep", "feature")


def test_what_git_writes_is_understood(tmp_path: Path) -> None:
    """Git's own worktrees and submodules, and a submodule in a worktree."""
    lib = repository(tmp_path / "lib")
    shop = repository(tmp_path / "shop")
    git(shop, "submodule", "--quiet", "add", str(lib), "lib")
    git(shop, "commit", "-qm", "lib")
    there = add(shop, tmp_path / "there")
    git(there, "submodule", "--quiet", "update", "--init")
    found = [worktree(str(folder)) for folder in (shop, shop / "lib", there, there / "lib")]
    assert found == [None, None, ("shop", "there"), ("lib", "there")]


def test_what_is_no_worktree(tmp_path: Path) -> None:
    """A main tree, a submodule, no repository, a `.git` without a path, or a pipe."""
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


def test_who_names_the_project_himself_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`name:` in any of the files, COMPOSE_PROJECT_NAME in the environment or in env files."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")

    def name(*texts: str) -> str | None:
        files = [tree / f"{number}.yml" for number, _ in enumerate(texts)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return project_name(read([str(file) for file in files], base=str(tree)))

    assert name(PLAIN) == "shop-feature"
    assert name(PLAIN, f"name: mine\n{PLAIN}") is None
    (tree / ".env").write_text("COMPOSE_PROJECT_NAME=mine\n")
    assert name(PLAIN) is None
    (tree / ".env").rename(tree / "mine.env")
    (tree / "other.env").write_text("A=b\n")
    assert name(PLAIN) == "shop-feature"
    monkeypatch.setenv("COMPOSE_ENV_FILES", f"{tree}/mine.env,{tree}/other.env,none.env")
    assert name(PLAIN) is None
    monkeypatch.delenv("COMPOSE_ENV_FILES")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "mine")
    assert name(PLAIN) is None
