"""Events of child processes and of calls of the engine, each at its end; only with `-v` is there a listener."""

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


class _Listener:
    """The function that gets the events, and whether it gets calls of the engine too."""

    emit: Emit | None = None
    calls = False
    redactor: Redactor


class Span:
    """A child or a call while it lasts; `outcome` is how it ended, unless an exception says so."""

    def __init__(self, kind: str, what: str) -> None:
        self.kind, self.what = kind, what
        self.outcome, self.over = "", False
        self._began = time.monotonic()

    def end(self, outcome: str) -> None:
        """Report it, once."""
        if not self.over and self.what and _Listener.emit is not None:
            _Listener.emit(Traced(self.kind, self.what, outcome, (time.monotonic() - self._began) * 1000))
        self.over = True


def listen(emit: Emit | None, *, calls: bool = False) -> None:
    """Report every child process to `emit` from now on and, with `calls`, every call of the Engine API."""
    from devenv.redact import Redactor  # noqa: PLC0415 - only if there is a listener

    _Listener.emit, _Listener.calls, _Listener.redactor = emit, calls, Redactor(os.environ)


def command(argv: Sequence[str]) -> contextlib.AbstractContextManager[Span]:
    """A child process, for as long as the block lasts."""
    return _span("command", _Listener.redactor.command(argv) if _Listener.emit else "")


def call(method: str, target: str) -> contextlib.AbstractContextManager[Span]:
    """A call of the Engine API, for as long as the block lasts; without headers and bodies."""
    return _span(
        "call", f"{method} {_Listener.redactor.text(unquote(target))}" if _Listener.emit and _Listener.calls else ""
    )


@contextlib.contextmanager
def _span(kind: str, what: str) -> Iterator[Span]:
    span = Span(kind, what)
    try:
        yield span
    except Exception as error:
        span.end(span.outcome or type(error).__name__)
        raise
    except BaseException:
        span.end("cancelled")
        raise
    span.end(span.outcome)
