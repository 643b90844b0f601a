"""Imports that are carried out at their first use, as by `lazy import` of Python 3.15 (PEP 810)."""

from __future__ import annotations

import _thread
import builtins
import importlib
from types import SimpleNamespace

TYPE_CHECKING = False  # as that of `typing`, whose import takes longer than all else here
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class LazyModule:
    """Stands for a module; each attribute is looked up in the module itself, which is imported for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


class LazyImports:
    """A block of imports of modules: `import a` and `from package import module`, nothing else.

    A command's options are needed for its `--help`, the libraries and workflows behind it only to run it.
    """

    def __enter__(self) -> None:
        self._import = builtins.__import__
        self._thread = _thread.get_ident()
        builtins.__import__ = self._bind  # a LazyModule has the attributes of a module

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._import

    def _bind(self, name: str, *context: Any, **more: Any) -> Any:
        """What an import statement binds; other threads import as ever."""
        if _thread.get_ident() != self._thread:
            return self._import(name, *context, **more)
        return _stand_in(name, *context, **more)


def _stand_in(
    name: str, _globals: Any = None, _locals: Any = None, fromlist: Sequence[str] = (), level: int = 0
) -> Any:
    """A stand-in for the module, or a namespace with one for each name of the list."""
    if level or ("." in name and not fromlist):
        raise ImportError(f"{name} cannot be imported lazily")
    if not fromlist:
        return LazyModule(name)
    return SimpleNamespace(**{each: LazyModule(f"{name}.{each}") for each in fromlist})
