"""Who is compared: `devenv up` of this checkout, and `docker compose watch` as installed and newer."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import engine
from benchmarks.waiting import until

UP = 180.0  # seconds
DOWN = 60.0


@dataclass(frozen=True)
class Contender:
    """How one of them is started: `key` in the results, `label` for people, the words that say that it watches."""

    key: str
    label: str
    argv: tuple[str, ...]
    ready: str
    env: dict[str, str] = field(default_factory=dict)

    @property
    def is_devenv(self) -> bool:
        """Whether it is ours."""
        return self.key == "devenv"


def contenders(newer: str | None) -> list[Contender]:
    """devenv, the installed Compose, and the one whose DOCKER_CONFIG is given."""
    devenv = (sys.executable, "-m", "devenv", "up", "--output", "json")
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # as it is where pip has installed it
    found = [Contender("devenv", "devenv", devenv, '"event": "ready"', compiled), _compose("compose", {})]
    return [*found, _compose("newer", {"DOCKER_CONFIG": newer})] if newer else found


def _compose(key: str, env: dict[str, str]) -> Contender:
    version = engine.docker("compose", "version", "--short", env=env).partition("-")[0]
    return Contender(key, f"Compose {version}", ("docker", "compose", "watch"), "atch enabled", env)


@dataclass
class Watcher:
    """A contender at work on a project folder."""

    contender: Contender
    folder: Path
    project: str
    child: subprocess.Popen[bytes]
    log: Path
    seconds: float  # from its start until it said that it watches

    @property
    def key(self) -> str:
        """The contender's."""
        return self.contender.key

    @property
    def source(self) -> Path:
        """The watched folder."""
        return self.folder / "src"

    def container(self, service: str = "app") -> str:
        """The id of the service's container."""
        return engine.containers(self.project, service)[0]

    def target(self, service: str = "app") -> Path:
        """The folder in the container that the watched one is synced to, as this machine sees it."""
        return engine.root(self.container(service)) / "app"

    def pids(self) -> list[int]:
        """The watching process and its descendants."""
        children: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            children.setdefault(parent, []).append(int(stat.parent.name))
        found = [self.child.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def step(self, name: str) -> float:
        """Seconds that a step of `devenv up` took."""
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if (event["event"], event.get("name"), event.get("state")) == ("step", name, "end"):
                    return float(event["seconds"])
        raise LookupError(name)

    def signal(self, number: int) -> None:
        """The signal for all that watches."""
        for pid in self.pids():
            os.kill(pid, number)

    def prove(self) -> None:
        """Returns when saves arrive: a watcher may say that it watches before it does. Raises SystemExit."""
        arrived = self.target() / "proof"
        for _ in range(20):
            content = secrets.token_hex(8)
            (self.source / "proof").write_text(content)
            if until(partial(reads, arrived, content), 3.0) is not None:
                return
        raise SystemExit(f"{self.contender.label}: no save arrives\n{tail(self.log)}")


def reads(path: Path, content: str) -> bool:
    """Whether the file is there with this content."""
    try:
        return path.read_text(encoding="ascii") == content
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a project, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="devenv-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def watching(contender: Contender, folder: Path, *more: str) -> Iterator[Watcher]:
    """The contender started in the folder, past the words that say that it watches; everything is gone afterwards."""
    project = f"bench-{contender.key}-{secrets.token_hex(3)}"
    place = Path(tempfile.mkdtemp(prefix="devenv-bench-log-"))
    env = {**os.environ, **contender.env, "COMPOSE_PROJECT_NAME": project, "XDG_STATE_HOME": str(place)}
    log = place / "log"
    child = None
    print(f"  {contender.label} ...", file=sys.stderr, flush=True)
    try:
        if more:  # --no-up: it watches what is there
            engine.docker("compose", "up", "-d", "--build", env=env, cwd=folder)
        with log.open("wb") as out:
            child = subprocess.Popen(
                [*contender.argv, *more], cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True
            )
        yield Watcher(contender, folder, project, child, log, _await_words(contender, child, log))
    finally:
        if child is not None:
            _end(child)
        down = ["docker", "compose", "down", "-v", "-t", "1", "--rmi", "local"]
        subprocess.run(down, cwd=folder, env=env, capture_output=True, check=False)
        shutil.rmtree(place, ignore_errors=True)


def _await_words(contender: Contender, child: subprocess.Popen[bytes], log: Path) -> float:
    def said() -> bool:
        return contender.ready in log.read_text(errors="replace") or child.poll() is not None

    taken = until(said, UP, rest=0.005)
    if taken is None or child.poll() is not None:
        raise SystemExit(f"{contender.label}: did not come up\n{tail(log)}")
    return taken


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if child.poll() is None:
            os.killpg(child.pid, number)
            os.killpg(child.pid, signal.SIGCONT)
            until(lambda: child.poll() is not None, DOWN / 2)
    time.sleep(0.1)


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
