"""The name, services and profiles of a project, read without Compose."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.compose.outline import Outline, outline, sketch, sketched
from devenv.compose.resolve import Selection
from devenv.errors import ConfigError, UsageError
from support.worktrees import linked

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
    """In the order of the file; services without an active profile are separate."""
    found = sketch(str(folder), (), None, ())
    assert found == Outline("myshopapp", ("web", "0.odd_-Name"), ("tool",), ("debug", "tools"), is_whole=True)


@pytest.mark.parametrize(("given", "env"), [(("tools",), ""), (("*",), ""), ((), "debug"), ((), "x, tools")])
def test_profiles_turn_services_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], env: str
) -> None:
    """By the command line or the environment; `*` activates all."""
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
