"""Imports that run when a module is first used, like `lazy import` of Python 3.15 (PEP 810)."""

from __future__ import annotations

import _thread
import builtins
import importlib
from types import SimpleNamespace

TYPE_CHECKING = False  # as in `typing`, whose import takes longer than the rest of this module
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class LazyModule:
    """A placeholder for a module, which is imported if an attribute is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


_ONE_BLOCK = _thread.allocate_lock()  # two blocks at once would restore each other's function


class LazyImports:
    """A block of imports of modules: `import a` and `from package import module`, nothing else.

    A command's `--help` needs its options, but not the libraries and workflows that the command runs. With names,
    only these modules are imported lazily, also by the modules that the block imports.
    """

    def __init__(self, *names: str) -> None:
        self._names = names

    def __enter__(self) -> None:
        _ONE_BLOCK.acquire()
        self._import = builtins.__import__
        self._thread = _thread.get_ident()
        builtins.__import__ = self._bind

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._import
        _ONE_BLOCK.release()

    def _bind(self, name: str, *context: Any, **more: Any) -> Any:
        """Placeholders for an import statement of this thread; other threads and modules import as usual."""
        if _thread.get_ident() != self._thread or (self._names and name not in self._names):
            return self._import(name, *context, **more)
        return _placeholder(name, *context, **more)


def _placeholder(
    name: str, _globals: Any = None, _locals: Any = None, fromlist: Sequence[str] = (), level: int = 0
) -> Any:
    """A placeholder for the module, or a namespace with a placeholder for each name in the list."""
    if level or ("." in name and not fromlist):
        raise ImportError(f"{name} cannot be imported lazily")
    if not fromlist:
        return LazyModule(name)
    return SimpleNamespace(**{module: LazyModule(f"{name}.{module}") for module in fromlist})
