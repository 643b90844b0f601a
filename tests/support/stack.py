"""Small Compose projects for tests, each with its own folder and a unique name."""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from support import docker_cli

PREFIX = f"dvt{secrets.token_hex(3)}"
SAMPLE = Path(__file__).parents[2] / "sample-todo-app"

# A main process that does nothing and ends at once on TERM, as it should ($$ is Compose's way to write $).
IDLE = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 1000 & wait $$!; done"]


# With a health check, `devenv up` need not wait two seconds for a crash.
HEALTHY = {"test": "true", "interval": "1h", "start_interval": "0.1s", "start_period": "1h"}


def idle_service(**more: Any) -> dict[str, Any]:
    """A service that is healthy at once and does nothing, with more keys of the Compose specification.

    With another command or `healthcheck=None` it has no health check.
    """
    healthcheck = None if "command" in more else HEALTHY
    service = {"image": docker_cli.BASE_IMAGE, "command": IDLE, "healthcheck": healthcheck, **more}
    return {key: value for key, value in service.items() if value is not None}


def built_service(dockerfile: str, **more: Any) -> dict[str, Any]:
    """An idle service with its own image: the base image and these lines of a Dockerfile."""
    build = {"context": ".", "dockerfile_inline": f"FROM {docker_cli.BASE_IMAGE}\n{dockerfile}\n"}
    return {"build": build, **idle_service(image=None, **more)}


def unique_name(hint: str = "") -> str:
    """A project name that no other test and no other test run has."""
    readable = re.sub(r"[^a-z0-9]+", "-", hint.lower().removeprefix("test_")).strip("-")[:30]
    return f"{PREFIX}-{readable}-{secrets.token_hex(2)}".replace("--", "-")


def place_of(folder: Path, text: str) -> str:
    """FILE:LINE of the only line of the folder's compose.yml that has the text."""
    lines = (folder / "compose.yml").read_text(encoding="utf-8").splitlines()
    (number,) = (number for number, line in enumerate(lines, 1) if text in line)
    return f"compose.yml:{number}"


def free_port() -> int:
    """A TCP port on the loopback address that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@functools.cache
def plugin(name: str, config: str | None = None) -> tuple[str, dict[str, str]]:
    """The plugin that `docker NAME` starts with this DOCKER_CONFIG, and what it adds to the environment.

    Without the CLI before it, which takes twice its processor time.
    """
    shown = (
        f'--format={{{{range .ClientInfo.Plugins}}}}{{{{if eq .Name "{name}"}}}}{{{{.Path}}}}{{{{end}}}}{{{{end}}}}'
    )
    program = docker_cli.docker("info", shown, env={"DOCKER_CONFIG": config} if config else None)
    return program, {"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": shutil.which("docker") or ""}


class Stack:
    """A Compose project in `folder`; `env` is the environment of its compose and devenv commands."""

    def __init__(self, folder: Path, name: str, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.name = name
        self.env = {"COMPOSE_PROJECT_NAME": name, **(env or {})}
        folder.mkdir(parents=True, exist_ok=True)

    def compose_file(self, services: Mapping[str, Any], **top_level: Any) -> Path:
        """Write compose.yml with these services and further top-level keys."""
        model = {"name": self.name, "services": dict(services), **top_level}
        return self.write("compose.yml", yaml.safe_dump(model, sort_keys=False))

    def write(self, path: str, text: str) -> Path:
        """Write a file below the project's folder; missing folders are created."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def compose(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run plain `docker compose ARGS` in the project's folder to its end, with its output as text."""
        program, given = plugin("compose", self.env.get("DOCKER_CONFIG"))
        return subprocess.run(
            [program, "compose", *args],
            cwd=self.folder,
            env={**os.environ, **given, **self.env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def containers(self, service: str | None = None) -> list[str]:
        """Ids of the project's containers, running or not."""
        return docker_cli.containers(self.name, service)

    def container(self, service: str) -> str:
        """The id of the service's only container; while one is replaced, there are two for a moment."""
        (only,) = docker_cli.until(lambda: self.containers(service), lambda found: len(found) < 2)
        return only

    def read(self, service: str, path: str) -> str | None:
        """The text of a file in the service's only container; None if there is none."""
        return docker_cli.read(self.container(service), path)

    def read_all(self, service: str, path: str) -> set[str | None]:
        """The text of a file in the service's containers, each different text once."""
        return {docker_cli.read(container, path) for container in self.containers(service)}

    def execute_in_all(self, service: str, *argv: str) -> None:
        """Run a command in every container of the service."""
        for container in self.containers(service):
            docker_cli.execute(container, *argv)

    def execute(self, service: str, *argv: str) -> str:
        """The output of a command in the service's only container."""
        return docker_cli.execute(self.container(service), *argv)

    def leftovers(self) -> dict[str, list[str]]:
        """Kind -> names of the project's objects that the engine still has, without empty kinds."""
        leftovers = {
            "containers": self.containers(),
            "networks": docker_cli.networks(self.name),
            "volumes": docker_cli.volumes(self.name),
        }
        return {kind: names for kind, names in leftovers.items() if names}

    def remove(self) -> None:
        """Remove all objects of this project from the engine, with the images that were built for it."""
        docker_cli.remove_project(self.name)
        docker_cli.remove_images(self.name)


NewStack = Callable[..., Stack]


def copy_sample(folder: Path) -> Path:
    """Copy the sample todo app below `folder`, so that a test may edit it."""
    ignored = shutil.ignore_patterns("node_modules", "dist", "data", "*.sqlite")
    return Path(shutil.copytree(SAMPLE, folder / "sample-todo-app", ignore=ignored))
