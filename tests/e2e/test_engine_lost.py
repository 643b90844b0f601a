"""An engine of one's own that ends, is killed and comes back while devenv runs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from operator import eq
from pathlib import Path

import pytest

from devenv.lifecycle.store import Store
from support import engine
from support.cli import Devenv, StartDevenv
from support.dockerd import Dockerd, dockerd
from support.phases import DATA
from support.stack import Stack, idle_service, unique_name

pytestmark = pytest.mark.engine

SYNC = {"develop": {"watch": [{"path": "./src", "action": "sync", "target": "/app"}]}}


@pytest.fixture(scope="module")
def own(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """An engine that has the image of the small test containers."""
    if os.getuid() != 0:
        pytest.skip("an engine of its own needs root")
    with dockerd(tmp_path_factory.mktemp("engine")) as one:
        with subprocess.Popen(["docker", "save", base_image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", one.host, "load", "-q"], stdin=saved.stdout, check=True)
        yield one


@pytest.fixture
def there(own: Dockerd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stack]:
    """A stack on that engine: all that asks an engine in this test asks that one."""
    monkeypatch.setenv("DOCKER_HOST", own.host)
    stack = Stack(tmp_path / "project", unique_name("there"))
    yield stack
    if not own.answers():
        own.end()
        own.start()
    stack.remove()


@pytest.mark.parametrize("sign", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_an_engine_that_is_gone_at_the_end(
    there: Stack, own: Dockerd, devenv: StartDevenv, state_env: dict[str, str], sign: signal.Signals
) -> None:
    """Ctrl-C ends the run within seconds and says what is left; once the engine is back, `down` removes it."""
    there.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    run = devenv("up", cwd=there.folder, env=there.env)
    run.wait_for("ready")
    there.execute("db", "sh", "-c", "echo precious >/data/marker")
    own.end(sign)
    began = time.monotonic()
    code = run.stop(signal.SIGINT)
    assert time.monotonic() - began < 8, run.report()
    assert code == 130, run.report()
    (problem,) = [one for one in run.all("problem") if "left as they are" in one["message"]]
    for name in (f"{there.name}-db-1", f"{there.name}-web-1", f"{there.name}_default", f"{there.name}_data"):
        assert name in problem["message"], run.report()
    assert problem["hint"] == "devenv down"
    assert set(run.wait_for("stopped")["survivors"]) == {
        f"container {there.name}-db-1",
        f"container {there.name}-web-1",
        f"network {there.name}_default",
        f"volume {there.name}_data",
    }
    own.start()
    down = devenv("down", cwd=there.folder, env=there.env)
    assert down.wait() == 0, down.report()
    assert there.leftovers() == {}
    # Where the engine came back soon enough, it was the guardian that did it.
    saved = Store(f"{state_env['XDG_STATE_HOME']}/devenv-compose/snapshots").all()
    assert [one.project for one in saved] == [there.name]


def held(run: Devenv, stack: Stack) -> str | None:
    """What `web` has, as long as the run lives."""
    assert run.process.poll() is None, run.report()
    return stack.read("web", "/app/file")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
def test_an_engine_that_comes_back(there: Stack, own: Dockerd, devenv: StartDevenv, rounds: int) -> None:
    """Killed or ended amid saves: the run goes on, its services run again, and hold what was saved meanwhile."""
    there.write("src/file", "0")
    there.compose_file(
        {"db": idle_service(**DATA), "web": idle_service(depends_on=["db"], **SYNC)}, volumes={"data": {}}
    )
    run = devenv("up", cwd=there.folder, env=there.env)
    run.wait_for("ready")
    took = []
    for number in range(1, rounds + 1):
        own.end(signal.SIGTERM if number % 2 else signal.SIGKILL)
        there.write("src/file", str(number))
        own.start()
        began = time.monotonic()
        try:
            engine.until(lambda: held(run, there), partial(eq, str(number)))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{run.report()}") from None
        engine.until(lambda: engine.inspect(there.container("db"))["State"]["Running"], timeout=30)
        took.append(time.monotonic() - began)
        assert run.process.poll() is None, run.report()
    print(f"{rounds} rounds, at most {max(took):.1f} s from the engine's answer")  # noqa: T201 - a figure to report
    assert run.stop() == 130, run.report()
    assert there.leftovers() == {}
