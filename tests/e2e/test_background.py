"""A run in the background: saves, edits, kills of its keeper, and every way to its end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from support import cli, docker_cli
from support.cli import Devenv, StartDevenv, kill
from support.docker_cli import engine_socket
from support.proxy import Proxy
from support.stack import Stack, idle_service
from support.terminal import Terminal
from support.upper import Up

RULES = [
    {"path": "./src", "action": "sync", "target": "/app"},
    {"path": "./conf", "action": "sync+restart", "target": "/conf"},
]


@pytest.fixture
def site(stack: Stack) -> Stack:
    """A project with one service, which restarts for files in `conf`."""
    stack.write("src/a", "one")
    stack.write("conf/c", "one")
    stack.compose_file({"web": idle_service(develop={"watch": RULES})})
    return stack


def arrives(site: Stack, path: str, text: str | None) -> None:
    """Wait until the container has the text."""
    docker_cli.until(lambda: site.read("web", f"/app/{path}") == text, timeout=30)


def keepers(run: Devenv) -> list[int]:
    """The keeper and its guardian, of which both are ready; the guardian of `up -d` has ended."""
    docker_cli.until(lambda: len(run.keepers()) == len(run.guardians()) == 1, timeout=30)
    return [*run.keepers(), *run.guardians()]


def started(site: Stack) -> str:
    """When the container was started."""
    return str(docker_cli.inspect(site.container("web"))["State"]["StartedAt"])


def ps(site: Stack, env: dict[str, str]) -> str:
    """What `ps` says about the background."""
    done = cli.run("ps", "--output", "json", cwd=site.folder, env={**env, **site.env})
    answer: dict[str, Any] = json.loads(done.stdout)
    return str(answer["background"])


def test_a_run_in_the_background(site: Stack, up: Up, devenv: StartDevenv, state_env: dict[str, str]) -> None:
    """It syncs and reloads, comes back after a `kill -9`, says when it does not, and `down` ends it."""
    run = up(site, "-d")
    assert run.wait() == 0
    assert "background" in run.all("notice")[-1]["message"]
    site.write("src/a", "two")
    settled = cli.run("settle", "--synced", cwd=site.folder, env={**state_env, **site.env})
    assert (settled.returncode, site.read("web", "/app/a")) == (0, "two"), settled.stdout + settled.stderr
    docker_cli.until(lambda: ps(site, state_env).startswith("running in the background, syncing"))

    # Two views show it; the death of one of them ends nothing.
    environment = {**state_env, **site.env, "CI": None, "TERM": "xterm"}
    with Terminal(sys.executable, "-m", "devenv", "attach", cwd=site.folder, env=environment, size=(80, 24)) as view:
        docker_cli.until(lambda: "1 of 1 up" in view.screen(80, 24), timeout=30)
        view.close()
    lines = devenv("attach", cwd=site.folder, env=site.env)
    assert lines.wait_for("synced")["paths"] == ["src/a"]

    # Another keeper is started, which finds what was saved in between, and reloads the files; `settle` waits.
    (keeper, _), before, began = keepers(run), site.container("web"), started(site)
    kill(keeper)
    site.write("src/b", "three")
    site.write("conf/c", "two")
    settled = cli.run("settle", cwd=site.folder, env={**state_env, **site.env})
    assert (settled.returncode, site.read("web", "/app/b")) == (0, "three"), settled.stdout + settled.stderr
    lines.wait_for("restarted", cause="conf/c")
    assert docker_cli.until(lambda: started(site), lambda now: now != began)
    assert (site.container("web"), site.read("web", "/conf/c")) == (before, "two")
    site.compose_file({"web": idle_service(develop={"watch": RULES}, environment={"EDITED": "yes"})})
    docker_cli.until(lambda: site.containers("web"), lambda now: len(now) == 1 and now != [before], timeout=30)

    # Without both, nothing is removed, every command says so, and `up -d` starts it again.
    docker_cli.until(lambda: ps(site, state_env).startswith("running in the background, syncing"))
    kill(*keepers(run))
    began = started(site)
    site.write("src/a", "four")
    site.write("conf/c", "three")
    (site.folder / "src/b").unlink()
    assert "have not been synced since" in ps(site, state_env)
    logs = cli.run("logs", cwd=site.folder, env={**state_env, **site.env})
    assert "have not been synced since" in logs.stderr
    again = up(site, "-d")
    assert again.wait() == 0
    arrives(site, "a", "four")
    assert site.read("web", "/app/b") is None
    assert docker_cli.until(lambda: started(site), lambda now: now != began)
    assert site.containers("web") != [before]

    # `up` that fails before it takes the run over lets it go on.
    assert cli.run("up", "nothing", cwd=site.folder, env={**state_env, **site.env}).returncode != 0
    site.write("src/a", "five")
    arrives(site, "a", "five")

    assert devenv("down", cwd=site.folder, env=site.env).wait() == 0
    assert (lines.wait(), lines.all("notice")[-1]["message"]) == (0, f"{site.name} has ended")
    assert (run.survivors(), again.survivors(), site.leftovers()) == ({}, {}, {})


def test_foreground_takes_over_and_a_removed_project_ends(site: Stack, up: Up, state_env: dict[str, str]) -> None:
    """`up` goes on in the foreground; a run whose containers were removed by others ends, and nothing is left."""
    detached = up(site, "-d")
    assert detached.wait() == 0
    before = site.container("web")
    run = up.ready(site)
    assert site.container("web") == before
    assert detached.survivors() == {}
    site.write("src/a", "two")
    arrives(site, "a", "two")
    assert run.stop() == 130
    assert site.leftovers() == {}

    detached = up(site, "-d")
    assert detached.wait() == 0
    assert site.compose("down", "-t", "0").returncode == 0
    assert detached.survivors(20) == {}
    assert list(Path(state_env["XDG_STATE_HOME"]).glob("*/runs/*/ledger.json")) == []


def test_without_watching_nothing_stays_in_the_background(site: Stack, up: Up) -> None:
    """`--no-watch` starts no keeper."""
    run = up(site, "-d", "--no-watch")
    assert run.wait() == 0
    assert run.survivors() == {}


def test_a_restart_that_was_cut_off_is_finished(site: Stack, up: Up, state_env: dict[str, str]) -> None:
    """A keeper that is killed once the engine has ended the container, and before it starts it again."""
    with Proxy(engine=engine_socket(), stall=60) as proxy:
        site.env["DOCKER_HOST"] = proxy.host
        run = up(site, "-d")
        assert run.wait() == 0
        (keeper, _), began = keepers(run), started(site)
        environment = {**state_env, **site.env, "CI": None, "TERM": "xterm"}
        with Terminal(
            sys.executable, "-m", "devenv", "attach", cwd=site.folder, env=environment, size=(80, 24)
        ) as view:
            docker_cli.until(lambda: "1 of 1 up" in view.screen(80, 24), timeout=30)
            proxy.chaos(100, ("stall",), only=lambda call: call.path.endswith("/restart"))
            view.type("r")
            docker_cli.until(lambda: [call for call in proxy.calls if call.fault])
            docker_cli.docker("stop", "-t", "0", site.container("web"))
            proxy.calm()
            kill(keeper)
            view.close()
        docker_cli.until(lambda: started(site), lambda now: now != began, timeout=30)
        settled = cli.run("settle", cwd=site.folder, env={**state_env, **site.env})
        assert settled.returncode == 0, settled.stdout + settled.stderr
        assert cli.run("down", cwd=site.folder, env={**state_env, **site.env}).returncode == 0
    assert run.survivors() == {}
