"""Trees to watch: laid out, changed, and compared with what is in a container."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

COMPOSE_FILE = """\
services:
  app: &app
    build:
      context: ./image
      dockerfile_inline: "FROM {base}{step}"
    command: ["sleep", "infinity"]{user}
    init: true
    stop_grace_period: 1s
    develop:
      watch:
        - {{path: ./src, action: sync, target: /app}}
"""
RESTARTED = """\
  worker:
    <<: *app
    develop:
      watch:
        - {path: ./src/d000, action: sync+restart, target: /app/d000}
"""


def project(folder: Path, base: str, more: str = "", *, user: int = 0) -> Path:
    """The watched folder of a project whose service `app` gets it in /app, which belongs to its `user`."""
    # Compose finds the user of its archives by name alone.
    entry = f"echo app:x:{user}:{user}::/:/bin/sh >>/etc/passwd; echo app:x:{user}: >>/etc/group"
    step = f"\\nRUN {entry}; install -d -o {user} -g {user} /app" if user else ""
    line = "\n    user: app" if user else ""
    (folder / "image").mkdir()
    (folder / "src").mkdir()
    (folder / "compose.yml").write_text(COMPOSE_FILE.format(base=base, step=step, user=line) + more, encoding="utf-8")
    return folder / "src"


def names(files: int, folders: int) -> list[str]:
    """Relative names of so many files, spread evenly."""
    each = -(-files // folders)
    return [f"d{i // each:03}/f{i:05}.txt" for i in range(files)]


def write(folder: Path, relative: Iterable[str], content: bytes) -> None:
    """Write every file, its name before the content: no two are the same."""
    made = set()
    for name in relative:
        path = os.path.join(folder, name)
        parent = os.path.dirname(path)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        with open(path, "wb", buffering=0) as file:
            file.write(name.encode() + content)


def has_size(path: str, size: int) -> bool:
    """Whether the file is there and so long."""
    try:
        return os.stat(path).st_size == size
    except OSError:
        return False


def differences(source: Path, target: Path) -> int:
    """Files that are missing, too many, or of another content in the target."""
    here, there = dict(_files(source)), dict(_files(target))
    same = sum(1 for name, path in here.items() if name in there and _content(path) == _content(there[name]))
    return len(here | there) - same


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for name in files:
            path = os.path.join(where, name)
            yield os.path.relpath(path, folder), path


def _content(path: str) -> bytes | None:
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def git(folder: Path, *args: str) -> None:
    """Run git in the folder, without the user's settings."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0", "-c", "core.fsync=none")
    subprocess.run(["git", *who, *args], cwd=folder, env=env, check=True, capture_output=True)
