"""Which references a stand-in can be made for, and what it would be made of."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.images.recipes import find


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("node:22", "stand-in.devenv/node:22"),
        ("docker.io/library/node:22", "stand-in.devenv/node:22"),
        ("node:20-slim", "stand-in.devenv/node:20-slim"),
        ("node:24.1.0", "stand-in.devenv/node:24.1.0"),
        ("node:22-trixie-slim", "stand-in.devenv/node:22-trixie-slim"),
        ("mysql", "stand-in.devenv/mysql:latest"),
        ("mysql:9", "stand-in.devenv/mysql:9"),
        ("caddy:2", "stand-in.devenv/caddy:2"),
        ("phpmyadmin", "stand-in.devenv/phpmyadmin:latest"),
        ("phpmyadmin:5", "stand-in.devenv/phpmyadmin:5"),
        ("debian:trixie-slim", "stand-in.devenv/debian:trixie-slim"),
    ],
)
def test_there_is_a_stand_in(reference: str, image: str) -> None:
    """The recipe is found however the reference is written, and its image never has the public name."""
    recipe = find(reference)
    assert recipe is not None
    assert recipe.image == image


@pytest.mark.parametrize(
    "reference",
    [
        "node",
        "node:22-alpine",
        "node:2",
        "node:220",
        "node:23",
        "mysql:8",
        "mysql:5.7",
        "mariadb:11",
        "redis:7",
        "debian:bookworm",
        "someone/node:22",
        "ghcr.io/library/node:22",
        "node:22@sha256:" + "a" * 64,
    ],
)
def test_nothing_honest_can_be_made(reference: str) -> None:
    """Another version, another distribution, another owner or a digest has no stand-in."""
    assert find(reference) is None


def test_versions_follow_the_tag() -> None:
    """Node.js has the version of the tag, npm the one that belongs to it."""
    for tag, expected in {"22": ["22", "10"], "20.9": ["20.9", "10"], "24-slim": ["24", "11"]}.items():
        recipe = find(f"node:{tag}")
        assert recipe is not None
        assert [package.version for package in recipe.npm] == expected


def test_mysql_falls_back_on_what_says_so() -> None:
    """Unstable's MySQL comes first; what replaces it is called by its own name."""
    recipe = find("mysql:9")
    assert recipe is not None
    assert [(root.suite, root.inside.partition(" ")[0]) for root in recipe.roots] == [
        ("sid", "MySQL"),
        ("trixie", "MariaDB"),
    ]


def test_a_changed_recipe_is_another_one(tmp_path: Path) -> None:
    """The digest follows every file of the recipe and what is added to it, and nothing else."""
    recipe = find("caddy:2")
    assert recipe is not None
    folder = tmp_path / "copy"
    shutil.copytree(recipe.folder, folder)
    copy = replace(recipe, folder=str(folder))
    assert copy.digest(b"ca") == recipe.digest(b"ca")
    assert copy.digest(b"ca") != copy.digest(b"other ca")
    with (folder / "Dockerfile").open("a") as file:
        file.write("# changed\n")
    assert copy.digest(b"ca") != recipe.digest(b"ca")


def test_recipes_ask_no_registry() -> None:
    """No recipe's Dockerfile names a frontend or a base that a registry would have to give."""
    recipe = find("caddy:2")
    assert recipe is not None
    for dockerfile in Path(recipe.folder).parent.glob("*/Dockerfile"):
        text = dockerfile.read_text(encoding="utf-8")
        assert "syntax=" not in text, dockerfile
        assert [line for line in text.splitlines() if line.startswith("FROM")] == ["FROM ${ROOT}"], dockerfile
