"""Every shipped template: created, valid on both Compose versions, healthy, hot-edited, tested, and removed."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import COMPOSES, newer_compose_env
from devenv.scaffold.new.template import shipped
from support import docker_cli as docker
from support.cli import Devenv
from support.stack import Stack, free_port, unique_name

pytestmark = pytest.mark.engine

UP_TIMEOUT = 600  # seconds; on a new machine the stand-ins are built first
EDIT_TIMEOUT = 60
SMALL = 20_000_000  # bytes
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Edit:
    """In `file`, `old` becomes `new`; then the answer to GET `path` contains `seen`.

    If there is something to `post`, that is posted first, and the answer's `id` is requested below `path`.
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
TODO = (
    Edit("backend/src/greeting.js", "Welcome back", "Hello, editor", "/api/greeting", "Hello, editor"),
    Edit("client/src/components/Header.jsx", "<h1>Todos", "<h1>To do", "/src/components/Header.jsx", "To do"),
    Edit("client/index.html", "</body>", "<!-- by edit --></body>", "/", "by edit"),
    Edit("client/src/styles.css", "{", "{ --by-edit: 1;", "/src/styles.css", "--by-edit"),
)
CASES = {
    "todo": TODO,
    "flask-redis": FLASK,
    "worker-queue": WORKER,
    "express-postgres": EXPRESS,
    "fastapi-postgres": FASTAPI,
    "static-nginx": STATIC,
}
EACH_RUN = ("fastapi-postgres", "static-nginx")


def test_every_shipped_template_is_tested_here() -> None:
    """Every template that is shipped is tested here."""
    assert sorted(CASES) == sorted(shipped())


TEMPLATES = [name if name in EACH_RUN else pytest.param(name, marks=pytest.mark.long) for name in CASES]


@pytest.mark.parametrize("template", TEMPLATES)
def test_template_is_healthy_and_hot_reloading(template: str, tmp_path: Path, state_env: dict[str, str]) -> None:
    """With its defaults, the app is healthy, its own tests pass, each kind of edit arrives, and nothing is left."""
    with made(tmp_path, template) as (stack, port):
        for env in ({}, newer_compose_env()) if "newer-compose" in COMPOSES else ({},):
            clean = compose(stack, ["--profile=*", "config", "--quiet"], env)
            assert (clean.returncode, clean.stderr) == (0, "")
        with up(stack, state_env):
            if template != "todo":  # its tests are a stage, which is run when it is built
                tests = compose(stack, [*on_stand_ins(stack), "run", "--rm", "--no-deps", "--build", "test"])
                assert tests.returncode == 0, tests.stdout + tests.stderr
            edits_arrive(stack, port, CASES[template])


@pytest.mark.parametrize(
    "template", [name if name == "static-nginx" else pytest.param(name, marks=pytest.mark.long) for name in CASES]
)
@pytest.mark.parametrize(
    "compose_env",
    [COMPOSES[-1], *(pytest.param(compose, marks=pytest.mark.long) for compose in COMPOSES[:-1])],
    indirect=True,
)
def test_template_runs_with_plain_compose(template: str, tmp_path: Path, compose_env: dict[str, str]) -> None:
    """With `docker compose up --watch` and without devenv, the first kind of edit arrives."""
    with made(tmp_path, template) as (stack, port):
        edit = CASES[template][0]
        files = on_stand_ins(stack, make=True)
        run = subprocess.Popen(
            ["docker", "compose", *files, "up", "--build", "--watch"],
            cwd=stack.folder, env={**os.environ, **stack.env, **compose_env}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            assert run.stdout is not None
            list(iter(lambda: b"atch enabled" in run.stdout.readline() or run.poll() is not None, True))  # type: ignore[union-attr]
            docker.until(lambda: get(port, edit.path), timeout=UP_TIMEOUT)
            edits_arrive(stack, port, CASES[template][:1])
        finally:
            run.terminate()
            run.communicate()
            compose(stack, [*files, "down", "--volumes"])


CODE = {
    "node": (
        {
            "package.json": '{"scripts": {"start": "node server.js"}}',
            "server.js": "require('http').createServer((q, r) => r.end('before')).listen(process.env.PORT);\n",
        },
        Edit("server.js", "before", "after", "/", "after"),
    ),
    "python": (
        {
            "requirements.txt": "flask>=3,<4\n",
            "app.py": "import flask\n\napp = flask.Flask(__name__)\n\n@app.get('/')\ndef index(): return 'before'\n",
        },
        Edit("app.py", "before", "after", "/", "after"),
    ),
    "go": (
        {
            "go.mod": "module app\n\ngo 1.22\n",
            "cmd/web/main.go": """package main

import "net/http"

func main() {
\thttp.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("before")) })
\tpanic(http.ListenAndServe(":3000", nil))
}
""",
            "cmd/web/main_test.go": 'package main\n\nimport "testing"\n\nfunc TestNothing(t *testing.T) {}\n',
        },
        Edit("cmd/web/main.go", "before", "after", "/", "after"),
    ),
    "dockerfile": (
        {
            "Dockerfile": "FROM nginx:1\nEXPOSE 80\nCOPY index.html /usr/share/nginx/html/\n",
            "index.html": "before",
        },
        Edit("index.html", "before", "after", "/", "after"),
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("stack_name", CODE)
def test_new_in_a_folder_with_code_is_hot_reloading(
    stack_name: str, tmp_path: Path, state_env: dict[str, str]
) -> None:
    """`devenv new` adds what is missing; then the app is healthy, and an edit arrives."""
    assert sorted(CODE) == sorted(shipped("stacks"))
    files, edit = CODE[stack_name]
    (tmp_path / "app").mkdir()
    for name, text in files.items():
        (tmp_path / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "app" / name).write_text(text, encoding="utf-8")
    with made(tmp_path, None) as (stack, port), up(stack, {**state_env, "APP_PORT": str(port)}):
        docker.until(lambda: get(port, "/"))
        edits_arrive(stack, port, [edit], rebuilt=stack_name == "dockerfile")
        if stack_name == "go":
            a_typo_is_survived(stack, port, edit)
            an_image_is_small_and_tested(stack)


def a_typo_is_survived(stack: Stack, port: int, edit: Edit) -> None:
    """Check that a compile error is in the log, and that the same container serves the next save."""
    before, file = stack.containers(), stack.folder / edit.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("panic(", "panik("), encoding="utf-8")
    docker.until(lambda: "undefined: panik" in compose(stack, ["logs", "app"]).stdout, timeout=EDIT_TIMEOUT)
    assert get(port, "/") == ""
    file.write_text(text.replace("after", "mended"), encoding="utf-8")
    docker.until(lambda: get(port, "/") == "mended", timeout=EDIT_TIMEOUT)
    assert stack.containers() == before


def an_image_is_small_and_tested(stack: Stack) -> None:
    """Check that the test stage passes, and that the final stage has only the program, without rights."""
    tests = compose(stack, [*on_stand_ins(stack), "run", "--rm", "--no-deps", "--build", "test"])
    assert (tests.returncode, "ok" in tests.stdout) == (0, True), tests.stderr
    stand_in, name = "stand-in.devenv/golang:1.24", f"{stack.name}-final"
    has = docker.succeeds("image", "inspect", stand_in)
    bases = [f"--build-context=golang:1.24=docker-image://{stand_in}"] if has else []
    docker.docker("build", "--quiet", *bases, "--target=final", "--tag", name, str(stack.folder))
    try:
        image = docker.inspect(name)
        assert (image["Config"]["User"], image["Size"] < SMALL) == ("65532:65532", True)
        docker.docker("run", "--detach", "--name", name, "--publish=127.0.0.1::3000", name)
        port = int(docker.docker("port", name, "3000/tcp").rpartition(":")[2])
        assert docker.until(lambda: get(port, "/")) == "mended"
    finally:
        docker.succeeds("rm", "--force", name)
        docker.docker("rmi", name)


def edits_arrive(stack: Stack, port: int, edits: Sequence[Edit], *, rebuilt: bool = False) -> None:
    """Check that each edit changes the app's answer, without a new container."""
    before = stack.containers()
    for edit in edits:
        assert edit.seen not in answer(port, edit)
        file = stack.folder / edit.file
        text = file.read_text(encoding="utf-8")
        assert edit.old in text
        file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
        arrives(port, edit)
    a_file_is_saved_more_than_once(stack, port, edits[0])
    assert rebuilt or stack.containers() == before


def a_file_is_saved_more_than_once(stack: Stack, port: int, edit: Edit) -> None:
    """Undo the edit and make it again: some reloaders lose a file that was replaced once."""
    file = stack.folder / edit.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(edit.new, edit.old), encoding="utf-8")
    docker.until(lambda: get(port, edit.path), lambda text: text and edit.seen not in text, timeout=EDIT_TIMEOUT)
    file.write_text(text, encoding="utf-8")
    arrives(port, edit)


@contextmanager
def up(stack: Stack, env: dict[str, str]) -> Iterator[None]:
    """Wait until `devenv up` is ready; at the end send Ctrl-C and check that nothing is left."""
    run = Devenv("up", "--stand-ins", cwd=stack.folder, env={**stack.env, **env})
    try:
        run.wait_for("ready", timeout=UP_TIMEOUT)
        yield
        assert run.stop() == 130
    finally:
        run.kill()
    assert stack.leftovers() == {}


def compose(
    stack: Stack, arguments: Sequence[str], env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `docker compose ARGUMENTS` to its end, with the Compose that `env` selects."""
    return Stack(stack.folder, stack.name, env).compose(*arguments)


def on_stand_ins(stack: Stack, *, make: bool = False) -> list[str]:
    """Options that give plain Compose the stand-ins, if this machine uses them because no registry answers."""
    if make:
        done = [sys.executable, "-m", "devenv", "images", "pull", "--stand-ins"]
        subprocess.run(done, cwd=stack.folder, env={**os.environ, **stack.env}, check=True, capture_output=True)
    model = json.loads(stack.compose("--profile=*", "config", "--format=json").stdout)
    services: dict[str, Any] = {}
    for name, service in model["services"].items():
        bases = [service["image"]] if "build" not in service else bases_of(service["build"])
        has = {base: f"stand-in.devenv/{base.rpartition('/')[2]}" for base in bases}
        has = {base: image for base, image in has.items() if docker.succeeds("image", "inspect", image)}
        if "build" in service:
            services[name] = {"build": {"additional_contexts": {k: f"docker-image://{v}" for k, v in has.items()}}}
        elif has:
            services[name] = {"image": has[service["image"]]}
    override = stack.folder.with_name("stand-ins.yml")
    override.write_text(json.dumps({"services": services}), encoding="utf-8")
    return ["-f", "compose.yml", "-f", str(override)]


def bases_of(build: dict[str, str]) -> list[str]:
    """The public base images in the service's Dockerfile."""
    return re.findall(r"(?m)^FROM (\S+:\S+)", (Path(build["context"]) / "Dockerfile").read_text(encoding="utf-8"))


@contextmanager
def made(folder: Path, template: str | None) -> Iterator[tuple[Stack, int]]:
    """Create the template (or what suits existing code) in the folder `app`; return it and its published port."""
    port = free_port()
    arguments = [template, "app", "--data", f"port={port}"] if template else []
    argv = [sys.executable, "-m", "devenv", "new", *arguments, "--defaults"]
    inside = folder if template else folder / "app"
    subprocess.run(argv, cwd=inside, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    stack = Stack(folder / "app", unique_name(template or "stack"))
    try:
        yield stack, port
    finally:
        stack.remove()


def arrives(port: int, edit: Edit) -> None:
    """Wait until the app's answer shows the edit."""
    docker.until(lambda: answer(port, edit), lambda text: edit.seen in text, timeout=EDIT_TIMEOUT)


def answer(port: int, edit: Edit) -> str:
    """The app's answer for the edit; a posted job gets some time."""
    if edit.post is None:
        return get(port, edit.path)
    text = get(port, edit.path, json.dumps(edit.post).encode())
    if not text:
        return ""
    path = f"{edit.path}/{json.loads(text)['id']}"
    return docker.until(lambda: get(port, path), lambda job: job and json.loads(job)["result"] is not None)


def get(port: int, path: str, body: bytes | None = None) -> str:
    """The app's answer; empty if there is none."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
        with direct.open(request, timeout=10) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError, http.client.HTTPException):  # the file was replaced meanwhile
        return ""
