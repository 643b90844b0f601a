"""Finding and reading the files of a project, as Compose finds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devenv.compose.config import profiles_on
from devenv.compose.files import (
    everything,
    find,
    inputs,
    logical,
    read,
    service_names,
)
from devenv.errors import ConfigError, UsageError

PLAIN = "services:\n  web: {image: a}\n"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR", "PWD"):
        monkeypatch.delenv(key, raising=False)


def write(folder: Path, **files: str) -> Path:
    """Files below `folder`, `__` for a slash and `_` for a dot in their names."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def found(folder: Path, *files: str) -> list[str]:
    """The files that are found from `folder`, relative to it."""
    return [os.path.relpath(path, folder) for path in find(str(folder), files)]


def test_the_names_that_compose_looks_for(tmp_path: Path) -> None:
    """compose.yaml comes before compose.yml and the old names, each with an override beside it."""
    write(tmp_path, **{"docker-compose_yaml": PLAIN})
    assert found(tmp_path) == ["docker-compose.yaml"]
    write(tmp_path, **{"docker-compose_yml": PLAIN})
    assert found(tmp_path) == ["docker-compose.yml"]
    write(tmp_path, compose_yml=PLAIN, **{"docker-compose_override_yml": PLAIN})
    assert found(tmp_path) == ["compose.yml", "docker-compose.override.yml"]
    write(tmp_path, compose_yaml=PLAIN, compose_override_yaml=PLAIN)
    assert found(tmp_path) == ["compose.yaml", "compose.override.yaml"]


def test_the_search_goes_upward(tmp_path: Path) -> None:
    """A project is found from its subfolders."""
    write(tmp_path, compose_yml=PLAIN)
    (tmp_path / "a/b").mkdir(parents=True)
    assert found(tmp_path / "a/b") == ["../../compose.yml"]


def test_explicit_files_take_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-f before COMPOSE_FILE in the shell, before COMPOSE_FILE in .env."""
    write(tmp_path, compose_yml=PLAIN, _env="# COMPOSE_FILE=no\nexport COMPOSE_FILE='x.yml:sub/y.yml' # why\n")
    assert found(tmp_path) == ["x.yml", "sub/y.yml"]
    monkeypatch.setenv("COMPOSE_FILE", "p.yml,q.yml")
    monkeypatch.setenv("COMPOSE_PATH_SEPARATOR", ",")
    assert found(tmp_path) == ["p.yml", "q.yml"]
    assert found(tmp_path, "z.yml", "/abs.yml")[0] == "z.yml"


def test_missing_compose_file_is_an_error(tmp_path: Path) -> None:
    """The error has the names that were looked for, and says to which tool a devenv.nix belongs."""
    with pytest.raises(ConfigError, match="no compose file in") as caught:
        find(str(tmp_path))
    assert "compose.yaml, compose.yml, docker-compose.yml, docker-compose.yaml" in str(caught.value.hint)
    write(tmp_path, devenv_nix="{}")
    with pytest.raises(ConfigError) as caught:
        find(str(tmp_path))
    assert "belongs to another tool" in str(caught.value.hint)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    """It was moved while the project was up: `devenv new` is not suggested."""
    with pytest.raises(ConfigError, match=r"the folder .*/shop does not exist") as caught:
        find(str(tmp_path / "shop"))
    assert "move it back" in str(caught.value.hint)


def test_standard_input_is_refused(tmp_path: Path) -> None:
    """`-f -` is refused, since it cannot be read again."""
    with pytest.raises(UsageError):
        find(str(tmp_path), ("-",))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "compose.yml:1: the file is empty"),
        ("# nothing\n", "compose.yml:1: the file is empty"),
        ("- a\n", "compose.yml:1: the file must be a mapping with the key `services`"),
        ("abc", "compose.yml:1: the file must be a mapping with the key `services`"),
    ],
)
def test_invalid_project_file_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """An empty file or another kind of YAML is refused before Compose sees it."""
    write(tmp_path, compose_yml=text)
    with pytest.raises(ConfigError) as caught:
        read(find(str(tmp_path)), base=str(tmp_path))
    assert f"{caught.value.where}: {caught.value}" == complaint


def test_unreadable_paths_are_errors(tmp_path: Path) -> None:
    """A folder, a missing file, an endless device, a pipe without a writer: each is an error at once."""
    os.mkfifo(tmp_path / "pipe")
    for path, complaint in [
        (str(tmp_path), "is a folder"),
        (str(tmp_path / "gone.yml"), "cannot be read: No such file or directory"),
        ("/dev/zero", "is not a regular file"),
        (str(tmp_path / "pipe"), "is not a regular file"),
    ]:
        with pytest.raises(ConfigError) as caught:
            read((path,), base="/nowhere")
        assert (caught.value.file, str(caught.value)) == (path, complaint)


def test_included_files_are_read_too(tmp_path: Path) -> None:
    """Each has the folder for its relative paths; remote, interpolated and circular includes are left to Compose."""
    write(
        tmp_path,
        compose_yml="include:\n  - one/a.yml\n  - {path: [two/b.yml], project_directory: q}\n"
        "  - ${X}/c.yml\n  - oci://x/y\n  - gone.yml\nservices: {web: {image: a}}\n",
        one__a_yml="include: [../compose.yml, d.yml]\nservices: {x: {image: a}}\n",
        one__d_yml="services: {y: {image: a}}\n",
        two__b_yml="services: {z: {image: a}}\n",
    )
    sources = read(find(str(tmp_path)), base=str(tmp_path))
    assert [(source.shown, os.path.relpath(source.folder, tmp_path)) for source in everything(sources)] == [
        ("one/d.yml", "one"),
        ("one/a.yml", "one"),
        ("two/b.yml", "q"),
        ("compose.yml", "."),
    ]


def test_a_fault_in_an_included_file_names_it(tmp_path: Path) -> None:
    """The error names the included file, not the file that includes it."""
    write(tmp_path, compose_yml="include: [sub/a.yml]\n" + PLAIN, sub__a_yml="services:\n  a: 1\n  a: 2\n")
    with pytest.raises(ConfigError, match='duplicate key "a"') as caught:
        read(find(str(tmp_path)), base=str(tmp_path))
    assert caught.value.where == "sub/a.yml:3"


def test_a_link_is_spelled_as_the_shell_spells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose derives bind mounts and the project's name from $PWD; so does devenv, if $PWD is correct."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")
    monkeypatch.setenv("PWD", str(tmp_path / "link"))
    assert logical(os.getcwd()) == str(tmp_path / "link")
    assert logical(str(tmp_path)) == str(tmp_path)
    monkeypatch.setenv("PWD", str(tmp_path))
    assert logical(os.getcwd()) == str(tmp_path / "real")


def test_a_named_service_turns_its_profiles_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are activated only if none is active, without those of dependencies; COMPOSE_PROFILES still counts."""
    monkeypatch.delenv("COMPOSE_PROFILES", raising=False)
    write(
        tmp_path,
        compose_yml="services:\n  web: {}\n  tool: {profiles: [a, b], depends_on: [x]}\n  x: {profiles: [c]}\n",
        more_yml="services: {tool: {}, other: {profiles: [d]}}\n",
    )
    sources = read([str(tmp_path / "compose.yml"), str(tmp_path / "more.yml")], base=str(tmp_path))
    assert service_names(sources) == {"web", "tool", "x", "other"}
    assert profiles_on(sources, (), ()) == ()
    assert profiles_on(sources, ("web", "none"), ("z",)) == ("z",)
    assert profiles_on(sources, ("tool",), ()) == ("a", "b")
    assert profiles_on(sources, ("tool", "other", "x"), ("z",)) == ("z", "a", "b", "d", "c")
    assert profiles_on(sources, ("tool",), ("b",)) == ("b",)
    assert profiles_on(sources, ("tool",), ("*",)) == ("*",)
    write(tmp_path, _env="COMPOSE_PROFILES=e, f\n")
    assert profiles_on(sources, (), ()) == ()
    assert profiles_on(sources, ("tool",), ()) == ("e", "f", "a", "b")
    monkeypatch.setenv("COMPOSE_PROFILES", "b")
    assert profiles_on(sources, ("tool",), ()) == ()


MAIN = """
include: [one.yml, {path: [sub/two.yml], project_directory: other, env_file: sub/two.env}, "oci://far/away"]
services:
  web: {extends: {file: base/web.yml, service: web}, env_file: web.env}
  api: {extends: web, env_file: [api.env, {path: more.env, required: false}, "mode.${MODE:-dev}"]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with files of every kind."""
    monkeypatch.delenv("COMPOSE_FILE", raising=False)
    texts = {
        "compose.yml": MAIN,
        "sub/two.yml": "services: {two: {image: a, env_file: own.env}}",
        "base/web.yml": "services: {web: {extends: {file: ../deep.yml, service: x}, env_file: base.env}}",
        "deep.yml": "include: [compose.yml]",
        "mode.dev": "",
        "mode.test": "",
        "mode-other": "",
    }
    for name, text in texts.items():
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "p"


def named(folder: Path, *files: str) -> set[str]:
    """The files that are found, relative to the folder."""
    return {path.removeprefix(f"{folder}/") for path in inputs(str(folder), files)}


def test_all_referenced_files_are_found(folder: Path) -> None:
    """Includes and extends at any depth and their env files, relative to their files, existing or not."""
    read = "compose.yml one.yml sub/two.yml sub/two.env base/web.yml deep.yml"
    environment = ".env other/.env base/.env web.env api.env more.env other/own.env base/base.env"
    overrides = {f"{stem}.override.{end}" for stem in ("compose", "docker-compose") for end in ("yml", "yaml")}
    assert named(folder) == {*read.split(), *environment.split(), *overrides, "mode.dev", "mode.test"}


def test_broken_file_does_not_hide_others(folder: Path) -> None:
    """If the override is incomplete and an include is missing, all files are still named."""
    whole = named(folder)
    (folder / "compose.override.yml").write_text("services: {", encoding="utf-8")
    assert named(folder) == whole
    (folder / "base/web.yml").unlink()
    assert named(folder) == whole - {"deep.yml", "base/base.env"}
    (folder / "compose.yml").write_text("a: [", encoding="utf-8")
    assert {"compose.yml", "compose.override.yml", ".env"} <= named(folder)
    (folder / "compose.yml").unlink()
    assert ".env" in named(folder)


def test_a_link_is_followed_too(folder: Path) -> None:
    """The target of a linked Compose file is an input of the project."""
    (folder / "real.yml").write_text("services: {}", encoding="utf-8")
    (folder / "link.yml").symlink_to("real.yml")
    assert {"link.yml", "real.yml"} <= named(folder, "link.yml")
