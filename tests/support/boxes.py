"""Containers of three kinds of image, started without Compose and identified by its labels only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import docker_cli
from support.stack import IDLE, unique_name

SERVICE_LABEL = "com.docker.compose.service"
APPLETS = (
    "sh",
    "cat",
    "chmod",
    "chown",
    "grep",
    "head",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "readlink",
    "rm",
    "rmdir",
    "sleep",
    "stat",
    "touch",
    "wc",
)
SHELL = tuple(part.replace("$$", "$") for part in IDLE)


@dataclass(frozen=True)
class Image:
    """An image, its command, and whether it has a shell: without a shell nothing can be deleted."""

    name: str
    command: tuple[str, ...]
    has_shell: bool = True


def static_busybox() -> str | None:
    """The path of a statically linked busybox; None if there is none."""
    path = shutil.which("busybox")
    linked = subprocess.run(["ldd", path], capture_output=True, check=False).returncode == 0 if path else True
    return None if linked else path


@contextmanager
def built(kind: str, folder: Path) -> Iterator[Image]:
    """Build an image for the block: `debian`, `busybox`, or `scratch` with one program only."""
    if kind == "debian":
        yield Image(docker_cli.BASE_IMAGE, SHELL)
        return
    program = static_busybox()
    assert program is not None, "no static busybox is installed (Debian: apt-get install busybox-static)"
    name = unique_name(kind)
    applets = APPLETS if kind == "busybox" else ("sleep",)
    (folder / "bin").mkdir(parents=True)
    if kind == "busybox":
        shutil.copy(program, folder / "bin/busybox")
        for applet in applets:
            (folder / "bin" / applet).symlink_to("busybox")
    else:
        shutil.copy(program, folder / "bin/sleep")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY bin /bin\n")
    docker_cli.docker("build", "-q", "-t", name, str(folder))
    try:
        yield Image(name, SHELL if kind == "busybox" else ("/bin/sleep", "86400"), has_shell=kind == "busybox")
    finally:
        docker_cli.succeeds("rmi", "-f", name)


class Boxes:
    """The containers of one service of one project, started and stopped with plain Docker."""

    def __init__(self, image: Image, project: str, *options: str, service: str = "app") -> None:
        self.image = image
        self.project = project
        self.service = service
        self._options = options
        self._doing: list[subprocess.Popen[bytes]] = []

    @property
    def ids(self) -> list[str]:
        """All containers, running or not, the newest first."""
        return docker_cli.containers(self.project, self.service)

    def start(self) -> str:
        """Start one more container; return its id."""
        return docker_cli.docker(*self._run())

    def _run(self) -> list[str]:
        labels = {docker_cli.PROJECT_LABEL: self.project, SERVICE_LABEL: self.service}
        named = [f"--label={key}={value}" for key, value in labels.items()]
        name = f"--name={unique_name('box')}"
        return ["run", "-d", "--stop-timeout=1", name, *named, *self._options, self.image.name, *self.image.command]

    def begin(self, *argv: str) -> None:
        """Start a docker command in the background, after the one before it has ended."""
        self.wait()
        self._doing.append(subprocess.Popen(["docker", *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def begin_start(self) -> None:
        """Start one more container in the background."""
        self.begin(*self._run())

    def wait(self) -> None:
        """Wait until all docker commands in the background have ended."""
        for child in self._doing:
            child.wait(60)
        self._doing.clear()

    def all_running(self) -> list[str]:
        """Start or unpause everything; return the ids, at least one."""
        self.wait()
        ids = self.ids or [self.start()]
        for container in ids:
            state = docker_cli.inspect(container)["State"]
            if state["Paused"]:
                docker_cli.docker("unpause", container)
            elif not state["Running"]:
                docker_cli.docker("start", container)
        return ids

    def remove(self) -> None:
        """Remove all containers."""
        self.wait()
        docker_cli.remove_project(self.project)
