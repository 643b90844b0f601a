"""The phases of a run: for each, a project that has it and a way to reach it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import docker_cli
from support.cli import Devenv
from support.proxy import Proxy
from support.stack import Stack, built_service, idle_service
from support.upper import Up

DATA = {"volumes": ["data:/data"]}


def processes(word: str) -> list[str]:
    """The command lines, on this machine and in its containers, that contain the word."""
    commands = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if folder.name.isdigit() and word in command and folder.name != str(os.getpid()):
                commands.append(command)
    return commands


class Phases:
    """For each phase of a run: its project, and the way to reach it."""

    def __init__(self, stack: Stack, up: Up, proxy: Proxy | None = None) -> None:
        """The proxy is what the project's commands reach the engine through in the phases of a volume's content."""
        self.stack = stack
        self.up = up
        self.proxy = proxy
        self.word = secrets.token_hex(4)

    def _services(self, **services: Any) -> None:
        self.stack.compose_file(services, volumes={"data": {}})

    def load(self) -> Devenv:
        """The files are being read."""
        self._services(db=idle_service(**DATA))
        run = self.up(self.stack)
        run.wait_for("step", name="load", state="begin")
        return run

    def build(self) -> Devenv:
        """A build step runs."""
        self._services(db=built_service(f"RUN sleep 60; : {self.word}", **DATA))
        run = self.up(self.stack)
        docker_cli.until(lambda: processes(self.word))
        return run

    def restore(self) -> Devenv:
        """A volume is being restored, and the engine does not answer."""
        assert self._with_data().stop() == 130
        with self._held("PUT"):
            return self.up(self.stack)

    def saving(self) -> Devenv:
        """A run has been ended, a volume is being saved, and the engine does not answer."""
        run = self._with_data()
        with self._held("GET"):
            run.send_signal(signal.SIGINT)
        return run

    @contextlib.contextmanager
    def _held(self, method: str) -> Iterator[None]:
        """Wait at the end of the block until a call for the content of a volume was held; it is never answered."""
        assert self.proxy is not None
        self.proxy.chaos(100, ("stall",), only=lambda call: call.method == method and call.path.endswith("/archive"))
        yield
        calls = self.proxy.calls
        docker_cli.until(lambda: [call for call in calls if call.fault])
        self.proxy.calm()

    def _with_data(self) -> Devenv:
        assert self.proxy is not None
        self.stack.env["DOCKER_HOST"] = self.proxy.host
        run = self.ready()
        self.stack.execute("db", "sh", "-c", "echo precious >/data/marker")
        time.sleep(1)  # by then `db` is known to be well
        return run

    def start(self) -> Devenv:
        """Compose starts the services."""
        self._services(db=idle_service(**DATA), web=idle_service(depends_on=["db"]))
        run = self.up(self.stack)
        run.wait_for("step", name="start", state="begin")
        return run

    def create(self) -> Devenv:
        """The first of several containers exists."""
        self._services(**{f"s{n}": idle_service(**DATA) for n in range(4)})
        run = self.up(self.stack)
        docker_cli.until(self.stack.containers)
        return run

    def healthy(self) -> Devenv:
        """A health check has not succeeded yet, and a service waits for it."""
        sick = {"test": ["CMD", "false"], "interval": "1s", "start_period": "60s"}
        waiting = idle_service(depends_on={"db": {"condition": "service_healthy"}})
        self._services(db=idle_service(healthcheck=sick, **DATA), web=waiting)
        run = self.up(self.stack)
        run.wait_for("service", service="db", state="starting")
        return run

    def ready(self) -> Devenv:
        """All services are up."""
        self._services(db=idle_service(**DATA), web=idle_service())
        return self.up.ready(self.stack)

    def sync(self) -> Devenv:
        """Many files are being copied into a container."""
        rule = {"path": "./src", "action": "sync", "target": "/app"}
        self.stack.write("src/0", "")
        self._services(db=idle_service(**DATA), web=idle_service(develop={"watch": [rule]}))
        run = self.up.ready(self.stack)
        for number in range(2000):
            self.stack.write(f"src/{number % 7}x/{number}", "x" * 9000)
        return run

    def rebuild(self) -> Devenv:
        """The image of a service is being rebuilt while all is up."""
        rule = {"path": "./seconds", "action": "rebuild"}
        steps = f"COPY seconds /\nRUN sleep $(cat /seconds); : {self.word}"
        web = built_service(steps, develop={"watch": [rule]})
        self.stack.write("seconds", "0")
        self._services(db=idle_service(**DATA), web=web)
        run = self.up.ready(self.stack)
        self.stack.write("seconds", "60")
        docker_cli.until(lambda: processes(self.word))
        return run
