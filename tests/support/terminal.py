"""A program on a terminal of its own, which a test types at, reads and closes."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import re
import secrets
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

from support import docker_cli
from support.cli import MARKER, processes_with


class Terminal:
    """A session of its own, whose leader is the program; all its processes end with the block."""

    def __init__(
        self, *argv: str, cwd: Path, env: Mapping[str, str | None], size: tuple[int, int] | None = None
    ) -> None:
        self.marker = secrets.token_hex(8)
        self.output = ""
        self._is_closed = False
        self._reads = threading.Event()
        self._reads.set()
        self._master, slave = pty.openpty()
        if size is not None:
            self.resize(*size)
        environment = {**os.environ, **env, MARKER: self.marker}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],  # it is no group leader here, so it becomes the program itself
            cwd=cwd,
            env={name: value for name, value in environment.items() if value is not None},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        for pid in {self.process.pid, *self.survivors()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait(10)

    def type(self, text: str) -> None:
        """Type the text, with control characters."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Resize the window; the program is notified."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @contextlib.contextmanager
    def stuck(self) -> Iterator[None]:
        """Do not read the program's output in the block, as if a connection hangs."""
        self._reads.clear()
        try:
            yield
        finally:
            self._reads.set()

    def mode(self) -> list[Any]:
        """The modes of the terminal: echo and others."""
        return termios.tcgetattr(self._master)

    def screen(self, columns: int, rows: int, since: int = 0) -> str:
        """The content of a screen of that size, from that character of the output on."""
        display = pyte.Screen(columns, rows)
        pyte.Stream(display).feed(self.output[since:])
        return "".join(f"{line.rstrip()}\n" for line in display.display)

    def until(self, pattern: str, *, timeout: float = 60, since: int = 0) -> None:
        """Wait until the program has printed the pattern, from that character on. Raises AssertionError."""
        wanted = re.compile(pattern, re.MULTILINE)
        try:
            docker_cli.until(lambda: wanted.search(self.output, since), timeout=timeout)
        except AssertionError:
            raise AssertionError(f"not printed within {timeout} s: {pattern}\n{self.output[-4000:]}") from None

    def close(self) -> None:
        """Close the terminal, as when its window is closed."""
        if not self._is_closed:
            self._is_closed = True
            self._reader.join(10)  # the kernel keeps the terminal as long as the thread reads
            os.close(self._master)

    def survivors(self) -> dict[int, str]:
        """Pid -> command of its processes that still live."""
        return processes_with(f"{MARKER}={self.marker}")

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with contextlib.suppress(OSError):
            while not self._is_closed:
                self._reads.wait()
                if select.select([self._master], [], [], 0.05)[0]:
                    self.output += decoder.decode(os.read(self._master, 65536))
