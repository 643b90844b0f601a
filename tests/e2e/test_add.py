"""Services that `devenv add` put into a user's file: started, edited, and removed again."""

from __future__ import annotations

import re
import sys
import time
import urllib.error
import urllib.request

import pytest

from support import cli, docker_cli
from support.stack import Stack
from support.terminal import Terminal
from support.upper import Up

APP = """\
# The app, in its author's own style.
services:

    web:   # says nothing
        image: {image}
        command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"]
        expose: [80]
"""
TOOLS = {"adminer": "postgres", "phpmyadmin": "mysql"}
EDITS = {
    "nginx": (
        "default.conf",
        "location = /proxy-health {",
        'location = /new { return 200 "edited"; }\n location = /proxy-health {',
    ),
    "caddy": ("Caddyfile", "respond /proxy-health 204", 'respond /new "edited"\n\trespond /proxy-health 204'),
    "fastapi": (
        "app/main.py",
        '@app.get("/")',
        '@app.get("/new")\ndef new() -> str:\n    return "edited"\n\n\n@app.get("/")',
    ),
    "express": (
        "src/server.js",
        'app.get("/",',
        'app.get("/new", (request, response) => response.send("edited"));\napp.get("/",',
    ),
}
CODE = ("fastapi", "express")


def devenv(stack: Stack, *arguments: str) -> None:
    done = cli.run(*arguments, "--yes", cwd=stack.folder, env=stack.env)
    assert done.returncode == 0, done.stderr


def app(stack: Stack) -> str:
    text = APP.format(image=docker_cli.BASE_IMAGE)
    stack.write("compose.yml", text)
    return text


def test_added_database_is_healthy_reachable_and_removable(up: Up, stack: Stack) -> None:
    """The database becomes healthy, the app's own variable opens it, and its removal restores the file."""
    before = app(stack)
    devenv(stack, "add", "postgres", "--name", "db", "--to", "web")
    run = up.ready(stack, "--stand-ins")
    url = docker_cli.docker("exec", stack.container("web"), "sh", "-c", "echo $DATABASE_URL")
    output = docker_cli.docker("exec", stack.container("db"), "psql", url, "-Atc", "select 40 + 2")
    assert run.stop() == 130
    devenv(stack, "remove", "db")

    assert re.fullmatch(r"postgresql://app:[0-9a-f]{32}@db:5432/app", url)
    assert output == "42"
    assert (stack.folder / "compose.yml").read_text(encoding="utf-8") == before


def test_add_on_a_terminal_asks_first(stack: Stack) -> None:
    """The diff is shown in colours; if the answer is no, nothing is done."""
    before = app(stack)
    command = [sys.executable, "-m", "devenv", "add", "redis", "--to", "web"]
    for answer, written in (("n", False), ("y", True)):
        with Terminal(*command, cwd=stack.folder, env={**stack.env, "CI": "", "TERM": "xterm"}) as terminal:
            terminal.until(r"\[32m\+ +redis:[\s\S]*Write this\? \[Y/n\]")
            terminal.type(f"{answer}\n")
            assert terminal.process.wait(30) == 0
        assert ((stack.folder / "compose.yml").read_text(encoding="utf-8") != before) == written


@pytest.mark.long
@pytest.mark.parametrize("kind", ["mysql", "mariadb", "valkey", "redis", "rabbitmq", "memcached", *TOOLS, *EDITS])
def test_each_shipped_service_is_healthy_and_gets_edits(kind: str, up: Up, stack: Stack) -> None:
    """Each service becomes healthy, an edit of its files arrives, and its removal restores the file."""
    before = app(stack)
    to = "web"
    if kind in TOOLS:
        to = "db"
        devenv(stack, "add", TOOLS[kind], "--name", "db")
    added = ["new", "--template", kind] if kind in CODE else [kind, "--name", "new"]
    devenv(stack, "add", *added, "--to", to)
    arguments = ["--profile", "tools"] if kind in TOOLS else []
    run = up(stack, "--stand-ins", "--timeout", "600", *arguments)
    run.wait_for("ready", timeout=600)
    if kind in EDITS:
        name, old, new = EDITS[kind]
        file = stack.folder / "new" / name
        file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        assert "edited" in answer(port(stack), "/new")
    assert run.stop() == 130
    docker_cli.succeeds("rmi", f"{stack.name}-new")
    for name in ["new", *(["db"] if kind in TOOLS else [])]:
        devenv(stack, "remove", name)

    assert (stack.folder / "compose.yml").read_text(encoding="utf-8") == before


def port(stack: Stack) -> str:
    match = re.search(r'"127\.0\.0\.1:(\d+):', (stack.folder / "compose.yml").read_text(encoding="utf-8"))
    assert match is not None
    return match[1]


def answer(port: str, path: str, seconds: float = 30) -> str:
    """The answer of a server, once it answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return str(response.read().decode())
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < deadline, f"{path} was not served within {seconds} s"
            time.sleep(0.2)
