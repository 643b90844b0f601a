"""Which files a project may be made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from devenv.compose.inputs import inputs

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


def test_everything_that_is_named_is_found(folder: Path) -> None:
    """Includes, extends at any depth, env files of both, each relative to its own place, there or not."""
    read = "compose.yml one.yml sub/two.yml sub/two.env base/web.yml deep.yml"
    environment = ".env other/.env base/.env web.env api.env more.env other/own.env base/base.env"
    overrides = {f"{stem}.override.{end}" for stem in ("compose", "docker-compose") for end in ("yml", "yaml")}
    assert named(folder) == {*read.split(), *environment.split(), *overrides, "mode.dev", "mode.test"}


def test_a_broken_file_hides_no_other(folder: Path) -> None:
    """While the override is half-written and an include is gone, both are still followed, and so is the rest."""
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
    """An edit of what a linked compose file points to is an edit of the project."""
    (folder / "real.yml").write_text("services: {}", encoding="utf-8")
    (folder / "link.yml").symlink_to("real.yml")
    assert {"link.yml", "real.yml"} <= named(folder, "link.yml")
