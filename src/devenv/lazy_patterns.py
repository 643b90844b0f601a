"""Regular expressions of other packages that are compiled at their first use."""

from __future__ import annotations

import _thread
import re
from typing import Any


class LazyPattern:
    """A regular expression with the arguments of `re.compile`, which is called if an attribute is read."""

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(*self._arguments), name)
        setattr(self, name, value)  # from now on, it is found without this method
        return value


class LazyPatterns:
    """A block of imports of modules that call `re.compile`, and use its results only to match texts."""

    def __enter__(self) -> None:
        self._compile = re.compile
        self._thread = _thread.get_ident()
        re.compile = self._later  # type: ignore[assignment] # for this thread alone

    def __exit__(self, *_: object) -> None:
        re.compile = self._compile

    def _later(self, *arguments: Any) -> Any:
        """A pattern for this thread that is compiled later; other threads get it at once."""
        return LazyPattern(*arguments) if _thread.get_ident() == self._thread else self._compile(*arguments)
