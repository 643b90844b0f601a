"""`devenv` as users run it: a process of its own, controlled by arguments and signals, read as events."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from support.schemas import violations

MARKER = "DEVENV_TEST_PROCESS"
KEEPER = "-m devenv.keeper"
GUARDIAN = "from devenv.run.cleanup.guardian import main"
Event = dict[str, Any]
CHECKED = 200  # events of a name that are checked against the schema in a run


def kill(*pids: int) -> None:
    """Kill these processes at once."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


class Devenv:
    """`python -m devenv ARGS --output json`, started at once in a session of its own.

    `env` is added to the environment of the tests; a value of None removes a variable. `within` precedes the command
    and has to exec it.
    """

    def __init__(
        self,
        *args: str,
        cwd: Path,
        env: Mapping[str, str | None] | None = None,
        json_output: bool = True,
        within: Sequence[str] = (),
    ) -> None:
        self.marker = secrets.token_hex(8)
        self.json_output = json_output
        self.events: list[Event] = []
        self.stray: list[str] = []
        self._seen: Counter[str] = Counter()
        self.stderr = ""
        self._arrived = threading.Condition()
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "devenv", *args, *(["--output", "json"] if json_output else [])],
            cwd=cwd,
            env=_environment({**(env or {}), MARKER: self.marker}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            start_new_session=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._take_stdout), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._take_stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, event: str, *, timeout: float = 60, since: int = 0, **match: object) -> Event:
        """The first event of that name, at or after index `since`, whose fields are as in `match`.

        A callable in `match` gets the value. Raises AssertionError, with all events so far, if time is up or the
        process ends first.
        """
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                for candidate in self.events[since:]:
                    if candidate.get("event") == event and _matches(candidate, match):
                        return candidate
                left = deadline - time.monotonic()
                if left <= 0 or not self._reading():
                    why = "within the time" if left <= 0 else f"before it ended with {self.process.poll()}"
                    raise AssertionError(f"no `{event}` {match or ''} {why}\n{self.report()}")
                self._arrived.wait(min(left, 0.2))

    def all(self, event: str, **match: object) -> list[Event]:
        """All events of that name so far whose fields are as in `match`."""
        with self._arrived:
            return [
                candidate
                for candidate in self.events
                if candidate.get("event") == event and _matches(candidate, match)
            ]

    def mark(self) -> int:
        """The index of the next event, for `since`."""
        with self._arrived:
            return len(self.events)

    def send_signal(self, sign: int) -> None:
        """Send a signal to devenv itself, not to its children."""
        self.process.send_signal(sign)

    def wait(self, timeout: float = 60) -> int:
        """The exit code, once the process has ended and all its output was read."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s\n{self.report()}") from None
        for reader in self._readers:
            reader.join(10)
        return code

    def stop(self, sign: int = signal.SIGINT, timeout: float = 60) -> int:
        """Send the signal; return the exit code."""
        if self.process.poll() is None:
            self.send_signal(sign)
        return self.wait(timeout)

    def survivors(self, timeout: float = 10) -> dict[int, str]:
        """Pid -> command of the process and its descendants that still live after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (survivors := processes_with(f"{MARKER}={self.marker}")) and time.monotonic() < deadline:
            time.sleep(0.1)
        return survivors

    def keepers(self) -> list[int]:
        """The pids of the processes that hold the run in the background."""
        return [
            p
            for p, command in processes_with(f"{MARKER}={self.marker}").items()
            if KEEPER in command and GUARDIAN not in command
        ]

    def guardians(self) -> list[int]:
        """The pids of the guardians of these processes, and of the run itself."""
        return [p for p, command in processes_with(f"{MARKER}={self.marker}").items() if GUARDIAN in command]

    def end_keepers(self) -> None:
        """Let the processes that hold the run in the background end; they leave its containers as they are."""
        for pid in self.keepers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and all its descendants."""
        for pid in {self.process.pid, *processes_with(f"{MARKER}={self.marker}")}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)

    def report(self, lines: int = 40) -> str:
        """The last events and the end of stderr, for the message of a failed test."""
        events = [json.dumps(event) for event in self.events[-lines:]]
        return "\n".join(["--- events", *events, *self.stray, "--- stderr", self.stderr[-4000:]])

    def _reading(self) -> bool:
        return self._readers[0].is_alive()

    def _read(self, source: IO[str] | None, take: Callable[[str], None]) -> None:
        assert source is not None
        with source:
            for line in source:
                with self._arrived:
                    take(line)
                    self._arrived.notify_all()
        with self._arrived:
            self._arrived.notify_all()

    def _take_stdout(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict):
            self.events.append(event)
            self._seen[event.get("event", "")] += 1
            self.stray += violations(event) if self._seen[event.get("event", "")] <= CHECKED else []
        else:
            self.stray.append(line)

    def _take_stderr(self, line: str) -> None:
        self.stderr += line


StartDevenv = Callable[..., Devenv]


def end_all(runs: Iterable[Devenv]) -> None:
    """Interrupt every run that still runs, and end the processes that hold runs in the background.

    Raises AssertionError if processes are left, or if output under --output json is not an event.
    """
    complaints = []
    for run in runs:
        try:
            run.stop()
        except AssertionError as error:
            complaints.append(str(error))
        run.end_keepers()
        if left := run.survivors():
            complaints.append(f"processes are left: {left}")
        if run.json_output and run.stray:
            complaints.append(f"stdout held more than events: {run.stray[:5]}")
        run.kill()
    assert not complaints, "\n".join(complaints)


def run(
    *args: str,
    cwd: Path,
    env: Mapping[str, str | None] | None = None,
    timeout: float = 120,
    within: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run `python -m devenv ARGS` to its end, with its output as text; for commands other than `up`."""
    return subprocess.run(
        [*within, sys.executable, "-m", "devenv", *args],
        cwd=cwd,
        env=_environment(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _matches(event: Event, match: Mapping[str, object]) -> bool:
    return all(
        wanted(event.get(name)) if callable(wanted) else event.get(name) == wanted for name, wanted in match.items()
    )


def processes_with(assignment: str) -> dict[int, str]:
    """Pid -> command of every process that has the assignment in its environment."""
    if not sys.platform.startswith("linux"):
        raise AssertionError("survivors are looked for in /proc, which only Linux has")
    processes = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(folder.name)
            if assignment.encode() in (folder / "environ").read_bytes().split(b"\0"):
                processes[pid] = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                )
    return processes
