"""From `devenv up` to healthy: the ways to start a project, leave it and return to it."""

from __future__ import annotations

import re

import pytest

from support import cli, docker_cli
from support.cli import StartDevenv
from support.stack import NewStack, Stack, idle_service
from support.upper import Up

pytestmark = pytest.mark.engine

QUICK_CHECK = {"interval": "1s", "start_period": "20s", "start_interval": "100ms"}
DATA = {"volumes": ["data:/data"]}


def when(stack: Stack, service: str, moment: str) -> str:
    """`StartedAt` or `FinishedAt` of the service's container, as texts that sort by time."""
    return str(docker_cli.inspect(stack.container(service))["State"][moment])


def leave_marker(stack: Stack, text: str) -> None:
    """Write the text into the named volume of the service `db`."""
    stack.execute("db", "sh", "-c", f"echo {text} >>/data/marker")


def keys(stack: Stack) -> dict[str, str]:
    """Id -> time of its start, for every container of the project."""
    return {container: docker_cli.inspect(container)["State"]["StartedAt"] for container in stack.containers()}


def test_services_start_when_their_conditions_hold(stack: Stack, up: Up) -> None:
    """A service waits for a healthy one and for a one-shot to succeed; other services are not started."""
    healthy = {"test": ["CMD", "test", "-e", "/ready"], **QUICK_CHECK}
    stack.compose_file(
        {
            "db": idle_service(
                command=["sh", "-c", "sleep 0.5; touch /ready; trap 'exit 0' TERM; while :; do sleep 1 & wait; done"],
                healthcheck=healthy,
            ),
            "migrate": idle_service(command=["true"], depends_on={"db": {"condition": "service_healthy"}}),
            "web": idle_service(depends_on={"migrate": {"condition": "service_completed_successfully"}}),
            "extra": idle_service(),
            "tool": idle_service(profiles=["tools"]),
        }
    )
    run = up.ready(stack, "web")
    assert when(stack, "db", "StartedAt") < when(stack, "migrate", "StartedAt")
    assert when(stack, "migrate", "FinishedAt") <= when(stack, "web", "StartedAt")
    reached = [(event["service"], event["state"]) for event in run.all("service")]
    ends = [("db", "healthy"), ("migrate", "completed"), ("web", "healthy")]
    assert [entry for entry in reached if entry in ends] == ends
    assert any(event["service"] == "web" and "migrate" in event["detail"] for event in run.all("service")), (
        run.report()
    )
    assert not stack.containers("extra")
    assert not stack.containers("tool")
    assert run.stop() == 130
    assert stack.leftovers() == {}


def test_detached_run_is_taken_over_unchanged(stack: Stack, up: Up, devenv: StartDevenv) -> None:
    """The next `up` changes nothing, syncs and watches.

    `down` ends that run.
    """
    watch = [{"path": "./src", "action": "sync", "target": "/src"}]
    tool = idle_service(profiles=["tools"], develop={"watch": watch})
    stack.compose_file({"db": idle_service(**DATA), "tool": tool}, volumes={"data": {}})
    stack.write("src/a", "1")
    detached = up(stack, "-d", "--profile", "tools")
    assert detached.wait() == 0, detached.report()
    assert stack.containers("tool")
    before = keys(stack)
    stack.write("src/a", "2")
    run = up.ready(stack, "--profile", "tools")
    assert keys(stack) == before
    assert stack.read("tool", "/src/a") == "2"
    since = run.mark()
    stack.write("src/b", "3")
    run.wait_for("synced", since=since)
    assert stack.read("tool", "/src/b") == "3"
    assert devenv("down", cwd=stack.folder, env=stack.env).wait() == 0
    assert run.wait() == 130
    assert stack.leftovers() == {}


def test_down_ends_a_detached_run(stack: Stack, up: Up, devenv: StartDevenv) -> None:
    """`down` removes what a detached run created, including its volume."""
    stack.compose_file({"db": idle_service(**DATA)}, volumes={"data": {}})
    assert up(stack, "-d").wait() == 0
    down = devenv("down", cwd=stack.folder, env=stack.env)
    assert down.wait() == 0, down.report()
    assert down.wait_for("stopped")["survivors"] == []
    assert stack.leftovers() == {}


def test_run_ends_with_its_last_service_and_leaves_nothing(stack: Stack, up: Up) -> None:
    """A run that ends with its last service saves the volume and leaves nothing."""
    stack.compose_file({"db": idle_service(command=["sleep", "0.5"], **DATA)}, volumes={"data": {}})
    run = up(stack)
    assert run.wait() == 0, run.report()
    assert run.wait_for("stopped")["saved"].keys() == {"data"}
    assert stack.leftovers() == {}


def test_keep_leaves_everything_and_recreates_nothing(stack: Stack, up: Up, devenv: StartDevenv) -> None:
    """After `--keep` all keeps running, the next `up --keep` changes nothing, and `down` keeps the volume."""
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    run = up.ready(stack, "--keep")
    leave_marker(stack, "kept")
    before = keys(stack)
    assert run.stop() == 130
    kept = run.wait_for("kept", kind="volume")
    assert kept["command"] == f"docker volume rm {kept['name']}"
    assert keys(stack) == before
    again = up.ready(stack, "--keep")
    done = cli.run("exec", "-T", "web", "echo", "hello", cwd=stack.folder, env=stack.env)
    assert (done.returncode, done.stdout) == (0, "hello\n"), "a verb that is not devenv's goes to docker compose"
    assert again.stop() == 130
    assert keys(stack) == before
    assert devenv("down", cwd=stack.folder, env=stack.env).wait() == 0
    assert stack.leftovers() == {"volumes": [f"{stack.name}_data"]}


def test_project_moves_to_plain_compose_and_back(new_stack: NewStack, up: Up, compose_env: dict[str, str]) -> None:
    """No question is asked and no data is lost."""
    stack = new_stack(compose_env)
    stack.compose_file({"db": idle_service(**DATA), "web": idle_service()}, volumes={"data": {}})
    first = up.ready(stack, "--keep")
    leave_marker(stack, "devenv")
    first.stop()
    plain = stack.compose("up", "-d")
    assert plain.returncode == 0, plain.stderr
    assert not re.search(r"\?|data will be lost|\[y/N\]", plain.stderr + plain.stdout, re.IGNORECASE)
    leave_marker(stack, "compose")
    between = keys(stack)
    back = up.ready(stack)
    assert keys(stack) == between, "devenv touched what plain compose had started"
    leave_marker(stack, "devenv-again")
    assert back.stop() == 130, back.report()
    assert back.wait_for("stopped")["survivors"] == []
    assert keys(stack) == between
    assert stack.read("db", "/data/marker") == "devenv\ncompose\ndevenv-again\n"
    assert stack.compose("up", "-d").returncode == 0
    assert keys(stack) == between
    assert stack.read("db", "/data/marker") == "devenv\ncompose\ndevenv-again\n"


def test_json_output_has_only_events(stack: Stack, up: Up) -> None:
    """Under `--output json` each line of stdout, even an error, is an object with v, ts and event.

    A project that builds nothing starts without a message about watch rules.
    """
    stack.compose_file(
        {
            "web": idle_service(command=["sh", "-c", "echo '{not json'; exit 3"]),
            "late": idle_service(depends_on={"web": {"condition": "service_completed_successfully"}}),
        }
    )
    run = up(stack)
    assert run.wait() == 1
    assert run.stray == []
    error = run.all("error")[0]
    assert error["exit_code"] == 1
    assert run.all("notice") == []
    assert "{not json" in error["message"]
    assert {"log", "service", "step", "removed", "stopped", "error"} <= {event["event"] for event in run.events}
    for event in run.events:
        assert event["v"] == 1, event
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event.get("ts", "")), event
    assert stack.leftovers() == {}


def test_text_without_a_terminal_has_no_escape_codes(stack: Stack, up: Up) -> None:
    """Escape codes of containers are removed, too."""
    shout = ["sh", "-c", "printf '\\033[31mred\\033[0m\\n'; exec sh -c \"trap 'exit 0' TERM; sleep 99 & wait\""]
    stack.compose_file({"web": idle_service(command=shout)})
    run = up(stack, json_output=False)
    docker_cli.until(lambda: "".join(run.stray), lambda text: "is up after" in text and "red" in text)
    assert run.stop() == 130
    output = "".join(run.stray) + run.stderr
    assert "\x1b" not in output
    assert "\r" not in output
    assert re.search(r"^web +│ red$", output, re.MULTILINE)
    assert "nothing of this run is left" in output
