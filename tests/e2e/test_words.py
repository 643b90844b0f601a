"""What devenv prints about itself on a real engine: commands with -vv, the status of a folder, unknown names."""

from __future__ import annotations

import json

import pytest

from support.cli import Devenv, StartDevenv
from support.stack import Stack, idle_service

pytestmark = pytest.mark.engine


def output(run: Devenv) -> str:
    """The output of a command for people, on stdout and stderr."""
    assert run.wait() == 0, run.report()
    return "".join(run.stray) + run.stderr


def test_status_follows_a_run_from_start_to_end(stack: Stack, devenv: StartDevenv) -> None:
    """`devenv` alone follows a run; `-vv` prints each command and call, with outcomes and without secrets."""
    token = idle_service(environment={"API_TOKEN": "c4n4ry-1"})
    stack.compose_file({"web": token, "tool": idle_service(profiles=["tools"])})
    env = {**stack.env, "SOME_PASSWORD": "c4n4ry-2"}
    up = devenv("-vv", "up", "-d", cwd=stack.folder, env=env)
    assert up.wait() == 0, up.report()
    traced = [json.loads(line) for line in up.stderr.splitlines() if '"traced"' in line]
    calls = {(call["kind"], call["outcome"]) for call in traced}
    assert {("command", "exit 0"), ("command", "goes on"), ("call", "200")} <= calls
    commands = [call["what"] for call in traced if call["kind"] == "command"]
    assert any(command.startswith("docker compose ") and command.endswith(" config") for command in commands)
    assert any(" create " in command for command in commands)
    assert any(call["what"].startswith("GET /") and "/containers/json?" in call["what"] for call in traced)
    here = devenv(cwd=stack.folder, env=env)
    assert here.wait() == 0
    (answer,) = here.events
    assert (answer["state"], answer["running"], answer["services"]) == ("up", 1, ["tool", "web"])
    entered = output(
        devenv("-v", "exec", "-e", "PASSWORD=c4n4ry-3", "web", "true", cwd=stack.folder, env=env, json_output=False)
    )
    assert "takes over" in entered
    assert "c4n4ry" not in up.stderr + entered
    down = devenv("down", "--verbose", cwd=stack.folder, env=env)
    assert down.wait() == 0
    lines = output(devenv(cwd=stack.folder, env=env, json_output=False)).splitlines()
    assert lines[0].endswith(" is not up: web")
    assert stack.leftovers() == {}


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("up wbe", "there is no service `wbe`", "Did you mean `web`?"),
        ("--profile tols up", "there is no profile `tols`", "Did you mean `tools`?"),
        ("up --port wbe:1=2", "--port names the service `wbe`, which does not exist", "Did you mean `web`?"),
        ("sync wbe", "there is no service `wbe`", "Did you mean `web`?"),
        ("build too", "there is no service `too`", "Did you mean `tool`?"),
    ],
)
def test_unknown_service_or_profile_suggests_the_closest(
    stack: Stack, devenv: StartDevenv, line: str, message: str, hint: str
) -> None:
    """The hint is given for services whose profile is not active, too."""
    stack.compose_file({"web": idle_service(), "tool": idle_service(profiles=["tools"])})
    run = devenv(*line.split(), cwd=stack.folder, env=stack.env)
    assert run.wait() == 2, run.report()
    error = run.all("error")[0]
    assert (error["message"], error["hint"]) == (message, hint)
