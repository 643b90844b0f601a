"""What devenv runs and what it asks of the engine, told as it ends: under `-v`; else nobody listens."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import unquote

from devenv.events import Emit, Traced

if TYPE_CHECKING:
    from devenv.redact import Redactor


class _Ear:
    """Who is told, and of how much."""

    emit: Emit | None = None
    calls = False
    redactor: Redactor


class Told:
    """How it ended, in a few words; empty where only what is raised says that. `over`: it is told already."""

    def __init__(self, kind: str, what: str) -> None:
        self.kind, self.what = kind, what
        self.outcome, self.over = "", False
        self._began = time.monotonic()

    def end(self, outcome: str) -> None:
        """Tell it, once."""
        if not self.over and self.what and _Ear.emit is not None:
            _Ear.emit(Traced(self.kind, self.what, outcome, (time.monotonic() - self._began) * 1000))
        self.over = True


def listen(emit: Emit | None, *, calls: bool = False) -> None:
    """From now on `emit` is told of every child process and, with `calls`, of every call of the Engine API."""
    from devenv.redact import Redactor  # noqa: PLC0415 - only where somebody listens

    _Ear.emit, _Ear.calls, _Ear.redactor = emit, calls, Redactor(os.environ)


def command(argv: Sequence[str]) -> contextlib.AbstractContextManager[Told]:
    """A child process, for as long as the block lasts."""
    return _told("command", _Ear.redactor.command(argv) if _Ear.emit else "")


def call(method: str, target: str) -> contextlib.AbstractContextManager[Told]:
    """A call of the Engine API, for as long as the block lasts; headers and bodies stay unsaid."""
    return _told("call", f"{method} {_Ear.redactor.text(unquote(target))}" if _Ear.emit and _Ear.calls else "")


@contextlib.contextmanager
def _told(kind: str, what: str) -> Iterator[Told]:
    told = Told(kind, what)
    try:
        yield told
    except Exception as error:
        told.end(told.outcome or type(error).__name__)
        raise
    except BaseException:
        told.end("cancelled")
        raise
    told.end(told.outcome)
