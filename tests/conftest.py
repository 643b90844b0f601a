"""Fixtures for all tests. A test that uses the engine through them is marked `engine` automatically."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support import docker_cli, registries
from support import lab as lab_support
from support.boxes import static_busybox
from support.cli import Devenv, StartDevenv, end_all
from support.lab import Lab
from support.stack import PREFIX, NewStack, Stack, unique_name

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NEWER_COMPOSE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "devenv-compose-test/compose-2.40"
COMPOSES = ["installed-compose"]
if os.environ.get("DEVENV_TEST_NEWER_COMPOSE") != "none":
    COMPOSES.append("newer-compose")

UNIT = Path(__file__).parent / "unit"

# A shell without job control starts background processes that ignore INT and QUIT, which their children inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Set while others use the same engine: then only projects of this test run are checked.
SHARED_ENGINE = "DEVENV_TEST_SHARED_ENGINE" in os.environ


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use the engine, the browser or a lab, for `-m "not engine"`.

    `engine` in unit tests is an engine in memory.
    """
    for item in items:
        names = () if UNIT in item.path.parents else getattr(item, "fixturenames", ())
        if "browser" in names:
            item.add_marker(pytest.mark.browser)
        if "engine" in names:
            item.add_marker(pytest.mark.engine)
        if "labs" in names:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(autouse=True)
def _engine_where_marked(request: pytest.FixtureRequest) -> None:
    """Provide and check the engine for tests that are marked `engine` but use no fixture."""
    if request.node.get_closest_marker("engine") or request.node.get_closest_marker("browser"):
        request.getfixturevalue("engine")


@pytest.fixture(scope="session")
def engine() -> Iterator[str]:
    """The engine's version; at the end of the run the engine must hold what it held before."""
    try:
        version = docker_cli.docker("version", "--format={{.Server.Version}}")
    except (docker_cli.DockerError, FileNotFoundError) as error:
        pytest.fail(f"no Docker engine answers ({error}); scripts/test brings one, scripts/test --fast needs none")
    before = docker_cli.Inventory.now()
    yield version
    prefix = PREFIX if SHARED_ENGINE else None
    deadline = time.monotonic() + 10
    while changes := before.changes(docker_cli.Inventory.now(), only_project_prefix=prefix):
        if time.monotonic() > deadline:
            pytest.fail("the tests did not leave the engine as they found it\n" + "\n".join(changes))
        time.sleep(0.5)


@pytest.fixture(scope="session")
def base_image(engine: str) -> str:
    """The image that small test containers run on."""
    return docker_cli.ensure_base_image()


@pytest.fixture(params=COMPOSES)
def compose_env(request: pytest.FixtureRequest, engine: str) -> dict[str, str]:
    """The environment of a Compose version; the test runs once for each version."""
    return {} if request.param == "installed-compose" else newer_compose_env()


def newer_compose_env() -> dict[str, str]:
    """The environment of the newer Compose, on the engine that is in use."""
    config = NEWER_COMPOSE / "config"
    if not (config / "cli-plugins/docker-compose").exists():
        pytest.fail("the newer Compose is not there; scripts/newer-compose fetches it")
    return {"DOCKER_CONFIG": str(config), "DOCKER_HOST": _endpoint()}


@functools.cache
def _endpoint() -> str:
    return docker_cli.docker("context", "inspect", "--format={{.Endpoints.docker.Host}}")


@pytest.fixture
def state_env(tmp_path: Path) -> dict[str, str]:
    """Folders for state and settings of the test's own."""
    return {"XDG_STATE_HOME": str(tmp_path / "state home"), "XDG_CONFIG_HOME": str(tmp_path / "config home")}


@pytest.fixture
def new_stack(engine: str, base_image: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewStack]:
    """Makes Compose projects: `new_stack(env=None, folder="project") -> Stack`; they are removed after the test."""
    made: list[Stack] = []

    def make(env: Mapping[str, str] | None = None, folder: str = "project") -> Stack:
        stack = Stack(tmp_path / folder, unique_name(request.node.originalname), env)
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.remove()


class Labs:
    """The labs of a test run, each started on first use: with a proxy as the engine's way out, or without."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._found: dict[bool, Lab] = {}

    def get(self, *, proxied: bool) -> Lab:
        """The lab of that kind."""
        if proxied not in self._found:
            folder = self._folder / ("proxied" if proxied else "alone")
            self._found[proxied] = self._stack.enter_context(lab_support.lab(folder, proxied=proxied))
        return self._found[proxied]


@pytest.fixture(scope="session")
def labs(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    """Engines that reach only the tests' registries."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("an engine of one's own needs root on Linux")
    if registries.program() is None or static_busybox() is None:
        pytest.skip("no docker-registry or no static busybox is there")
    with ExitStack() as stack:
        yield Labs(tmp_path_factory.mktemp("lab"), stack)


@pytest.fixture
def lab(labs: Labs) -> Iterator[Lab]:
    """An engine that knows only the fronts of the test, at 127.0.0.1."""
    lab_ = labs.get(proxied=False)
    yield lab_
    lab_.clear()


@pytest.fixture
def proxied_lab(labs: Labs) -> Iterator[Lab]:
    """An engine that reaches the sites of the test by name, through its proxy."""
    lab_ = labs.get(proxied=True)
    yield lab_
    lab_.clear()


@pytest.fixture
def stack(new_stack: NewStack) -> Stack:
    """One compose project of the test's own."""
    return new_stack()


@pytest.fixture
def devenv(state_env: dict[str, str]) -> Iterator[StartDevenv]:
    """Starts devenv: `devenv("up", cwd=..., env=..., json_output=True) -> Devenv`.

    At the end of the test no process may be left and stdout may hold nothing but events.
    """
    started: list[Devenv] = []

    def start(*args: str, cwd: Path, env: Mapping[str, str | None] | None = None, **more: Any) -> Devenv:
        started.append(Devenv(*args, cwd=cwd, env={**state_env, **(env or {})}, **more))
        return started[-1]

    yield start
    end_all(started)


@pytest.fixture(scope="module")
def browser(engine: str) -> Iterator[Browser]:
    """A headless Chromium, driven by Playwright; tests open pages of their own.

    It ends with its module: as long as Playwright lives, no other test of this process could run an event loop.
    """
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only browser tests pay for it

    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    quiet = [
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *quiet])
        yield chromium
        chromium.close()
