"""Imports at first use."""

from __future__ import annotations

import ast
import builtins
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from devenv import lazy_imports
from devenv.lazy_imports import LazyImports


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package with one module, which nothing has imported."""
    (tmp_path / "some_package").mkdir()
    (tmp_path / "some_package/__init__.py").write_text("")
    (tmp_path / "some_package/module.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("some_package", "some_package.module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "some_package"


def bound(statement: str) -> dict[str, object]:
    """The names that an import statement in a block binds."""
    names: dict[str, object] = {"LazyImports": LazyImports}
    exec(f"with LazyImports():\n    {statement}", names)  # noqa: S102 - statements are what is tested
    return names


@pytest.mark.parametrize(
    ("statement", "name"),
    [("import some_package", "some_package"), ("from some_package import module as m", "some_package.module")],
)
def test_a_module_is_imported_for_its_first_attribute(package: str, statement: str, name: str) -> None:
    """The import statement itself does not import it."""
    names = bound(statement)
    assert name not in sys.modules
    module = names[statement.rpartition(" ")[2]]
    assert getattr(module, "__file__", "").endswith(".py")
    assert isinstance(sys.modules[name], ModuleType)


def test_lazy_attribute_is_the_modules_current_one(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the attribute is replaced in the module, the lazy name gives the new value."""
    module = bound(f"from {package} import module")["module"]
    assert module.value == 1  # type: ignore[attr-defined]
    monkeypatch.setattr(f"{package}.module.value", 2)
    assert module.value == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("statement", ["import some_package.module", "from . import module"])
def test_other_imports_are_refused(statement: str) -> None:
    """After the block, imports work as before, however it ended."""
    real = builtins.__import__
    with pytest.raises(ImportError, match="lazily"):
        bound(statement)
    assert builtins.__import__ is real


def test_lazy_block_does_not_affect_other_threads(package: str) -> None:
    """A block in one thread does not stop an import in another thread."""
    imported: list[object] = []

    def work() -> None:
        names: dict[str, object] = {}
        exec(f"from {package} import module", names)  # noqa: S102 - as above
        imported.append(names["module"])

    with LazyImports():
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert isinstance(imported[0], ModuleType)


def is_module(name: str) -> bool:
    """Whether it can be imported."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the name is in a module that is not a package
        return False


def test_only_modules_are_imported_lazily() -> None:
    """A lazy value would stay a stand-in for ever: it has no attribute that could be looked up."""
    source = Path(lazy_imports.__file__).parent
    blocks = [
        (path, block)
        for path in source.rglob("*.py")
        for block in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(block, ast.With) and ast.unparse(block.items[0]) == "LazyImports()"
    ]
    assert blocks
    found = [
        f"{path.relative_to(source)}: {statement.module}.{name.name}"
        for path, block in blocks
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
        if not is_module(f"{statement.module}.{name.name}")
    ]
    assert found == []


def test_a_block_with_names_is_lazy_for_these_modules_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the block imports is imported at once, and gets placeholders for the named modules."""
    names: dict[str, object] = {"LazyImports": LazyImports}
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "user_of_named.py").write_text("import some_named\nvalue = 1\n")
    (tmp_path / "some_named.py").write_text("value = 2\n")
    exec("with LazyImports('some_named'):\n    import user_of_named", names)  # noqa: S102 - as above
    assert "some_named" not in sys.modules
    assert sys.modules["user_of_named"].value == 1
    assert sys.modules["user_of_named"].some_named.value == 2
