"""The page of a real run: what must not reach it, what it shows in a browser, and that it does not delay a sync."""

from __future__ import annotations

import contextlib
import http.server
import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from support import cli, docker_cli, page_probes
from support.browser import CUT_OFF, is_live, reload_run, show_run
from support.cli import Devenv, end_all
from support.page import Address, first, streamed
from support.stack import Stack, idle_service, unique_name
from support.upper import Up

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.engine, pytest.mark.browser]

LINES, RATE = 10_000, 5_000  # of the flood, and in a second
# Prints the flood each time the file /app/go has another text.
NOISE = """
$| = 1; $SIG{TERM} = sub { exit 0 }; print "goes on with $ENV{SHOP}\\n"; my $done = "";
while (1) {
  my $go = ""; if (open(my $f, "<", "/app/go")) { $go = <$f>; close $f; }
  if ($go && $go ne $done) {
    $done = $go;
    for my $i (1..COUNT) {
      print "$i GET /items/$i 200 in 12 ms\\n"; select(undef, undef, undef, 0.01) if $i % STEP == 0;
    }
    print "goes on with $ENV{SHOP}\\n";
  }
  select(undef, undef, undef, 0.05);
}
""".replace("COUNT", str(LINES)).replace("STEP", str(RATE // 100))
RULES = [{"path": "./src", "action": "sync", "target": "/app"}]
LIMIT = 30_000  # milliseconds
SAVES = 20


@dataclass
class Site:
    """A project that runs in the background."""

    stack: Stack
    run: Devenv
    env: dict[str, str]

    def page(self, *options: str) -> Address:
        """The address of its page."""
        done = cli.run("page", *options, "--output", "json", cwd=self.stack.folder, env=self.env)
        assert done.returncode == 0, done.stderr
        return Address(json.loads(done.stdout)["url"])

    def save(self, path: str, text: str) -> None:
        """Save a file."""
        self.stack.write(path, text)


@pytest.fixture(scope="module")
def site(engine: str, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project with a service that can print much."""
    scratch = tmp_path_factory.mktemp("page")
    env = {
        "XDG_STATE_HOME": str(scratch / "state"),
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "SHOP_TOKEN": "s3cret-of-the-shop",
    }
    stack = Stack(scratch / "project", unique_name("page"), env)
    stack.write("src/app.js", "one")
    web = {
        "command": ["perl", "-e", NOISE.replace("$", "$$")],
        "environment": {"SHOP": "${SHOP_TOKEN}"},
        "develop": {"watch": RULES},
    }
    stack.compose_file({"web": idle_service(**web), "db": idle_service(environment={"DB_KEY": "s3cret-of-the-db"})})
    run = Devenv("up", "-d", cwd=stack.folder, env=env)
    try:
        assert run.wait(120) == 0, run.report()
        yield Site(stack, run, env)
    finally:
        cli.run("down", cwd=stack.folder, env=env)
        end_all([run])
        stack.remove()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab without an error in its console at the end."""
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield page
    page.close()
    assert [error for error in errors if CUT_OFF not in error] == []


def test_nothing_reaches_the_page_without_its_token(site: Site) -> None:
    """Sixty probes: none gets data or an action, and the run goes on without a problem."""
    page, reader = site.page(), site.page("--read-only")
    names = list(page_probes.PROBES)
    assert len(names) >= 40
    with ThreadPoolExecutor(8) as threads:
        results = threads.map(lambda name: page_probes.passes(page, page_probes.PROBES[name]), names)
        found = dict(zip(names, results, strict=True))
    found |= {
        "an action of a reader": page_probes.read_only_action(reader),
        "a request in a body": page_probes.second_request(page),
    }
    assert {name: what for name, what in found.items() if what} == {}
    with page_probes.idle_connections(page, 200):
        assert page_probes.answers(page, 20)
    state = first(page, "state")
    assert [service["phase"] for service in state["services"]] == ["healthy", "started"]
    assert state["problems"] == []


@dataclass
class Eavesdropper:
    """A server on another port of this machine, which records all that browsers send to it."""

    heard: list[str] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def eavesdropper() -> Iterator[Eavesdropper]:
    """An application of the user's own, or of somebody else."""
    its = Eavesdropper()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            its.heard.append(f"{self.requestline}\n{self.headers}\n{self.rfile.read(length)!r}")
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>other</title><body>")

        do_POST = do_OPTIONS = do_GET  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    its.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield its
    server.shutdown()
    server.server_close()
    thread.join()


ATTACK = """async ([url, token]) => {
  const got = {};
  const tries = {
    simple: () => fetch(url + "/api/stream", {method: "POST", body: "{}", credentials: "include"}),
    opaque: () => fetch(url + "/api/stream", {method: "POST", body: "{}", mode: "no-cors"}),
    json: () => fetch(url + "/api/stream", {method: "POST", body: "{}",
      headers: {"Content-Type": "application/json"}}),
    known: () => fetch(url + "/api/stream", {method: "POST", body: "{}",
      headers: {"Content-Type": "application/json", "Authorization": "Bearer " + token}}),
    shell: () => fetch(url + "/"),
    socket: () => new Promise((ok, no) => { const s = new WebSocket(url.replace("http", "ws") + "/api/stream");
      s.onopen = ok; s.onerror = no; }),
  };
  for (const [name, attempt] of Object.entries(tries)) {
    try { got[name] = (await attempt()).type === "opaque" ? "" : "answered"; } catch { got[name] = ""; }
  }
  got.storage = sessionStorage.length || localStorage.length ? "stored" : "";
  const other = window.open(url + "/");
  await new Promise((ok) => setTimeout(ok, 500));
  try { got.window = other.sessionStorage.length ? "read" : ""; } catch { got.window = ""; }
  const frame = document.createElement("iframe");
  frame.src = url + "/";
  document.body.append(frame);
  await new Promise((ok) => frame.addEventListener("load", ok));
  try { got.frame = frame.contentDocument.title; } catch { got.frame = ""; }
  return got;
}"""


def test_another_port_never_sees_the_token(site: Site, browser: Browser, eavesdropper: Eavesdropper) -> None:
    """A server of this machine gets no cookie, no referrer and no header of the page, and its page reads nothing."""
    page, context = site.page(), browser.new_context()
    tab, other = context.new_page(), context.new_page()
    show_run(tab, page.url)
    assert page.token not in tab.url
    assert context.cookies() == []
    for host in ("127.0.0.1", "localhost"):
        other.goto(f"http://{host}:{eavesdropper.port}/")
        got = other.evaluate(ATTACK, [page.origin, "x"])
        assert {name: what for name, what in got.items() if what} == {}
    tab.goto(f"http://127.0.0.1:{eavesdropper.port}/after")
    tab.go_back()
    is_live(tab)
    tab.evaluate(f"location.href = 'http://localhost:{eavesdropper.port}/link'")
    tab.wait_for_url("**/link")
    context.close()
    assert len(eavesdropper.heard) >= 4
    assert not [heard for heard in eavesdropper.heard if page.token in heard or f":{page.port}" in heard]


def test_a_save_is_on_the_timeline_at_once(site: Site, tab: Page) -> None:
    """Within 100 ms of its sync in the quickest of six; then the page is loaded again and shows the same."""
    page = site.page()
    show_run(tab, page.url)
    took = []
    chain = tab.get_by_role("region", name="Cause and effect")
    for number in range(6):
        name = f"src/part{number}.js"
        tab.evaluate(
            """(name) => { window.seen = new Promise((ok) => { const look = () =>
              document.getElementById("chain").textContent.includes(name)
                ? ok(Date.now()) : setTimeout(look, 2);
              look(); }); }""",
            name,
        )
        site.save(name, "x")
        seen = tab.evaluate("window.seen")
        took.append(seen - synced_at(page, name))
        time.sleep(0.5)  # saves that are closer together count as one
    assert min(took) <= 100, took
    reload_run(tab)
    expect(chain).to_contain_text("src/part5.js")
    assert tab.title() == f"{site.stack.name}: 2 of 2 up"


def synced_at(page: Address, name: str) -> float:
    """The time of the sync of this file, in milliseconds since 1970."""
    items = first(page, "timeline")["items"]
    return next(float(item["end"]) for item in items if item["kind"] == "sync" and name in item["files"])


def test_a_flood_of_lines_delays_no_sync(site: Site, tab: Page) -> None:
    """With a page that reads all lines, saves take about as long as without; a browser shows the last line."""
    page = site.page()
    closed = flooded(site, page, "closed")
    with read_by_another(page) as lines:
        opened = flooded(site, page, "opened")
        docker_cli.until(lambda: f"{LINES} GET /items/{LINES} 200 in 12 ms" in lines[-50:], timeout=30)
    assert statistics.median(opened) <= 3 * statistics.median(closed) + 20, (closed, opened)
    show_run(tab, page.url)
    flooded(site, page, "shown")
    expect(tab.locator("#log")).to_contain_text(f"{LINES} GET /items/{LINES} 200", timeout=LIMIT)
    tab.get_by_role("searchbox", name="Filter the log").fill(f"items/{LINES} ")
    expect(tab.locator("#matches")).to_contain_text("2 of", timeout=LIMIT)


@contextlib.contextmanager
def read_by_another(page: Address) -> Iterator[list[str]]:
    """A page that reads all lines; their texts."""
    texts: list[str] = []
    stream = streamed(page)

    def read() -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed below
            for message in stream:
                texts.extend(line[4] for line in message.get("lines", ()))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield texts


def flooded(site: Site, page: Address, name: str) -> list[float]:
    """The milliseconds of each sync of saves during a flood."""
    site.save("src/go", name)
    for number in range(SAVES):
        time.sleep(LINES / RATE / SAVES)
        site.save(f"src/{name}{number}.js", "x")
    synced: list[dict[str, Any]] = []

    def has_all() -> bool:
        items = first(page, "timeline")["items"]
        synced[:] = [item for item in items if item["kind"] == "sync" and f"src/{name}" in str(item["files"])]
        return len({file for item in synced for file in item["files"] if f"src/{name}" in file}) == SAVES

    docker_cli.until(has_all, timeout=LIMIT / 1000)
    return [float(item["end"] - item["start"]) for item in synced]


def test_two_runs_have_two_pages(
    site: Site, browser: Browser, stack: Stack, up: Up, state_env: dict[str, str]
) -> None:
    """In the background and in the foreground; tokens of one are none of the other."""
    stack.compose_file({"web": idle_service()})
    run, env = up.ready(stack), {**state_env, **stack.env}
    other = Address(json.loads(cli.run("page", "--output", "json", cwd=stack.folder, env=env).stdout)["url"])
    assert first(other, "hello")["project"] == stack.name
    assert first(site.page(), "hello")["project"] == site.stack.name
    for origin, token in ((site.page(), other), (other, site.page())):
        mixed = Address(f"{origin.origin}/#{token.token}")
        assert page_probes.passes(mixed, page_probes.stream) == ""
        assert page_probes.passes(origin, page_probes.stream) != ""
    shown = browser.new_page()
    show_run(shown, other.url)
    assert run.stop() == 130
    expect(shown.locator("#connection")).to_have_text("ended", timeout=LIMIT)
    shown.close()
    gone = cli.run("page", cwd=stack.folder, env=env)
    assert (gone.returncode, "has no run" in gone.stderr, "hint: devenv up" in gone.stderr) == (3, True, True)


def test_no_secret_is_on_the_page_or_in_a_report(site: Site, tmp_path: Path) -> None:
    """Values of environments are in no message; a report is for its user alone."""
    path = tmp_path / "run.html"
    done = cli.run("page", "--export", str(path), cwd=site.stack.folder, env=site.env)
    assert (done.returncode, done.stdout.strip()) == (0, str(path))
    text = path.read_text(encoding="utf-8")
    assert "goes on with ***" in text
    for secret in ("s3cret-of-the-shop", "s3cret-of-the-db", site.page().token):
        assert secret not in text
    assert path.stat().st_mode & 0o777 == 0o600
