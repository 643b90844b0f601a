"""Imports that are carried out at their first use, as by `lazy import` of Python 3.15 (PEP 810)."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Sequence
from types import SimpleNamespace
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
        builtins.__import__ = _bind  # type: ignore[assignment]  # a LazyModule is no module, but has its attributes

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._import


def _bind(name: str, _globals: Any = None, _locals: Any = None, names: Sequence[str] = (), level: int = 0) -> Any:
    """What an import statement binds: a stand-in for the module, or a namespace with one for each of `names`."""
    if level or ("." in name and not names):
        raise ImportError(f"{name} cannot be imported lazily")
    return SimpleNamespace(**{each: LazyModule(f"{name}.{each}") for each in names}) if names else LazyModule(name)
