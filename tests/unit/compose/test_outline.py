"""The name, services and profiles of a project, read without Compose, also in a git worktree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devenv.compose.files import read
from devenv.compose.outline import (
    Outline,
    Selection,
    isolated_name,
    outline,
    project_name,
    sketch,
    sketched,
)
from devenv.errors import ConfigError, UsageError
from support.worktrees import linked

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


HOOKS = "x-devenv: {hooks: {before_down: [true]}}\n"


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        (FILE, "", False),
        (FILE + "x-devenv: {seed: a}\n", "", False),
        (FILE + HOOKS, "", True),
        (FILE + "include: [other.yml]\n", "services: {}\n", False),
        (FILE + "include: [other.yml]\n", HOOKS, True),
        (FILE + "include: [$X/other.yml]\n", "services: {}\n", True),
        (FILE + "x-a: &a\n  hooks: {}\nx-devenv:\n  <<: *a\n", "", True),
    ],
)
def test_a_project_may_have_hooks_if_a_file_has_them_or_is_not_read(
    folder: Path, text: str, other: str, expected: bool
) -> None:
    """Included and merged hooks count; a file whose name only Compose knows may have some."""
    (folder / "compose.yml").write_text(text)
    (folder / "other.yml").write_text(other)
    assert sketch(str(folder), (), None, ()).has_hooks is expected


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


def named(tree: Path, *texts: str) -> str | None:
    """The name for `-p` of a project with these files in the folder."""
    files = [tree / f"{number}.yml" for number, _ in enumerate(texts)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return project_name(read([str(file) for file in files], base=str(tree)))


def test_a_worktree_keeps_its_name_whatever_the_files_say(tmp_path: Path) -> None:
    """A `name:` is that of the project in all trees: it becomes the first part, unless only Compose knows it."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")
    assert named(tree, PLAIN) == "shop-feature"
    assert named(tree, PLAIN, f"name: acme\n{PLAIN}") == "acme-feature"
    assert named(tree, f"name: acme-${{USER}}\n{PLAIN}") == "shop-feature"
    assert sketch(str(tree), ("0.yml",), None, ()).name == "shop-feature"


def test_explicit_project_name_wins_over_the_worktree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COMPOSE_PROJECT_NAME in the environment or in env files, but not in a copy of the main worktree's `.env`."""
    main = tmp_path / "shop"
    tree = linked(tmp_path / "there", main, "feature")
    (tree / ".env").write_text("COMPOSE_PROJECT_NAME=mine\n")
    assert named(tree, PLAIN) is None
    (main / ".env").write_text("COMPOSE_PROJECT_NAME=mine\n")
    assert named(tree, PLAIN) == "shop-feature"
    (main / ".env").unlink()
    (tree / ".env").rename(tree / "mine.env")
    (tree / "other.env").write_text("A=b\n")
    assert named(tree, PLAIN) == "shop-feature"
    monkeypatch.setenv("COMPOSE_ENV_FILES", f"{tree}/mine.env,{tree}/other.env,none.env")
    assert named(tree, PLAIN) == "shop-feature"  # the same file for both trees
    monkeypatch.delenv("COMPOSE_ENV_FILES")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "mine")
    assert named(tree, PLAIN) is None
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "shop-feature")
    assert named(tree, PLAIN) == "shop-feature"


@pytest.mark.parametrize(
    ("text", "given", "env", "expected"),
    [
        (PLAIN, "review", "", "myshopapp-review"),
        (PLAIN, "", "", "myshopapp-[0-9a-f]{6}"),
        (f"name: acme\n{PLAIN}", "", "", "acme-[0-9a-f]{6}"),
        (f"name: acme\n{PLAIN}", "Re View", "", "acme-review-[0-9a-f]{4}"),
        (f"name: acme\n{PLAIN}", "acme-2", "", "acme-2"),
        (PLAIN, "", "mine", "mine"),
        (PLAIN, "review", "mine", "mine-review"),
    ],
)
def test_an_isolated_project_has_a_name_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, given: str, env: str, expected: str
) -> None:
    """The name with NAME added, or a hash of the folder; COMPOSE_PROJECT_NAME wins if no NAME is given."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", env)
    (folder / "compose.yml").write_text(text)
    sources = read([str(folder / "compose.yml")], base=str(folder))
    assert re.fullmatch(expected, isolated_name(sources, given))


def test_an_isolated_worktree_keeps_its_name(tmp_path: Path) -> None:
    """The option adds only the name that is given."""
    tree = linked(tmp_path / "there", tmp_path / "shop", "feature")
    (tree / "compose.yml").write_text(f"name: acme\n{PLAIN}")
    sources = read([str(tree / "compose.yml")], base=str(tree))
    assert [isolated_name(sources, given) for given in ("", "two")] == ["acme-feature", "acme-feature-two"]
