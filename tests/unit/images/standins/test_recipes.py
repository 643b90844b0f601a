"""The references that have stand-ins, and their recipes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from devenv.errors import EngineError
from devenv.images.standins.recipes import entries, find, instead
from devenv.model.images import canonical
from support.stand_in_table import PAGE, table

STAND_INS = """
    node:18 node:20 node:20-slim node:20.9.0 node:22 node:22-slim node:22-bookworm node:22-bookworm-slim
    node:22.11 node:22-trixie-slim node:23 node:24 node:24.1.0-slim python:3.13 python:3.13-slim python:3.11
    python:3.11-slim-bookworm python:3.14 python:3 python mysql mysql:9 mysql:lts mariadb:11 mariadb:11.8
    mariadb:lts mariadb:10.11 postgres:17 postgres:17-trixie postgres:15-bookworm postgres:18 postgres redis
    redis:8 redis:8.0 redis:7 redis:7-bookworm valkey/valkey:8 memcached memcached:1.6 nginx nginx:1 nginx:1.26
    caddy caddy:2 rabbitmq rabbitmq:4 rabbitmq:4-management rabbitmq:3-management phpmyadmin
    phpmyadmin/phpmyadmin:5 adminer adminer:4 adminer:5-standalone debian debian:trixie-slim debian:12
    debian:bookworm-slim golang golang:1 golang:1.24 golang:1.24-trixie golang:1.19-bookworm
    node node:lts node:latest node:current node:lts-slim node:25 node:26-slim node:jod node:slim nginx:stable
    nginx:mainline nginx:1.30 mariadb valkey/valkey valkey/valkey:9 rabbitmq:management rabbitmq:4.3
    postgres:18-trixie redis:8.0.2 python:3.13-slim-bookworm python:3.13.5
    python:3.14-slim-trixie golang:1.26 golang:1.24.4 caddy:2.11 oven/bun oven/bun:1.2-slim
    ghcr.io/astral-sh/uv ghcr.io/astral-sh/uv:0.8 ghcr.io/astral-sh/uv:0.8.3 axllent/mailpit mailhog/mailhog
    axllent/mailpit:v1.27 schickling/mailcatcher
"""
NO_STAND_INS = """
    node:22-alpine node:2 node:220 node:27 node:20.9-bullseye node:18.12
    someone/node:22 ghcr.io/library/node:22 python:3.12 python:3.10 python:3.13.1 python:3.13-alpine python:2
    mysql:8 mysql:5.7 mariadb:12 mariadb:11.4 postgres:16 postgres:17-alpine postgres:17.2
    pgvector/pgvector:pg17 redis:7.4 redis:6 redis:8.6 redis:8-alpine valkey:8 valkey/valkey:7
    redis/redis-stack:latest nginx:alpine nginx:1.29 nginx:1-perl caddy:1 caddy:2-builder memcached:1.5
    rabbitmq:4.1 rabbitmq:3.13-management rabbitmq:4-alpine phpmyadmin:4 adminer:6 adminer:fastcgi debian:bullseye
    ubuntu:24.04 mongo:8 golang:1.23 golang:1.24-alpine ghcr.io/astral-sh/uv:python3.13-trixie golang:1.24-bookworm
"""


@pytest.mark.parametrize("reference", STAND_INS.split())
def test_there_is_a_stand_in(reference: str) -> None:
    """The recipe is found however the reference is written, and its image never has the public name."""
    recipe = find(reference)
    assert recipe is not None
    name, _, tag = reference.partition(":")
    assert recipe.image == f"stand-in.devenv/{name.rpartition('/')[2]}:{tag or 'latest'}"
    assert find(canonical(reference)) == recipe


@pytest.mark.parametrize("reference", [*NO_STAND_INS.split(), "node:22@sha256:" + "a" * 64])
def test_references_without_a_recipe(reference: str) -> None:
    """Another version, another distribution, another owner or a digest has no stand-in."""
    assert find(reference) is None


IN_PLACE_OF_ALPINE = """
    redis:alpine redis:8-alpine redis:7-alpine3.18 nginx:alpine nginx:stable-alpine nginx:1-alpine-slim caddy:2-alpine
    memcached:1.6-alpine valkey/valkey:8-alpine rabbitmq:4-management-alpine node:22-alpine node:lts-alpine3.22
    python:3.13-alpine golang:1.24-alpine oven/bun:1-alpine
"""


@pytest.mark.parametrize("reference", IN_PLACE_OF_ALPINE.split())
def test_debian_serves_alpine_to_services_alone(reference: str) -> None:
    """No image can be built on it, since that could need apk; its description says that it is Debian."""
    assert find(reference) is None
    recipe = find(reference, plain=True)
    assert recipe is not None
    assert recipe.is_alpine
    assert recipe.inside.endswith(", in place of Alpine")
    assert recipe.image == f"stand-in.devenv/{reference.rpartition('/')[2]}"


@pytest.mark.parametrize("tag", ["alpine", "17-alpine", "17-alpine3.22"])
def test_no_alpine_of_a_database(tag: str) -> None:
    """Musl sorts text in another order than Debian's C library, and the indexes on disk would be wrong."""
    assert find(f"postgres:{tag}", plain=True) is None


FILE, SERVICE = ("Dockerfile:2",), ("service web",)
PYTHON = "stand-ins of python: 3.11, 3.13, 3.14"


@pytest.mark.parametrize(
    ("reference", "users", "expected"),
    [
        (
            "python:3.10-alpine",
            FILE,
            (f"{PYTHON}; -alpine has none: Dockerfile:2 would need python:3.11-slim and apt in place of apk"),
        ),
        ("python:3.12-slim", ("a:1", "b:3"), f"{PYTHON}; a:1, b:3 would need python:3.13-slim"),
        ("python:3.10-alpine", SERVICE, f"{PYTHON}; service web would need python:3.11-alpine"),
        (
            "postgres:17-alpine",
            SERVICE,
            (
                "stand-ins of postgres: 15, 17, 18; -alpine has none (Debian sorts text in"
                " another order, and the indexes of your data would be wrong): "
                "service web would need postgres:17 with an empty volume"
            ),
        ),
        ("postgres:16", SERVICE, "stand-ins of postgres: 15, 17, 18; service web would need postgres:17"),
        ("mysql:8.0", SERVICE, "stand-ins of mysql: 9; service web would need mysql:9"),
        (
            "rabbitmq:3.13-management",
            SERVICE,
            ("stand-ins of rabbitmq: 3, 4, 4.3; service web would need rabbitmq:3-management"),
        ),
        ("redis:8.6", SERVICE, "stand-ins of redis: 7, 8; service web would need redis:8"),
        (
            f"memcached:1@sha256:{'a' * 64}",
            SERVICE,
            ("stand-ins of memcached: 1; a digest has none: service web would need memcached:1"),
        ),
        (
            "ghcr.io/astral-sh/uv:python3.13-trixie",
            FILE,
            ("stand-ins of ghcr.io/astral-sh/uv: latest; Dockerfile:2 would need ghcr.io/astral-sh/uv:latest"),
        ),
        ("mongo:8", SERVICE, "there is no stand-in of mongo"),
        ("ghcr.io/someone/thing:1", FILE, "there is no stand-in of ghcr.io/someone/thing"),
    ],
)
def test_what_could_be_used_instead(reference: str, users: tuple[str, ...], expected: str) -> None:
    """All versions that there are, the nearest, not older if possible, and the line to change."""
    assert instead(reference, users, plain=users == SERVICE) == expected


@pytest.mark.parametrize(
    ("reference", "suite"),
    [("node:22", "trixie"), ("node:22-bookworm", "bookworm"), ("python:3.11", "bookworm"), ("postgres:18", "sid")],
)
def test_a_root_is_of_the_suite_that_has_the_version(reference: str, suite: str) -> None:
    """The suite decides about the base, which every image of that suite shares."""
    recipe = find(reference)
    assert recipe is not None
    assert recipe.base == f"debian:{suite}-slim"


def test_only_a_suites_slim_debian_is_a_bare_root() -> None:
    """Debian's other names are built on the root of the slim one."""
    bases = {name: recipe.base for name in ("trixie-slim", "13", "latest") if (recipe := find(f"debian:{name}"))}
    assert bases == {"trixie-slim": None, "13": "debian:trixie-slim", "latest": "debian:trixie-slim"}


def test_the_description_is_known_before_the_build() -> None:
    """Versions are missing, since only the packages have them."""
    descriptions = {name: recipe.inside for name in ("node:22", "mysql", "debian:12") if (recipe := find(name))}
    expected = {"node:22": "Node.js and npm on Debian trixie", "mysql": "MySQL of Debian sid"}
    assert descriptions == {**expected, "debian:12": "Debian (bookworm)"}


def test_slim_leaves_out_the_compilers() -> None:
    """As with the official images."""
    full, slim = find("python:3.13"), find("python:3.13-slim")
    assert full
    assert slim
    assert set(full.roots[0].packages) - set(slim.roots[0].packages) >= {"g++", "git", "make"}


def test_versions_follow_the_tag() -> None:
    """Node.js has the version of the tag, npm the version that belongs to it."""
    for tag, expected in {"22": ["22", "10"], "20.9": ["20.9", "10"], "24-slim": ["24", "11"]}.items():
        recipe = find(f"node:{tag}")
        assert recipe is not None
        assert [package.version for package in recipe.fetched][:2] == expected


def test_mysql_falls_back_on_what_says_so() -> None:
    """Unstable's MySQL comes first; what replaces it is called by its own name."""
    recipe = find("mysql:9")
    assert recipe is not None
    assert [(root.suite, root.inside.partition(" ")[0]) for root in recipe.roots] == [
        ("sid", "MySQL"),
        ("trixie", "MariaDB"),
    ]


def test_a_suite_with_another_version_is_refused() -> None:
    """A version counts only if it equals the tag's; 30 does not match 3."""
    recipe = find("postgres:18")
    assert recipe is not None
    assert recipe.roots[0].checked({"postgresql-18": "18.6"}) == "18.6"
    with pytest.raises(EngineError, match=r"Debian sid has postgresql-18 180\.1 today"):
        recipe.roots[0].checked({"postgresql-18": "180.1"})


def test_a_changed_recipe_has_another_digest(tmp_path: Path) -> None:
    """The digest depends on every file of the recipe and on added files, and on nothing else."""
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
    for dockerfile in {Path(folder, "Dockerfile") for folder, _ in entries()}:
        text = dockerfile.read_text(encoding="utf-8")
        assert "syntax=" not in text, dockerfile
        assert [line for line in text.splitlines() if line.startswith("FROM")] == ["FROM ${ROOT}"], dockerfile


def test_the_page_on_stand_ins_has_todays_table() -> None:
    """The table in the documentation is that of the recipes: `python tests/support/stand_in_table.py` writes it."""
    assert PAGE.read_text(encoding="utf-8").endswith(table())
