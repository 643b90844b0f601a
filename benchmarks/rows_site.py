"""Row 7: an edit of a Vite component, until the site serves it; the sample app's own client, for each contender."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import yaml

from benchmarks import engine
from benchmarks.bench import Bench
from benchmarks.contenders import Watcher, scratch, watching
from benchmarks.figures import FLOOR, Figure, Wish, paired
from benchmarks.report import ROOT
from benchmarks.waiting import until

SAMPLE = ROOT / "sample-todo-app"
COMPONENT = "client/src/components/Header.jsx"
CAP = 15.0
REST = 0.7


def run(bench: Bench) -> None:
    """Edits in turn, each from idle."""
    rounds: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        watchers = []
        for contender in bench.contenders:
            folder = stack.enter_context(scratch())
            _client(folder)
            watchers.append(stack.enter_context(watching(contender, folder)))
        sites = [Site(watcher) for watcher in watchers]
        for site in sites:
            site.warm()
        for _ in range(bench.scale.edits):
            for site in bench.order.sample(sites, len(sites)):
                time.sleep(REST)
                rounds[site.watcher.key].append((site.edit(site.save) or CAP) * 1000)
        with engine.shell(sites[0].container) as shell:
            for _ in range(bench.scale.edits):
                time.sleep(REST)
                rounds[FLOOR].append((sites[0].edit(lambda text: sites[0].put(shell, text)) or CAP) * 1000)
    ratios = {key: paired(values, rounds["devenv"]) for key, values in rounds.items() if key not in ("devenv", FLOOR)}
    p50 = {key: statistics.median(values) for key, values in rounds.items()}
    bench.series["site"] = {key: [round(value, 1) for value in values] for key, values in rounds.items()}
    beyond = tuple(key for key, value in p50.items() if value >= CAP * 1000)
    bench.add(Figure(7, "edit of a Vite component, served, p50", "ms", p50, beyond, Wish(45), ratios))


def _client(folder: Path) -> None:
    """The sample's client service alone, on the Node image that is here."""
    ignored = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(SAMPLE / "client", folder / "client", ignore=ignored)
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(SAMPLE / name, folder / name)
    model = yaml.safe_load((SAMPLE / "compose.yml").read_text(encoding="utf-8"))
    service = model["services"]["client"]
    if (node := engine.image(engine.NODE)) != engine.NODE:
        service["build"]["additional_contexts"] = {engine.NODE: f"docker-image://{node}"}
    (folder / "compose.yml").write_text(yaml.safe_dump({"services": {"client": service}}), encoding="utf-8")


class Site:
    """One contender's Vite, asked for one module."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.container = watcher.container("client")
        self._address = engine.address(self.container)
        self._file = watcher.folder / COMPONENT
        self._source = self._file.read_text(encoding="utf-8")

    def warm(self) -> None:
        """Returns when edits arrive. Raises SystemExit."""
        for _ in range(12):
            if self.edit(self.save, 5.0) is not None:
                return
        raise SystemExit(f"{self.watcher.contender.label}: no edit arrives on the site")

    def edit(self, save: Callable[[str], None], cap: float = CAP) -> float | None:
        """Seconds from an edit until it is served, None after `cap`."""
        word = secrets.token_hex(8)
        connection = http.client.HTTPConnection(self._address, 5173, timeout=CAP)
        with contextlib.closing(connection):
            self._serves(connection, word)
            began = time.perf_counter()
            save(self._source.replace("Todos", word))
            return until(lambda: self._serves(connection, word), cap, rest=0.001, began=began)

    def save(self, text: str) -> None:
        """As an editor does."""
        self._file.write_text(text, encoding="utf-8")

    def put(self, shell: engine.Shell, text: str) -> None:
        """Straight into the container: what nobody can be faster than."""
        with scratch() as folder:
            (folder / "file").write_text(text, encoding="utf-8")
            engine.put(self.container, "/app/src/components", engine.tar(folder / "file", "Header.jsx~"))
        shell.run("mv -f /app/src/components/Header.jsx~ /app/src/components/Header.jsx")

    def _serves(self, connection: http.client.HTTPConnection, word: str) -> bool:
        try:
            connection.request("GET", f"/{COMPONENT.removeprefix('client/')}")
            return word.encode() in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()  # not up yet; the next request connects again
            return False
