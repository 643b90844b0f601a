"""Sample facts and events for the live view, of projects with few and many services, without an engine.

Run as a program, it shows a story in a view on its own terminal until the view is closed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio

from devenv import events as e
from devenv.errors import DevenvError
from devenv.model.graph import Fact, Graph, Node, ServiceGraph, ServiceStats, ViewCommand
from devenv.model.project import Condition, Dependency
from devenv.run.page import PageAddress
from devenv.ui.cells import Row
from devenv.ui.console import Console
from devenv.ui.live import app
from devenv.ui.live.app import LiveView

Told = e.Event | Fact
MB = 2**20
WORDS = ("api", "auth", "billing", "cache", "cart", "db", "edge", "feed", "geo", "hooks")


def two() -> Iterator[Told]:
    """A page and its database, up, with a sync and an error in the log."""
    needs = (Dependency("db", Condition.HEALTHY),)
    graph = Graph("shop", (Node("db", ports=("5432",)), Node("web", needs, ("8080:80",))))
    yield ServiceGraph(graph, frozenset({"web"}))
    yield e.Step("start", "begin")
    for name in ("db", "web"):
        yield e.ServiceState(name, "healthy")
    yield e.Step("healthy", "end", seconds=3.2)
    yield ServiceStats("db", "c1", (), 1.0, 61 * MB)
    yield ServiceStats("web", "c2", ("http://localhost:8080/",), 12.0, 184 * MB, restarts=1)
    yield e.Ready("shop", ("http://localhost:8080/",), 4.2)
    yield e.Log("db", "ready to accept connections")
    yield e.Log("web", "\x1b[32mGET\x1b[0m /items 200 in 12 ms \x1b]0;owned\x07")
    yield e.Log("web", "Error: connect ECONNREFUSED 127.0.0.1:9999", "stderr", level="error")
    yield e.Log("web", "    at Socket.emit (node:events:518:28) " + "and so on " * 8, level="error")
    yield e.Synced("web", 2, 0, 900, 13.0, ("src/app.js", "src/style.css"))


def waiting() -> Iterator[Told]:
    """The same during its start: a build, a pull, and a database that is not healthy."""
    yield from list(two())[:1]
    yield e.ImageState("postgres:16", "pulling", "3 of 8 layers, 12 of 40 MB")
    yield e.Step("build", "begin")
    for line in (
        "#1 [internal] load build definition", "#5 [web 1/3] FROM node:22", "#5 CACHED",
        "#6 [web 2/3] COPY . .", "#6 DONE 0.2s", "#7 [web 3/3] RUN npm ci", "#7 1.2 added 12 packages",
    ):  # fmt: skip
        yield e.Step("build", "detail", line)
    yield e.ServiceState("db", "starting", "waits for its health check")
    yield e.ServiceState("web", "created", "waits for db to be healthy")
    yield e.Waiting("db", "waits for its health check", 15.0, ("web",), "starting", "connection refused")


def failed() -> Iterator[Told]:
    """A rebuild that failed: its step remains shown."""
    yield from two()
    yield e.Step("rebuild", "begin", "web: package.json changed")
    for line in ("#6 [web 2/3] COPY . .", "#6 DONE 0.2s", "#7 [web 3/3] RUN npm ci", "#7 1.2 npm error code E404",
                 "#7 1.2 npm error 404 not found: lefft-pad", "#7 ERROR: process did not complete"):  # fmt: skip
        yield e.Step("build", "detail", line)
    yield e.Problem("the build of `web` failed: `RUN npm ci` ended with exit code 1", service="web")


def fifty() -> Iterator[Told]:
    """Fifty services, one failed and one starting."""
    names = [f"{WORDS[i % 10]}-{i // 10}" for i in range(50)]
    yield ServiceGraph(Graph("galaxy", tuple(Node(name) for name in names)), frozenset(names))
    for index, name in enumerate(names):
        yield e.ServiceState(name, "healthy" if index % 3 else "started")
        urls = (f"http://localhost:{8000 + index}/",) if index % 2 else ()
        yield ServiceStats(name, f"c{index}", urls, float(index % 7), (20 + index) * MB)
    yield e.Ready("galaxy", ("http://localhost:8001/",), 31.0)
    yield e.ServiceState("auth-0", "exited", "exit code 3")
    yield e.ServiceState("db-2", "starting", "waits for its health check")
    for index, name in enumerate(names * 2):
        yield e.Log(name, f"request {index} handled")
    yield e.Synced("api-0", 1, 0, 90, 9.0, ("api/main.py",))


STORIES: dict[str, Callable[[], Iterator[Told]]] = {
    "two": two, "waiting": waiting, "failed": failed, "fifty": fifty,
}  # fmt: skip


def _out_of_paint(*_: object) -> list[Row]:
    raise ValueError("out of paint")


class SilentController:
    """Ignores every command."""

    def __init__(self, view: LiveView | None = None) -> None:
        self._view = view

    def ask(self, wish: ViewCommand) -> None:
        """Ignore the command."""

    async def page(self) -> PageAddress:
        """Raise the error of a run that starts."""
        raise DevenvError("the page opens once the start has ended")

    async def shell(self, _container: str) -> None:
        """Print words on the terminal instead of a shell."""
        print("this is the shell")  # noqa: T201 - as a shell would
        if self._view is not None:
            self._view.emit(e.Log("web", "while somebody is in the shell"))
            await anyio.sleep(0.5)
        raise DevenvError("no shell in that container")


async def main(name: str) -> int:
    """Show the story, then wait for the end."""
    view, fault = LiveView(Console()), os.environ.get("STORY_FAULT")
    view.controller = SilentController(view)
    heard = (signal.SIGINT,) if fault == "deaf" else (signal.SIGINT, signal.SIGTERM)

    async def work() -> int:
        with anyio.open_signal_receiver(*heard) as signals:
            for event in STORIES[name]():
                view.emit(event) if isinstance(event, e.Event) else view.learn(event)
            if fault == "crash":
                await anyio.sleep(0.5)
                raise SystemExit(1)
            if fault == "draw":
                setattr(app, "screen", _out_of_paint)  # noqa: B010 - a name that it does not give away
                view.learn(ServiceStats("db"))
            if fault == "flood":
                for number in range(400):
                    view.emit(e.Log("web", f"line {number} of a flood"))
                    await anyio.sleep(0.005)
                Path(os.environ["STORY_TOLD"]).touch()
            async for sign in signals:
                view.leave()
                if fault == "slow":
                    with anyio.move_on_after(0.5):
                        await anext(signals)
                        return 1
                return 128 + sign
        return 0

    return await view.run(work)


if __name__ == "__main__":
    sys.exit(anyio.run(main, sys.argv[1]))
