"""Every template that is shipped: made, clean on both Composes, up to healthy, hot-edited, tested, and gone again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import newer_compose_env
from devenv.scaffold.template import shipped
from support import engine as docker
from support.cli import Devenv
from support.stack import Stack, free_port, unique_name

pytestmark = pytest.mark.engine

UP_TIMEOUT = 600  # seconds; on a new machine the stand-ins are made first
EDIT_TIMEOUT = 60
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Edit:
    """In `file`, `old` becomes `new`; then the answer to GET `path` has `seen` in it.

    Where there is something to `post`, that is done first, and the answer's `id` asked for below `path`.
    """

    file: str
    old: str
    new: str
    path: str
    seen: str
    post: dict[str, str] | None = None


FASTAPI = (
    Edit("app/main.py", "Hello from FastAPI", "Hello from an editor", "/", "Hello from an editor"),
    Edit("app/schema.sql", ");", ");\nINSERT INTO notes (text) VALUES ('by schema');", "/notes", "by schema"),
)
STATIC = (
    Edit("site/index.html", "Hello from nginx", "Hello from an editor", "/", "Hello from an editor"),
    Edit("site/style.css", "#2563eb", "#c026d3", "/style.css", "#c026d3"),
    Edit("site/main.js", "1000", "500", "/main.js", "500"),
    Edit("nginx/nginx.conf", '"ok\\n"', '"ok and fine\\n"', "/health", "fine"),
)
EXPRESS = (
    Edit("src/app.ts", "Hello from Express", "Hello from an editor", "/api/greeting", "Hello from an editor"),
    Edit(
        "src/notes.ts",
        '"SELECT id, text FROM notes ORDER BY id"',
        "\"SELECT 0 AS id, 'by query' AS text\"",
        "/api/notes",
        "by query",
    ),
    Edit("public/index.html", "<h1>Notes", "<h1>Hello from an editor", "/", "Hello from an editor"),
    Edit("public/style.css", "#16a34a", "#c026d3", "/style.css", "#c026d3"),
    Edit("public/main.js", '"Remove"', '"Away"', "/main.js", "Away"),
)
WORKER = (
    Edit("api/main.py", "Hello from the API", "Hello from an editor", "/", "Hello from an editor"),
    Edit("worker/work.py", "text.upper()", "text[::-1]", "/jobs", "reviled", {"text": "deliver"}),
    Edit(
        "jobs.py", "job.result = result", 'job.result = f"by edit: {result}"', "/jobs", "by edit", {"text": "deliver"}
    ),
)
FLASK = (
    Edit("app/__init__.py", "Hello from Flask", "Hello from an editor", "/", "Hello from an editor"),
    Edit("app/templates/index.html", "Visits", "Views", "/", "Views"),
    Edit("app/static/style.css", "#dc2626", "#c026d3", "/static/style.css", "#c026d3"),
)
CASES = {
    "flask-redis": FLASK,
    "worker-queue": WORKER,
    "express-postgres": EXPRESS,
    "fastapi-postgres": FASTAPI,
    "static-nginx": STATIC,
}
EACH_RUN = ("fastapi-postgres", "static-nginx")


def test_every_shipped_template_is_among_these() -> None:
    """No template ships that is not brought to healthy and hot-edited here."""
    assert sorted(CASES) == sorted(shipped())


@pytest.mark.parametrize(
    "template", [name if name in EACH_RUN else pytest.param(name, marks=pytest.mark.long) for name in CASES]
)
def test_a_template_is_healthy_and_hot_reloading_from_its_first_minute(
    template: str, tmp_path: Path, state_env: dict[str, str]
) -> None:
    """Made with its defaults, it is up, each kind of edit arrives, its own tests pass, and nothing is left."""
    with made(template, tmp_path) as (stack, port):
        for env in ({}, newer_compose_env()):
            clean = subprocess.run(
                ["docker", "compose", "--profile=*", "config", "--quiet"],
                cwd=stack.folder, env={**os.environ, **stack.env, **env}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (clean.returncode, clean.stderr) == (0, "")
        run = Devenv("up", "--stand-ins", cwd=stack.folder, env={**stack.env, **state_env})
        try:
            run.wait_for("ready", timeout=UP_TIMEOUT)
            check_itself(stack)
            images = {container: docker.inspect(container)["Image"] for container in stack.containers()}
            for edit in CASES[template]:
                assert edit.seen not in answer(port, edit)
                file = stack.folder / edit.file
                text = file.read_text(encoding="utf-8")
                assert edit.old in text
                file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
                arrives(port, edit)
            assert images == {container: docker.inspect(container)["Image"] for container in stack.containers()}
        finally:
            ended = run.stop() if run.process.poll() is None else run.process.returncode
            run.kill()
        assert ended == 130
        assert stack.leftovers() == {}


def check_itself(stack: Stack) -> None:
    """The template's own tests pass, run as its README says; but where no registry answers, on stand-ins."""
    dockerfile = (stack.folder / "Dockerfile").read_text(encoding="utf-8")
    bases = {
        base: f"docker-image://stand-in.devenv/{base.rpartition('/')[2]}"
        for base in re.findall(r"^FROM (\S+:\S+)", dockerfile, re.MULTILINE)
    }
    override = stack.folder.with_name("stand-ins.yml")
    override.write_text(
        json.dumps({"services": {"test": {"build": {"additional_contexts": bases}}}}), encoding="utf-8"
    )
    done = stack.compose("-f", "compose.yml", "-f", str(override), "run", "--rm", "--no-deps", "--build", "test")
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def made(template: str, folder: Path) -> Iterator[tuple[Stack, int]]:
    """The template in a folder, by `devenv new`, and the port that it is to publish."""
    port = free_port()
    argv = [sys.executable, "-m", "devenv", "new", template, "app", "--defaults", "--data", f"port={port}"]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    stack = Stack(folder / "app", unique_name(template))
    try:
        yield stack, port
    finally:
        stack.remove()


def arrives(port: int, edit: Edit) -> None:
    """The edit is seen in what the app answers."""
    docker.until(lambda: answer(port, edit), lambda said: edit.seen in said, timeout=EDIT_TIMEOUT)


def answer(port: int, edit: Edit) -> str:
    """What the app answers where the edit is to be seen; a posted job has some time to be done."""
    if edit.post is None:
        return get(port, edit.path)
    said = get(port, edit.path, json.dumps(edit.post).encode())
    if not said:
        return ""
    path = f"{edit.path}/{json.loads(said)['id']}"
    return docker.until(lambda: get(port, path), lambda job: job and json.loads(job)["result"] is not None)


def get(port: int, path: str, body: bytes | None = None) -> str:
    """What the app answers; empty while it does not."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
        with direct.open(request, timeout=10) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""
