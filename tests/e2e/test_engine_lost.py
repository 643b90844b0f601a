"""An engine of the test's own that stops, is killed and comes back while devenv uses it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import eq
from pathlib import Path

import pytest

from support import cli, docker_cli
from support.cli import Devenv, StartDevenv
from support.docker_cli import engine_socket
from support.dockerd import Dockerd, dockerd
from support.page import Address, streamed
from support.phases import DATA
from support.proxy import Proxy
from support.stack import Stack, idle_service, unique_name

pytestmark = pytest.mark.engine

SYNC = {"develop": {"watch": [{"path": "./src", "action": "sync", "target": "/app"}]}}


@pytest.fixture(scope="module")
def own(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    """An engine with the image of the small test containers."""
    if os.getuid() != 0:
        pytest.skip("an engine of its own needs root")
    with dockerd(tmp_path_factory.mktemp("engine")) as engine:
        with subprocess.Popen(["docker", "save", base_image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "-H", engine.host, "load", "-q"], stdin=saved.stdout, check=True)
        yield engine


@pytest.fixture
def there(own: Dockerd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stack]:
    """A stack on that engine, which all clients of this test use."""
    monkeypatch.setenv("DOCKER_HOST", own.host)
    stack = Stack(tmp_path / "project", unique_name("there"))
    yield stack
    if not own.answers():
        own.end()
        own.start()
    stack.remove()


def ended_without(
    stack: Stack, devenv: StartDevenv, host: str, go: Callable[[], object], come: Callable[[], object]
) -> None:
    """Without an engine, Ctrl-C ends the run within seconds and reports what is left; `down` removes it later."""
    env = {**stack.env, "DOCKER_HOST": host}
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    run = devenv("up", cwd=stack.folder, env=env)
    run.wait_for("ready")
    go()
    began = time.monotonic()
    assert run.stop(signal.SIGINT) == 130, run.report()
    assert time.monotonic() - began < 8, run.report()
    left = {
        f"container {stack.name}-db-1",
        f"container {stack.name}-web-1",
        f"network {stack.name}_default",
        f"volume {stack.name}_data",
    }
    assert set(run.wait_for("stopped")["survivors"]) == left
    (problem,) = [event for event in run.all("problem") if "left as they are" in event["message"]]
    assert all(name in problem["message"] for name in left), problem
    assert problem["hint"] == "devenv down"
    come()
    down = devenv("down", cwd=stack.folder, env=env)
    assert down.wait() == 0, down.report()
    assert stack.leftovers() == {}


def test_teardown_with_an_unreachable_engine(stack: Stack, devenv: StartDevenv) -> None:
    """A run on an engine that it cannot reach any more ends on Ctrl-C, and `down` removes the rest later."""
    with Proxy(engine=engine_socket()) as proxy:

        def go() -> None:
            proxy.away = True
            proxy.drop()

        def come() -> None:
            proxy.away = False

        ended_without(stack, devenv, proxy.host, go, come)


@pytest.mark.long
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_teardown_with_a_stopped_engine(
    there: Stack, own: Dockerd, devenv: StartDevenv, sign: signal.Signals
) -> None:
    """A run whose engine was stopped or killed ends on Ctrl-C, and `down` removes the rest later."""
    ended_without(there, devenv, own.host, lambda: own.end(sign), own.start)


def held(run: Devenv, stack: Stack) -> str | None:
    """The text of a file in `web`; fails if the run has ended."""
    ids = stack.containers("web")
    assert ids, run.report()
    assert run.process.poll() is None, run.report()
    return docker_cli.read(ids[0], "/app/file")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
def test_run_continues_after_an_engine_restart(
    there: Stack, own: Dockerd, devenv: StartDevenv, state_env: dict[str, str], rounds: int
) -> None:
    """After an engine restart amid saves, services run again with all saved files; an open page shows so."""
    there.write("src/file", "0")
    there.compose_file(
        {"db": idle_service(**DATA), "web": idle_service(depends_on=["db"], **SYNC)}, volumes={"data": {}}
    )
    run = devenv("up", cwd=there.folder, env=there.env)
    run.wait_for("ready")
    printed = cli.run("page", "--print", cwd=there.folder, env={**state_env, **there.env})
    assert printed.returncode == 0, printed.stderr
    page = streamed(Address(printed.stdout.strip()))
    assert next(page)["type"] == "hello"
    took = []
    for number in range(1, rounds + 1):
        own.end(signal.SIGTERM if number % 2 else signal.SIGKILL)
        there.write("src/file", str(number))
        own.start()
        began = time.monotonic()
        try:
            docker_cli.until(lambda: held(run, there), partial(eq, str(number)))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{run.report()}") from None
        docker_cli.until(lambda: docker_cli.inspect(there.container("db"))["State"]["Running"], timeout=30)
        took.append(time.monotonic() - began)
        assert run.process.poll() is None, run.report()
    print(f"{rounds} rounds, at most {max(took):.1f} s from the engine's answer")  # noqa: T201 - a figure to report
    shown = ({service["tone"] for service in m["services"]} for m in page if m["type"] == "state")
    assert any(tones != {"good"} for tones in shown), run.report()  # without the engine
    assert any(tones == {"good"} for tones in shown), run.report()  # then with it
    page.close()
    assert run.stop() == 130, run.report()
    assert there.leftovers() == {}


def test_run_continues_after_a_lost_connection(stack: Stack, devenv: StartDevenv) -> None:
    """After connections are cut, refused and silent, nothing is restarted and saved files are synced."""
    stack.write("src/file", "0")
    stack.compose_file({"web": idle_service(**SYNC)})
    with Proxy(engine=engine_socket()) as proxy:
        run = devenv("up", cwd=stack.folder, env={**stack.env, "DOCKER_HOST": proxy.host})
        run.wait_for("ready")
        before = docker_cli.inspect(stack.container("web"))["State"]["StartedAt"]
        proxy.away = True
        proxy.drop()
        stack.write("src/file", "cut")
        time.sleep(3.5)  # longer than a run continues after its services have ended
        proxy.away = False
        docker_cli.until(lambda: held(run, stack), partial(eq, "cut"))
        proxy.frozen = True
        stack.write("src/file", "silent")
        time.sleep(1)
        proxy.frozen = False
        docker_cli.until(lambda: held(run, stack), partial(eq, "silent"))
        assert docker_cli.inspect(stack.container("web"))["State"]["StartedAt"] == before
        assert not [notice for notice in run.all("notice") if "the engine was away" in notice["message"]]
        assert run.stop() == 130, run.report()
    assert stack.leftovers() == {}


def test_teardown_uses_new_connections_if_open_ones_are_dead(stack: Stack, devenv: StartDevenv) -> None:
    """The run removes everything though all open connections are silent, as after a change of address."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    with Proxy(engine=engine_socket()) as proxy:
        run = devenv("up", cwd=stack.folder, env={**stack.env, "DOCKER_HOST": proxy.host})
        run.wait_for("ready")
        proxy.strand()
        assert run.stop(timeout=25) == 130, run.report()
    (stopped,) = run.all("stopped")
    assert (stopped["survivors"], run.all("problem")) == ([], []), run.report()
    assert stack.leftovers() == {}


def test_guardian_waits_for_a_stopped_engine(stack: Stack, devenv: StartDevenv, tmp_path: Path) -> None:
    """The guardian tries again until the engine is back; meanwhile other commands say what it waits for."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    with Proxy(engine=engine_socket()) as proxy:
        env = {**stack.env, "DOCKER_HOST": proxy.host}
        run = devenv("up", cwd=stack.folder, env=env)
        run.wait_for("ready")
        stack.execute("db", "sh", "-c", "echo precious >/data/marker")
        proxy.away = True
        proxy.drop()
        os.killpg(run.process.pid, signal.SIGKILL)

        def output(*words: str) -> str:
            command = devenv(*words, cwd=stack.folder, env=env, json_output=False)
            command.wait()
            return "\n".join([*command.stray, command.stderr])

        docker_cli.until(output, lambda text: "removed as soon as " in text and ", next try at " in text, timeout=15)
        assert "cannot reach the Docker engine" in output("gc")
        assert "the guardian (pid " in output("down")
        assert stack.leftovers() != {}
        proxy.away = False
        docker_cli.until(stack.leftovers, lambda leftovers: not leftovers, timeout=20)
        docker_cli.until(run.survivors, lambda survivors: not survivors, timeout=5)
        assert "the guardian" not in output()
        again = devenv("up", cwd=stack.folder, env=env)
        again.wait_for("ready")
        assert stack.read("db", "/data/marker") == "precious\n"
        assert again.stop() == 130, again.report()
    assert stack.leftovers() == {}
