"""The demo's whole loop, unattended: up, an edit of each side seen on the served site, down, nothing left.

It works on a copy of the sample app; arguments go to `devenv up`. Exit code 0, or 1 and the error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from pathlib import Path
from typing import IO, Any, NoReturn

SAMPLE = Path(__file__).parents[1] / "sample-todo-app"
PROJECT = "todo-demo-check"
HEADER = "client/src/components/Header.jsx"
GREETING = "backend/src/greeting.js"
UP_TIMEOUT = 1800.0  # seconds; the first run builds or pulls the images
EDIT_TIMEOUT = 30.0
DOWN_TIMEOUT = 120.0

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class CheckError(Exception):
    """The check failed."""


class Up:
    """A running `devenv up --stand-ins --output json` and its events."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.events: list[dict[str, Any]] = []
        self.last_lines: deque[str] = deque(maxlen=40)
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devenv", "up", "--stand-ins", "--output", "json", *arguments],
            cwd=folder,
            env={**os.environ, "COMPOSE_PROJECT_NAME": PROJECT},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C goes to this process only, which sends devenv its signal
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, event: str, timeout: float) -> dict[str, Any]:
        """The first event of that name. Raises CheckError if time is up or devenv has ended."""
        deadline = time.monotonic() + timeout
        with self._more:
            while True:
                for candidate in self.events:
                    if candidate.get("event") == event:
                        return candidate
                if not self._readers[0].is_alive():
                    raise CheckError(f"devenv ended with {self.process.wait()} before `{event}`")
                if time.monotonic() > deadline:
                    raise CheckError(f"no `{event}` within {timeout:.0f} s")
                self._more.wait(0.2)

    def interrupt(self) -> int:
        """The exit code after Ctrl-C. Raises CheckError if devenv does not end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(DOWN_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise CheckError(f"devenv did not end within {DOWN_TIMEOUT:.0f} s of Ctrl-C") from None
        for reader in self._readers:
            reader.join(5)
        return code

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._more:
                self.last_lines.append(line.rstrip())
                if line.startswith("{"):
                    self.events.append(json.loads(line))
                    _tell(self.events[-1])
                self._more.notify_all()
        with self._more:
            self._more.notify_all()


def check(folder: Path, arguments: list[str]) -> list[tuple[str, float]]:
    """The steps and their seconds. Raises CheckError."""
    times = []
    up = Up(folder, arguments)
    try:
        began = time.monotonic()
        site = up.wait_for("ready", UP_TIMEOUT)["urls"][0].rstrip("/")
        times.append(("up, until every service was healthy", time.monotonic() - began))
        seconds = _edit(folder / HEADER, r"<h1>([^<]+)</h1>", "Checked todos", f"{site}/src/components/Header.jsx")
        times.append(("edit of a component, until the site served it", seconds))
        seconds = _edit(folder / GREETING, r"'([^']+)'", "Hello from the check!", f"{site}/api/greeting")
        times.append(("edit of the backend, until the API answered it", seconds))
        began = time.monotonic()
    except CheckError as error:
        _end_badly(up, error)
    except BaseException:
        up.interrupt()
        raise
    code = up.interrupt()
    times.append(("down, after Ctrl-C", time.monotonic() - began))
    try:
        _check_end(up, code)
    except CheckError as error:
        _end_badly(up, error)
    return times


def _end_badly(up: Up, error: CheckError) -> NoReturn:
    try:
        up.interrupt()
    except CheckError as another:
        error = CheckError(f"{error}; {another}")
    raise CheckError("\n".join([*up.last_lines, "", str(error)])) from None


def _check_end(up: Up, code: int) -> None:
    if code != 128 + signal.SIGINT:
        raise CheckError(f"devenv ended with {code}, not with {128 + signal.SIGINT}")
    if survivors := up.wait_for("stopped", 0)["survivors"]:
        raise CheckError(f"devenv could not remove: {', '.join(survivors)}")
    if left := _leftovers():
        raise CheckError(f"left on the engine: {', '.join(left)}")


def _edit(file: Path, pattern: str, text: str, address: str) -> float:
    """Seconds from the save until `address` serves `text`, which replaces the pattern's group in the file."""
    source = file.read_text(encoding="utf-8")
    match = re.search(pattern, source)
    if match is None:
        raise CheckError(f"{file.name} has nothing like {pattern}")
    _get(address)  # a first request would include the first compilation in the time
    file.write_text(source[: match.start(1)] + text + source[match.end(1) :], encoding="utf-8")
    saved = time.monotonic()
    while text not in _get(address):
        if time.monotonic() - saved > EDIT_TIMEOUT:
            raise CheckError(f"{address} did not serve the edit of {file.name} within {EDIT_TIMEOUT:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - saved


def _get(address: str) -> str:
    try:
        with direct.open(address, timeout=10) as answer:
            return str(answer.read().decode(errors="replace"))
    except (urllib.error.URLError, OSError):
        return ""  # the backend is restarting


def _leftovers() -> list[str]:
    listings = (["ps", "-aq"], ["network", "ls", "-q"], ["volume", "ls", "-q"])
    label = f"--filter=label=com.docker.compose.project={PROJECT}"
    leftovers: list[str] = []
    for listing in listings:
        listed = subprocess.run(["docker", *listing, label], capture_output=True, text=True, check=True)
        leftovers += [f"{listing[0]} {name}" for name in listed.stdout.split()]
    return leftovers


def _tell(event: dict[str, Any]) -> None:
    match event:
        case {"event": "step", "name": name, "state": "begin"}:
            print(f"  {name} ...", flush=True)
        case {"event": "image", "reference": reference, "state": "making" | "pulling" as state, "detail": ""}:
            print(f"    {state} {reference}", flush=True)
        case {"event": "image", "reference": reference, "state": "made" | "pulled" as state}:
            print(f"    {state} {reference}", flush=True)
        case {"event": "problem" | "notice", "message": message}:
            print(f"  {message}", flush=True)


def main(arguments: list[str]) -> int:
    """Run the check; return the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    ignored = shutil.ignore_patterns("node_modules", "dist", "data", "*.sqlite")
    with tempfile.TemporaryDirectory(prefix="devenv demo ") as scratch:
        folder = Path(shutil.copytree(SAMPLE, Path(scratch) / SAMPLE.name, ignore=ignored))
        try:
            times = check(folder, arguments)
        except CheckError as error:
            print(error, file=sys.stderr)
            print("demo check: failed", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
    print()
    for step, seconds in times:
        print(f"{step:<48} {seconds:8.2f} s")
    print("nothing left on the engine")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
