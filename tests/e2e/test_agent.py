"""The skill file, followed to the letter: its commands, and what it says of their answers."""

from __future__ import annotations

import re
import shlex
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support import docker_cli, worktrees
from support.cli import StartDevenv
from support.stack import HEALTHY, Stack, unique_name

pytestmark = pytest.mark.engine

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# What the example names in the skill file are in this project.
NAMES = {
    "src/main.py": "src/main.pl",
    "python -m pytest -q": "perl -c /app/main.pl",
    "../shop-feature": "../{feature}",
}
PROGRAM = """\
use IO::Socket::INET;
$| = 1;
$SIG{TERM} = sub { exit 0 };
my $text = "one";
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die "$!";
while (1) {
    my $client = $server->accept or next;
    my $request = <$client>;
    print $request;
    while (my $line = <$client>) { last if $line =~ /^\\s*$/ }
    print $client "HTTP/1.0 200 OK\\r\\n\\r\\n$text";
    close $client;
}
"""
CHECK = "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(q(127.0.0.1:8000)) or die'"
API = {
    "image": docker_cli.BASE_IMAGE,
    "command": ["perl", "/app/main.pl"],
    "ports": ["8000"],
    "volumes": ["data:/data"],
    "healthcheck": {**HEALTHY, "test": CHECK},
    "develop": {"watch": [{"path": "./src", "action": "sync+restart", "target": "/app"}]},
}


@dataclass
class Agent:
    """Somebody who knows a repository and its skill file, and no more."""

    devenv: StartDevenv
    folder: Path
    blocks: list[list[str]]

    def run(self, beginning: str, code: int = 0, cwd: Path | None = None) -> list[dict[str, Any]]:
        """Run the first command of the skill file that begins so; return its JSON lines, which match a schema."""
        line = next(line for block in self.blocks for line in block if line.startswith(beginning))
        words = [word for word in shlex.split(line) if word not in ("--output", "json")]
        run = self.devenv(*words[1:], cwd=cwd or self.folder, json_output=words[1] != "shell")
        assert run.wait() == code, f"{line}\n{run.report()}"
        assert not run.stray or words[1] == "shell", f"{line}: {run.stray}"
        return run.events

    def site(self, cwd: Path | None = None) -> str:
        """What the site answers, at the address in `ps`."""
        (service,) = self.run("devenv ps", cwd=cwd)[0]["services"]
        with direct.open(f"http://{service['ports'][0]['address']}/orders", timeout=30) as answer:
            text: str = answer.read().decode()
        return text


@pytest.fixture
def agent(devenv: StartDevenv, engine: str, base_image: str, tmp_path: Path) -> Iterator[Agent]:
    """An agent in a repository, with the skill file that `devenv agent init` has written."""
    stack = Stack(tmp_path / unique_name("agent"), "")
    stack.name = stack.folder.name
    feature = Stack(tmp_path / f"{stack.name}-feature", f"{stack.name}-feature")
    feature.folder.rmdir()
    stack.compose_file({"api": API}, volumes={"data": {}})
    stack.write("src/main.pl", PROGRAM)
    init = devenv("agent", "init", cwd=stack.folder)
    assert init.wait() == 0, init.report()
    worktrees.repository(stack.folder)
    skill = stack.folder.joinpath(*init.events[0]["written"][0].split("/")).read_text()
    for name, here in NAMES.items():
        assert name in skill
        skill = skill.replace(name, here.format(feature=feature.folder.name))
    blocks = re.findall(r"^```console\n(.*?)^```", skill, re.MULTILINE | re.DOTALL)
    lines = [[line.partition("#")[0].strip().removeprefix("$ ") for line in block.splitlines()] for block in blocks]
    yield Agent(devenv, stack.folder, lines)
    for made in (stack, feature):
        made.remove()


def test_the_skill_file_is_enough(agent: Agent) -> None:
    """An edit is live after `settle`; broken code fails with its place; a worktree has its own data."""
    agent.run("devenv up -d")
    assert agent.site() == "one"
    main = agent.folder / "src/main.pl"
    main.write_text(PROGRAM.replace("one", "two"))
    assert [service["state"] for service in agent.run("devenv settle")[0]["services"]] == ["healthy"]
    assert agent.site() == "two"

    main.write_text(PROGRAM.replace('"one"', ""))
    (failure,) = agent.run("devenv settle", 1)[0]["services"]
    assert re.match(r"main\.pl:4: syntax error at \S+ line 4", failure["failure"]), failure
    assert any("syntax error" in line for line in failure["log"])
    errors = agent.run("devenv logs --level error")
    assert any("syntax error" in error["line"] for error in errors)
    assert (len(errors) <= 20, {error["level"] for error in errors}) == (True, {"error"})
    (row,) = agent.run("devenv ps")[0]["services"]
    assert "main.pl:4" in row["error"]

    main.write_text(PROGRAM.replace("one", "three"))
    agent.run("devenv settle")
    assert agent.site() == "three"
    assert [entry["line"] for entry in agent.run("devenv logs api")][-1].startswith("GET /orders")
    assert agent.run("devenv explain")[0]["paths"][0]["verdicts"][0]["action"] == "sync+restart"
    agent.run("devenv shell")
    docker_cli.execute(docker_cli.containers(agent.folder.name, "api")[0], "sh", "-c", "echo main > /data/whose")
    agent.run("devenv snapshot save")
    agent.run("devenv snapshot restore")

    (block,) = (block for block in agent.blocks if block[0].startswith("git worktree"))
    add, _, change = block[0].partition(" && ")
    worktrees.git(agent.folder, *shlex.split(add)[1:])
    tree = (agent.folder / change.removeprefix("cd ")).resolve()
    agent.run("devenv up -d --from main", cwd=tree)
    (container,) = docker_cli.containers(tree.name, "api")
    assert docker_cli.read(container, "/data/whose") == "main\n"
    assert (agent.site(), agent.site(tree)) == ("three", "one")
    runs = [(run["project"], run["state"]) for run in agent.run("devenv ls")[0]["runs"]]
    assert runs == [(agent.folder.name, "detached"), (tree.name, "detached")]
    agent.run("devenv down", cwd=tree)
    agent.run("devenv down")
    assert agent.run("devenv ls") == [{"v": 1, "runs": []}]
    agent.run("devenv settle", 3)
    assert docker_cli.containers(agent.folder.name) == docker_cli.containers(tree.name) == []
