"""Where an image comes from, and how old it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from devenv.cli.commands.images import _lines
from devenv.compose import resolve
from devenv.compose.outline import Selection
from devenv.docker.client import Engine
from devenv.docker.endpoint import Endpoint
from devenv.docker.http import Client
from devenv.docker.images import Images, LocalImage
from devenv.docker.transport import CallError
from devenv.errors import EngineError, PortError
from devenv.images import listing
from devenv.images.failures import Failure
from devenv.images.listing import Row
from devenv.images.needs import Need
from devenv.images.standins.recipes import find
from devenv.model.project import Project, Service, Settings

NOW = 1_800_000_000.0
LOADED = "loaded.devenv/docker.io/library/loaded:1"
DIGEST = f"sha256:{'d' * 64}"


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ("2027-01-15T07:59:30Z", "30 s ago"),
        ("2027-01-15T03:00:00.123456789+01:00", "6 h ago"),
        ("2027-01-04T08:00:00Z", "11 days ago"),
        ("2026-12-25T08:00:00Z", "3 weeks ago"),
        ("2026-06-01T00:00:00Z", "7 months ago"),
        ("2027-01-15T09:00:00Z", "0 s ago"),  # the clocks differ
        ("1970-01-01T00:00:00Z", ""),
        ("0001-01-01T00:00:00Z", ""),
        ("", ""),
        ("yesterday", ""),
    ],
)
def test_age(created: str, expected: str) -> None:
    """An age is in words, and empty for an image with a fixed date."""
    assert listing._age(created, NOW) == expected


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[Row]:
    """Of services that need `request.param`, on an engine that has images from everywhere."""
    here = {
        "own:1": LocalImage("sha256:1", ("own:1", f"own@{DIGEST}"), 7_000_000, "", {}, "linux/amd64"),
        LOADED: LocalImage("sha256:2", (LOADED,), 1, ""),
        "m.test/library/mirrored:1": LocalImage("sha256:3", ("m.test/library/mirrored:1",), 1, ""),
    }  # fmt: skip
    answers: dict[str, str | EngineError] = {
        "elsewhere:1": "lookup registry-1.docker.io: no such host",
        "m.test/library/elsewhere:1": "manifest unknown",
        "x.test/helper:1": EngineError("the helper failed"),
        "docker/dockerfile:9": "lookup registry-1.docker.io: no such host",
        "m.test/docker/dockerfile:9": "lookup m.test: no such host",
        "m.test/docker.io/docker/dockerfile:9": "lookup m.test: no such host",
    }
    services = tuple(
        Service(f"s{number}", image=name, platform=other or None, pull_policy="never" if name == "never:1" else None)
        for number, (name, _, other) in enumerate(one.partition(" for ") for one in request.param)
    )

    @asynccontextmanager
    async def connect() -> AsyncIterator[object]:
        engine = Engine(cast("Client", None), Endpoint("unix:///x"))
        engine.platform = "linux/amd64"
        yield engine

    async def loaded(_: object) -> object:
        return SimpleNamespace(project=Project("p", "/p", (), services, settings=Settings(mirrors=("m.test",))))

    async def local_images(_: object, asked: list[str]) -> tuple[LocalImage, ...]:
        return tuple(here[name] for name in asked if name in here)

    async def distribution(_: object, reference: str, __: str) -> str:
        answer = answers.get(reference)
        if isinstance(answer, EngineError):
            raise answer
        if answer:
            raise CallError(500, answer, "asking")
        return DIGEST

    async def credentials(_: str) -> str:
        return ""

    monkeypatch.setattr(Engine, "connect", connect)
    monkeypatch.setattr(resolve, "load", loaded)
    monkeypatch.setattr(Images, "local_images", local_images)
    monkeypatch.setattr(Images, "distribution", distribution)
    monkeypatch.setattr(listing, "credentials", credentials)
    return anyio.run(listing.list_images, Selection("/p"))


@pytest.mark.parametrize(
    "rows",
    [
        (
            "own:1",
            "own:1 for linux/arm64",
            "loaded:1",
            "mirrored:1",
            "there:1",
            "elsewhere:1",
            "x.test/helper:1",
            "never:1",
        )
    ],
    indirect=True,
)
def test_where_an_image_comes_from(rows: list[Row]) -> None:
    """The engine's images count under their own name, that of a loaded archive or a mirror; others are requested."""
    assert [(row.image, row.source, row.detail, row.name) for row in rows] == [
        ("own:1", "present", "7.0 MB, dddddddddddd", "own:1"),
        ("own:1", "registry", "docker.io", "own:1"),
        ("loaded:1", "loaded", f"1 B, 2, as {LOADED}", LOADED),
        ("mirrored:1", "mirror", "1 B, 3, as m.test/library/mirrored:1", "m.test/library/mirrored:1"),
        ("there:1", "registry", "docker.io", "there:1"),
        ("elsewhere:1", "mirror", "m.test/docker.io/library/elsewhere:1", "m.test/docker.io/library/elsewhere:1"),
        ("x.test/helper:1", "nowhere", "the helper failed", ""),
        ("never:1", "nowhere", "its pull_policy is never", ""),
    ]  # fmt: skip
    assert rows[0].digest == DIGEST


@pytest.mark.parametrize(("consent", "command"), [("true", "devenv up"), ("false", "devenv up --stand-ins")])
def test_a_stand_in_needs_its_option_only_without_consent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, consent: str, command: str
) -> None:
    """As `devenv doctor` says it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "devenv-compose").mkdir()
    (tmp_path / "devenv-compose/config.toml").write_text(f"stand_ins = {consent}\n")
    need, recipe = Need("node:22", ("service web",)), find("node:22")
    row = listing._row(need, None, ("node:22", Failure("no answer", impossible=True)), recipe, {})
    assert (row.source, row.detail.partition(": ")[2]) == ("stand-in", command)


def test_the_list_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, and each says what it is about."""
    monkeypatch.setenv("COLUMNS", "80")
    row = Row("node:22", "linux/arm64", "base", tuple(f"service/Dockerfile:{n}" for n in range(9)), "present", "1 MB")
    lines = list(_lines([row]))
    assert lines[:2] == ["node:22 (linux/arm64)", "  present    1 MB"]
    assert lines[2].startswith("  needed by  service/Dockerfile:0, ")
    assert max(map(len, lines)) < 80
    assert all(line.startswith(" " * 13) for line in lines[3:])


@pytest.mark.parametrize(
    ("sources", "stand_ins", "message", "hint"),
    [
        ((), False, "port taken", "devenv up --port a"),
        (("present", "registry", "loaded"), False, "port taken", "devenv up --port a"),
        (("stand-in",), True, "port taken", "devenv up --port a"),
        (
            ("stand-in", "present"),
            False,
            "port taken\nand these images are not available:\n  i0:1 (service s): why",
            "devenv up --port a --stand-ins",
        ),
        (
            ("nowhere", "stand-in"),
            False,
            "port taken\nand these images are not available:\n  i0:1 (service s): why\n  i1:1 (service s): why",
            "devenv up --port a",
        ),
    ],
)
def test_a_port_error_names_missing_images_too(
    monkeypatch: pytest.MonkeyPatch, sources: tuple[str, ...], *, stand_ins: bool, message: str, hint: str
) -> None:
    """Both problems are listed; what `up` can pull by itself is not."""

    async def rows(*_: object) -> list[Row]:
        return [Row(f"i{n}:1", None, "service", ("service s",), source, "why") for n, source in enumerate(sources)]

    monkeypatch.setattr(listing, "_rows", rows)
    project, engine = Project("p", "/p", (), ()), cast("Engine", None)
    error = PortError("port taken", hint="devenv up --port a")

    async def both() -> PortError:
        return await listing.with_missing_images(error, engine, project, stand_ins=stand_ins)

    error = anyio.run(both)
    assert (error.message, error.hint, error.exit_code) == (message, hint, 4)
