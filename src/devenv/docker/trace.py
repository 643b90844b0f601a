"""Events for ended child processes and Engine API calls; only `-v` sets a listener."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from devenv.lazy_imports import LazyImports

if TYPE_CHECKING:
    from devenv.events import Emit
    from devenv.redact import Redactor

with LazyImports():  # only a listener needs these, and errors
    from urllib import parse

    from devenv import events, redact


class _Listener:
    """The function that gets the events, and whether it gets Engine API calls too."""

    emit: Emit | None = None
    calls = False
    redactor: Redactor


class TraceSpan:
    """A child or a call while its block lasts; `outcome` is its result, unless the block raises an exception."""

    def __init__(self, kind: str, what: str) -> None:
        self.kind, self.what = kind, what
        self.outcome = ""
        self._is_over = False
        self._began = time.monotonic()

    def end(self, outcome: str) -> None:
        """Report the child or the call, once."""
        if not self._is_over and self.what and _Listener.emit is not None:
            _Listener.emit(events.Traced(self.kind, self.what, outcome, (time.monotonic() - self._began) * 1000))
        self._is_over = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, Exception):
            self.end(self.outcome or (type(error).__name__ if error else ""))
        else:
            self.end("cancelled")


def listen(emit: Emit | None, *, calls: bool = False) -> None:
    """Report each child process to `emit` from now on and, with `calls`, each call of the Engine API."""
    _Listener.emit, _Listener.calls, _Listener.redactor = emit, calls, redactor()


def redactor() -> Redactor:
    """What hides the secrets of this environment in a text."""
    return redact.Redactor(os.environ)


def command(argv: Sequence[str]) -> TraceSpan:
    """The span of a child process."""
    return TraceSpan("command", _Listener.redactor.command(argv) if _Listener.emit else "")


def call(method: str, target: str) -> TraceSpan:
    """The span of a call of the Engine API, without headers and bodies."""
    is_heard = _Listener.emit and _Listener.calls
    return TraceSpan("call", f"{method} {_Listener.redactor.text(parse.unquote(target))}" if is_heard else "")
