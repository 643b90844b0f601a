"""Hooks and dangers of a project, and which of its services run with how many replicas."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import StartDevenv
from support.stack import Stack, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine


def sh(text: str, service: str = "db") -> dict[str, object]:
    """A hook in a service."""
    return {"service": service, "command": ["sh", "-c", text]}


def test_hooks_run_at_their_moments_once_trusted(stack: Stack, up: Up, state_env: dict[str, str]) -> None:
    """Host commands are refused until they are trusted; then each hook runs at its moment.

    `before_up` before anything is created, `after_healthy` in a running container before the run is ready,
    `before_down` while the containers still run; if one of the latter fails, it is a problem and the next one runs.
    """
    host = "echo $$PWD; touch host"
    hooks = {
        "before_up": host,
        "after_healthy": [sh("echo $$WHO >/seen; cat /seen") | {"environment": {"WHO": "me"}}, ["ls", "host"]],
        "before_down": ["exit 7", sh("cat /seen; exit 3"), "touch down"],
    }
    services = {"db": idle_service(cap_add=["SYS_ADMIN"]), "web": idle_service()}
    stack.compose_file(services, **{"x-devenv": {"hooks": hooks}})
    refused = up(stack, "web")
    assert refused.wait() == 6
    (error,) = refused.all("error")
    assert "echo $PWD; touch host" in error["message"]
    assert error["hint"].endswith("devenv up web --output json --trust")
    assert stack.leftovers() == {}
    assert not (stack.folder / "host").exists()
    assert not refused.all("notice"), "the service with the danger was not requested"

    run = up.ready(stack, "--trust")
    (danger,) = [notice["message"] for notice in run.all("notice") if "SYS_ADMIN" in notice["message"]]
    assert danger.startswith("compose.yml:")
    printed = [(hook["hook"], hook["line"], hook["service"]) for hook in run.all("hook")]
    assert printed == [
        ("before_up", str(stack.folder), None),
        ("after_healthy", "me", "db"),
        ("after_healthy", "host", None),
    ]
    order = [step["name"] for step in run.all("step", state="end")]
    assert order[:3] == ["load", "check", "before_up"]
    assert order[-2:] == ["healthy", "after_healthy"]

    services["web"]["pid"] = "host"
    stack.compose_file({"new": services.pop("web"), **services}, **{"x-devenv": {"hooks": hooks}})
    run.wait_for("reloaded")
    (new,) = [notice["message"] for notice in run.all("notice") if "`pid: host`" in notice["message"]]
    assert new.startswith("compose.yml:")
    assert len([notice for notice in run.all("notice") if "SYS_ADMIN" in notice["message"]]) == 1, (
        "it was reported before"
    )
    assert run.stop() == 130
    assert (stack.folder / "down").exists()
    assert [problem["message"].split(": ", 2)[2] for problem in run.all("problem")] == [
        "`exit 7` ended with exit code 7",
        "`devenv exec db sh -c 'cat /seen; exit 3'` ended with exit code 3\n  me",
    ]
    assert run.events.index(run.all("problem")[-1]) < run.events.index(run.all("stopping")[0])
    assert stack.leftovers() == {}

    settings = Path(state_env["XDG_CONFIG_HOME"]) / "devenv-compose/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('dangerous = "refuse"\n')
    refused = up(stack)
    assert refused.wait() == 6
    (error,) = refused.all("error")
    assert "db has the capability SYS_ADMIN" in error["message"]
    assert str(settings) in error["hint"]


def test_failing_hook_ends_the_run(stack: Stack, up: Up) -> None:
    """The error has its place, exit code and last lines; everything is removed, after `before_down`."""
    hooks = {"after_healthy": sh("echo no seed; exit 9"), "before_down": sh("echo bye")}
    stack.compose_file({"db": idle_service()}, **{"x-devenv": {"hooks": hooks}})
    run = up(stack, "-d")
    assert run.wait() == 1
    (error,) = run.all("error")
    first, last = error["message"].splitlines()
    assert first.startswith("compose.yml:")
    assert first.endswith("after_healthy: `devenv exec db sh -c 'echo no seed; exit 9'` ended with exit code 9")
    assert last == "  no seed"
    assert run.wait_for("hook", hook="before_down")["line"] == "bye"
    assert stack.leftovers() == {}


def test_down_runs_before_down_of_a_detached_run(stack: Stack, up: Up, devenv: StartDevenv) -> None:
    """`down` runs `before_down` of a detached run, except for a service whose profile is not active."""
    hooks = {"before_down": [sh("echo no", "off"), sh("echo bye")]}
    services = {"db": idle_service(), "off": idle_service(profiles=["off"])}
    stack.compose_file(services, **{"x-devenv": {"hooks": hooks}})
    run = up(stack, "-d")
    assert run.wait() == 0
    assert not run.all("hook")
    down = devenv("down", cwd=stack.folder, env=stack.env)
    assert down.wait() == 0, down.report()
    assert [hook["line"] for hook in down.all("hook")] == ["bye"]
    assert not down.all("problem")
    assert stack.leftovers() == {}


def test_named_service_enables_its_profile_and_scale(stack: Stack, up: Up) -> None:
    """Naming a service enables its profile, as in Compose; a one-shot service that succeeds is completed."""
    stack.compose_file(
        {
            "db": idle_service(),
            "web": idle_service(),
            "migrate": idle_service(command=["true"], depends_on=["db"], profiles=["tools"]),
            "far": idle_service(depends_on=["other"], profiles=["tools"]),
            "other": idle_service(profiles=["others"]),
        }
    )
    run = up.ready(stack, "migrate", "--scale", "db=2", "--profile", "others")
    run.wait_for("service", service="migrate", state="completed")
    assert len(stack.containers("db")) == 2
    assert not stack.containers("web")
    assert not stack.containers("other")
    assert run.stop() == 130
    assert stack.leftovers() == {}

    lost = up(stack, "far")
    assert lost.wait() == 5
    (error,) = lost.all("error")
    assert "whose profile is not active" in error["message"]
    assert error["hint"] == "Add --profile others."
