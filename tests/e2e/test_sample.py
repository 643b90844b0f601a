"""The sample todo app as users see it: one `devenv up`, a browser, an editor, and nothing left at the end."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from support import cli
from support import docker_cli as docker
from support.browser import LoadedPage, TodoPage, reload_run, show_run
from support.cli import Devenv
from support.stack import Stack, copy_sample, free_port, unique_name

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.engine, pytest.mark.browser]

UP_TIMEOUT = 900  # seconds; on a new machine the images are built first
EDIT_TIMEOUT = 30
REBUILD_TIMEOUT = 180
BASE = "stand-in.devenv/node:22"
HEADER = "client/src/components/Header.jsx"
STYLES = "client/src/styles.css"
GREETING = "backend/src/greeting.js"
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Sample:
    """The sample app while it is up: its folder, its containers, its site, and the run."""

    stack: Stack
    run: Devenv
    port: int
    env: dict[str, str]

    @property
    def url(self) -> str:
        """The address of the site."""
        return f"http://localhost:{self.port}/"

    def get(self, path: str, host: str = "localhost") -> str:
        """The site's answer; empty if there is none."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Host": host})
        try:
            with direct.open(request, timeout=10) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, in a file of the project."""
        file = self.stack.folder / path
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    def query(self, statement: str) -> list[str]:
        """The rows that MySQL answers, one line each, columns separated by tabs."""
        client = ["mysql", "--user=todo", "--password=todo", "--batch", "--skip-column-names"]
        return self.stack.execute("mysql", *client, f"--execute={statement}", "todo").splitlines()

    def ids(self) -> dict[str, str]:
        """Service -> container id."""
        services = ("proxy", "client", "backend", "mysql", "phpmyadmin")
        return {service: self.stack.container(service) for service in services}

    def tree(self, service: str) -> dict[str, str]:
        """Path -> checksum of the sources in the service's container."""
        find = "find . -path ./node_modules -prune -o -type f -exec sha256sum {} +"
        lines = self.stack.execute(service, "sh", "-c", f"cd /app && {find}").splitlines()
        return {path.removeprefix("./"): digest for digest, _, path in (line.partition("  ") for line in lines)}


@pytest.fixture(scope="module")
def sample(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample app, started once for this module, with phpMyAdmin."""
    scratch = tmp_path_factory.mktemp("sample app")
    port = free_port()
    name = unique_name("sample")
    stack = Stack(copy_sample(scratch), name, {"TODO_PORT": str(port)})
    env = {**stack.env, "XDG_STATE_HOME": str(scratch / "state"), "XDG_CONFIG_HOME": str(scratch / "config")}
    run = Devenv("up", "--stand-ins", "--profile", "tools", cwd=stack.folder, env=env)
    try:
        run.wait_for("ready", timeout=UP_TIMEOUT)
        yield Sample(stack, run, port, env)
    finally:
        if run.process.poll() is None:
            run.stop()
        run.kill()
        stack.remove()
        docker.succeeds("rmi", *(f"{name}-{service}" for service in ("proxy", "client", "backend")))


@pytest.fixture
def app(sample: Sample, browser: Browser) -> Iterator[TodoPage]:
    """The site in a new tab, without an error in its console at the end."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield TodoPage(page, sample.url)
    page.close()
    assert errors == []


def test_added_todo_is_in_mysql_and_survives_a_reload(sample: Sample, app: TodoPage) -> None:
    """The typed text is in the database's table, and the page shows it again."""
    app.add("Water the plants")

    assert sample.query("SELECT title, done FROM todos") == ["Water the plants\t0"]
    app.reload()
    expect(app.item("Water the plants")).to_be_visible()


def test_todos_are_ticked_edited_filtered_and_removed(sample: Sample, app: TodoPage) -> None:
    """Each action shows on the page at once and is in the database afterwards."""
    app.add("Read a book")
    app.add("Bake bred")

    app.tick("Read a book")
    app.rename("Bake bred", to="Bake bread")
    app.show("Done")
    expect(app.page.get_by_role("listitem")).to_have_text(["Read a book"])
    app.show("Active")
    expect(app.item("Read a book")).to_have_count(0)
    expect(app.item("Bake bread")).to_be_visible()
    app.show("All")
    app.remove("Read a book")

    rows = sample.query("SELECT title, done FROM todos WHERE title LIKE 'Read%' OR title LIKE 'Bake%'")
    assert rows == ["Bake bread\t0"]


def test_component_edit_shows_in_the_open_page(sample: Sample, app: TodoPage) -> None:
    """The new heading appears without a reload and without losing what was typed."""
    app.mark()
    app.new_todo.fill("half a thou")

    sample.edit(HEADER, "<h1>Todos</h1>", "<h1>Our todos</h1>")

    expect(app.heading).to_have_text("Our todos", timeout=EDIT_TIMEOUT * 1000)
    expect(app.new_todo).to_have_value("half a thou")
    assert app.was_not_reloaded


def test_css_edit_keeps_the_state_of_the_page(sample: Sample, app: TodoPage) -> None:
    """A colour changes while the typed text and the selected filter remain."""
    app.mark()
    app.new_todo.fill("half a thou")
    app.show("Active")
    add = app.page.get_by_role("button", name="Add", exact=True)

    sample.edit(STYLES, "--accent: #2f6f5e;", "--accent: #123456;")

    docker.until(lambda: app.colour_of(add), lambda colour: colour == "rgb(18, 52, 86)", timeout=EDIT_TIMEOUT)
    expect(app.new_todo).to_have_value("half a thou")
    expect(app.page.get_by_role("button", name="Active")).to_have_attribute("aria-pressed", "true")
    assert app.was_not_reloaded


def test_backend_edit_changes_the_answer(sample: Sample, app: TodoPage) -> None:
    """The same container answers with the new text, and the page shows it."""
    before = sample.ids()
    started = docker.inspect(before["backend"])["State"]["StartedAt"]

    sample.edit(GREETING, "Welcome back!", "Good evening!")

    docker.until(lambda: sample.get("/api/greeting"), lambda text: "Good evening!" in text, timeout=EDIT_TIMEOUT)
    assert sample.ids() == before
    assert docker.inspect(before["backend"])["State"]["StartedAt"] == started
    app.reload()
    expect(app.greeting).to_contain_text("Good evening!")


def test_config_edit_restarts_the_container(sample: Sample) -> None:
    """A sync+restart rule puts the file into the same container and restarts it."""
    before = sample.ids()
    mark = sample.run.mark()

    sample.edit("proxy/Caddyfile", 'respond "ok"', 'respond "fine"')

    sample.run.wait_for("restarted", since=mark, service="proxy", timeout=EDIT_TIMEOUT)
    docker.until(lambda: sample.get("/proxy-health"), lambda text: text == "fine", timeout=EDIT_TIMEOUT)
    assert sample.ids() == before


def test_package_edit_rebuilds_only_its_service(sample: Sample, app: TodoPage) -> None:
    """All other containers are not replaced, and the app works as before."""
    before = sample.ids()
    mark = sample.run.mark()

    sample.edit("backend/package.json", '"version": "1.0.0"', '"version": "1.0.1"')

    rebuilt = sample.run.wait_for("rebuilt", since=mark, timeout=REBUILD_TIMEOUT)
    assert (rebuilt["service"], rebuilt["cause"]) == ("backend", "backend/package.json")
    after = sample.ids()
    assert {service for service in before if before[service] != after[service]} == {"backend"}
    assert '"version": "1.0.1"' in (sample.stack.read("backend", "/app/package.json") or "")
    docker.until(lambda: sample.get("/api/health"), timeout=EDIT_TIMEOUT)
    app.reload()
    app.add("Written after the rebuild")


def test_the_page_shows_which_save_broke_the_backend(sample: Sample, browser: Browser) -> None:
    """Its card is red with the place of the error, which leads to the save, and green after the repair."""
    done = cli.run("page", "--output", "json", cwd=sample.stack.folder, env=sample.env)
    page = browser.new_page()
    show_run(page, json.loads(done.stdout)["url"])
    card = page.get_by_role("listitem").filter(has=page.get_by_role("button", name="backend", exact=True))
    expect(card).to_contain_text(re.compile("healthy|started"), timeout=EDIT_TIMEOUT * 1000)

    sample.edit(GREETING, "export ", "exprot ")

    expect(card).to_contain_text(re.compile(r"greeting\.js:\d+"), timeout=EDIT_TIMEOUT * 1000)
    expect(card).to_have_class(re.compile("tone-bad"))
    card.get_by_role("button", name=re.compile("after the save of .*greeting.js")).click()
    expect(page.get_by_role("region", name="Cause and effect")).to_contain_text("greeting.js")
    sample.edit(GREETING, "exprot ", "export ")
    expect(card).to_have_class(re.compile("tone-good"), timeout=EDIT_TIMEOUT * 1000)
    reload_run(page)
    expect(card).to_have_class(re.compile("tone-good"), timeout=EDIT_TIMEOUT * 1000)
    page.close()


@pytest.mark.parametrize("service", ["client", "backend"])
def test_new_moved_renamed_and_deleted_sources_arrive(sample: Sample, service: str) -> None:
    """After each kind of change the container has exactly the files of the tree."""
    source = sample.stack.folder / service / "src"

    def arrived() -> None:
        docker.until(lambda: sample.tree(service), lambda tree: tree == _tree(source.parent), timeout=EDIT_TIMEOUT)

    (source / "one folder").mkdir()
    (source / "one folder/new.js").write_text("export const one = 1;\n", encoding="utf-8")
    (source / "other.js").write_text("export const other = 1;\n", encoding="utf-8")
    arrived()
    (source / "other.js").rename(source / "one folder/moved.js")
    (source / "one folder").rename(source / "renamed")
    arrived()
    (source / "renamed/new.js").unlink()
    arrived()
    shutil.rmtree(source / "renamed")
    arrived()
    assert "renamed" not in sample.stack.execute(service, "ls", "/app/src").split()


def test_phpmyadmin_is_at_db_localhost(sample: Sample, browser: Browser) -> None:
    """With the profile `tools`, the host name db.localhost shows the app's database in phpMyAdmin."""
    page = browser.new_page()

    LoadedPage(
        page,
        f"http://db.localhost:{sample.port}/",
        page.get_by_role("link", name="todo", exact=True).first.is_visible,
    )

    expect(page).to_have_title(re.compile("phpMyAdmin"))
    page.close()


def test_containers_equal_the_tree_after_all_edits(sample: Sample) -> None:
    """No source of the client or the backend differs, and there was no problem."""
    for service in ("client", "backend"):
        assert sample.tree(service) == _tree(sample.stack.folder / service)
    assert sample.run.all("problem") == []
    assert all(event["atomic"] for event in sample.run.all("synced"))


def test_ctrl_c_leaves_nothing(sample: Sample) -> None:
    """Containers, networks, the volume of this run and all processes are removed; exit code 130."""
    assert sample.stack.leftovers().keys() == {"containers", "networks", "volumes"}

    assert sample.run.stop(signal.SIGINT) == 130

    assert sample.run.all("stopped")[-1]["survivors"] == []
    assert [event["kind"] for event in sample.run.all("removed")].count("volume") == 1
    assert sample.stack.leftovers() == {}
    assert sample.run.survivors() == {}
    assert sample.run.stray == []


def test_sample_compose_file_is_valid_for_plain_compose(tmp_path: Path, compose_env: dict[str, str]) -> None:
    """The file is valid with and without the profile."""
    stack = Stack(copy_sample(tmp_path), unique_name("sample-config"), compose_env)

    plain = stack.compose("config", "--format", "json")
    tools = stack.compose("--profile", "tools", "config", "--format", "json")

    assert _services(plain) == {"proxy", "client", "backend", "mysql"}
    assert _services(tools) == {"proxy", "client", "backend", "mysql", "phpmyadmin"}


def test_backend_passes_its_own_tests(tmp_path: Path) -> None:
    """The Dockerfile's test stage runs the backend's unit tests, and none fails."""
    built = _build(copy_sample(tmp_path), "--target", "test", "--no-cache-filter", "test", "--progress", "plain")

    assert re.search(r"[#ℹ] pass [1-9]", built), built
    assert re.search(r"[#ℹ] fail 0\b", built), built


def test_final_image_serves_the_built_client(tmp_path: Path) -> None:
    """One image of backend and client, runnable without a database: the page, its script and the API answer."""
    name = unique_name("sample-final")
    _build(copy_sample(tmp_path), "--tag", name)
    try:
        port = free_port()
        docker.docker("run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:3000", name)
        page = _until_served(f"http://127.0.0.1:{port}/")
        script = page.partition('src="')[2].partition('"')[0]

        assert script.startswith("/assets/")
        assert "Todos" in _until_served(f"http://127.0.0.1:{port}{script}")
        assert "greeting" in json.loads(_until_served(f"http://127.0.0.1:{port}/api/greeting"))
    finally:
        docker.succeeds("rm", "--force", "--volumes", name)
        docker.succeeds("rmi", name)


def _tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _services(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout)["services"])


def _build(folder: Path, *arguments: str) -> str:
    """The output of `docker build`; a stand-in replaces Node.js if there is one, as in `devenv up`."""
    made = docker.succeeds("image", "inspect", BASE)
    context = ["--build-context", f"node:22=docker-image://{BASE}"] if made else []
    done = subprocess.run(
        ["docker", "buildx", "build", *context, *arguments, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def _until_served(url: str) -> str:
    def get() -> str:
        try:
            with direct.open(url, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    return docker.until(get)
