"""The name, services and profiles of a project, read without Compose, also in a git worktree."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from devenv.compose.files import read
from devenv.compose.outline import (
    Outline,
    Selection,
    branch,
    outline,
    project_name,
    repository,
    sketch,
    sketched,
    worktree,
    worktree_project,
)
from devenv.errors import ConfigError, UsageError
from support import worktrees
from support.worktrees import add, git, linked

PLAIN = "services:\n  web: {image: a}\n"
FILE = """\
services:
  web: {image: a}
  "0.odd_-Name": {image: a}
  tool: {image: a, profiles: [tools, debug]}
"""


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project in a folder whose name is not a valid project name."""
    made = tmp_path / "_My Shop.app"
    made.mkdir()
    (made / "compose.yml").write_text(FILE)
    return made


def test_services_and_profiles_are_as_written(folder: Path) -> None:
    """The order is that of the file; services without an active profile are separate."""
    found = sketch(str(folder), (), None, ())
    assert found == Outline("myshopapp", ("web", "0.odd_-Name"), ("tool",), ("debug", "tools"), is_whole=True)


@pytest.mark.parametrize(("given", "env"), [(("tools",), ""), (("*",), ""), ((), "debug"), ((), "x, tools")])
def test_profiles_turn_services_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], env: str
) -> None:
    """Profiles come from the command line or the environment; `*` activates all."""
    monkeypatch.setenv("COMPOSE_PROFILES", env)
    assert sketch(str(folder), (), None, given).dormant == ()


@pytest.mark.parametrize(
    ("given", "env", "dotenv", "written", "name"),
    [
        ("p", "e", "d", "w", "p"),
        (None, "e", "d", "w", "e"),
        (None, "", "d", "w", "d"),
        (None, "", "", "w", "w"),
        (None, "", "", "${W}", None),
        ("p", "", "", "${W}", "p"),
    ],
)
def test_the_name_is_the_one_that_compose_takes(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str | None,
    env: str,
    dotenv: str,
    written: str,
    name: str | None,
) -> None:
    """The command line, the environment, `.env`, the file, the folder, in this order."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", env)
    (folder / ".env").write_text(f"COMPOSE_PROJECT_NAME={dotenv}\n")
    (folder / "compose.yml").write_text(f"name: {written}\n{FILE}")
    assert sketch(str(folder), (), given, ()).name == name


def test_it_is_found_from_a_folder_below_and_by_file(folder: Path, tmp_path: Path) -> None:
    """As Compose finds it; several files add up, and a later name wins."""
    (folder / "src").mkdir()
    (tmp_path / "more.yml").write_text("name: more\nservices: {tool: {}, extra: {profiles: x}}\n")
    assert sketch(str(folder / "src"), (), None, ()).name == "myshopapp"
    both = sketch(str(tmp_path), (str(folder / "compose.yml"), "more.yml"), None, ("tools",))
    assert (both.name, both.services, both.dormant) == ("more", ("web", "0.odd_-Name", "tool"), ("extra",))


def test_a_worktree_has_its_own_name(tmp_path: Path) -> None:
    """It is the name that `devenv up` uses there."""
    tree = linked(tmp_path / "elsewhere", tmp_path / "shop", "feature")
    (tree / "compose.yml").write_text(FILE)
    assert sketch(str(tree), (), None, ()).name == "shop-feature"


@pytest.mark.anyio
async def test_a_name_alone_is_a_project_without_files(tmp_path: Path) -> None:
    """As for `docker compose -p`; without a name it is an error."""
    assert await outline(Selection(str(tmp_path), project_name="p")) == ("p", Outline("p"))
    with pytest.raises(ConfigError, match="no compose file"):
        await outline(Selection(str(tmp_path)))


def test_a_profile_that_no_file_has_is_named(folder: Path) -> None:
    """Unless a file that was not read may have it: then only Compose knows."""
    with pytest.raises(UsageError, match="there is no profile `tolls`") as raised:
        sketched(Selection(str(folder), profiles=("tolls",)))
    assert raised.value.hint == "Did you mean `tools`?"
    assert sketched(Selection(str(folder), profiles=("*", "debug"))).is_whole
    (folder / "compose.yml").write_text(f"{FILE}  base: {{extends: {{file: other.yml, service: x}}}}\n")
    assert not sketched(Selection(str(folder), profiles=("tolls",))).is_whole


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


def test_explicit_project_name_wins_over_the_worktree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
