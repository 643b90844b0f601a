"""The import rules of ARCHITECTURE.md, read from the syntax tree of every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.layers import (
    MAY_COMPILE,
    MAY_IMPORT,
    MAY_START,
    MAY_WRITE,
    OWNERS,
    PRINTERS,
    PURE_STDLIB,
    SOURCE,
    STARTERS,
    WRITERS,
    floor,
    is_pure,
    may_import,
)

IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "breakpoint"})
PURE_OS = frozenset({"fsdecode", "fsencode", "fspath", "path", "sep", "altsep", "linesep"})
PURE_OS_PATH = frozenset({
    "basename", "commonpath", "commonprefix", "dirname", "isabs", "join", "normcase", "normpath",
    "relpath", "sep", "split", "splitdrive", "splitext",
})  # fmt: skip
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_modules_follow_the_import_rules(module: str) -> None:
    """No module imports, starts or prints what the drawing keeps from it."""
    assert list(violations(module, (SOURCE / module).read_text(encoding="utf-8"))) == []


def test_each_test_file_mirrors_a_module() -> None:
    """`tests/unit/a/test_b.py` tests `a/b.py`; files directly in `tests/unit` may test the whole package."""
    unit = Path(__file__).parent
    files = {path.relative_to(unit) for path in unit.glob("*/**/test_*.py")}
    mirrored = {
        path.with_name(path.name.removeprefix("test_")).as_posix() for path in files if path.parts[0] != "benchmarks"
    }
    assert mirrored - set(MODULES) == set()


WALL_CLOCKS = frozenset({"time.time", "time.time_ns", "datetime.now", "dt.datetime.now", "datetime.datetime.now"})
ENGINE_CLOCK = re.compile(r"(?i)\b(started|finished)_?at\b|\btime_?nano\b")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_the_clocks_of_two_machines(module: str) -> None:
    """A module that reads times of the engine does not read ours: compared times are of one clock."""
    code = (SOURCE / module).read_text(encoding="utf-8")
    assert not (ENGINE_CLOCK.search(code) and WALL_CLOCKS & {ast.unparse(node) for node in ast.walk(ast.parse(code))})


@pytest.mark.parametrize(
    ("module", "code", "complaint"),
    [
        ("sync/container/target.py", "import subprocess", "subprocess belongs to docker/process.py"),
        ("sync/container/target.py", "def f():\n    from subprocess import run", "subprocess belongs to"),
        ("images/plan.py", "import os\nos.system('true')", "os.system starts a process"),
        ("compose/resolve.py", "import anyio\nanyio.run_process(['true'])", "anyio.run_process starts a process"),
        ("compose/resolve.py", "from anyio import open_process", "anyio.open_process starts a process"),
        ("docker/client.py", "import python_on_whales", "python_on_whales belongs to"),
        ("docker/cli.py", "from h11 import Connection", "h11 belongs to"),
        ("sync/session.py", "import watchfiles", "watchfiles belongs to"),
        ("docker/client.py", "import yaml", "yaml belongs to"),
        ("run/up.py", "from rich.console import Console", "rich belongs to"),
        ("run/up.py", "import typer", "typer belongs to"),
        ("run/up.py", "print(1)", "print belongs to"),
        ("cli/commands/scaffold.py", "import typer\ntyper.prompt('x')", "typer.prompt writes past the cleaner"),
        ("cli/commands/scaffold.py", "from typer import echo", "typer.echo writes past the cleaner"),
        ("run/up.py", "import sys\nsys.stderr.write('x')", "sys.stderr.write writes past the cleaner"),
        ("docker/client.py", "from devenv.sync import session", "docker may not import sync"),
        ("sync/session.py", "import devenv.ui.console", "sync may not import ui"),
        ("run/up.py", "from devenv import ui", "run may not import ui"),
        ("run/up.py", "from devenv.cli import main", "run may not import cli"),
        ("model/sync_plan.py", "from devenv.docker import process", "model may not import docker"),
        ("cli/main.py", "from devenv.__main__ import main", "cli may not import __main__"),
        ("sync/planner.py", "import time", "pure modules may not import time"),
        ("sync/planner.py", "import anyio", "pure modules may not import anyio"),
        ("sync/planner.py", "from devenv.sync.container import target", "devenv.sync.container.target is not pure"),
        (
            "sync/planner.py",
            "from devenv.sync.container.target import run",
            "devenv.sync.container.target.run is not pure",
        ),
        ("compose/parse.py", "import os\nos.environ['A']", "pure modules may not use os.environ"),
        ("compose/parse.py", "from os import getcwd", "pure modules may not use os.getcwd"),
        ("compose/parse.py", "import os.path\nos.path.exists('a')", "pure modules may not use os.path.exists"),
        ("compose/parse.py", "from os.path import realpath", "pure modules may not use os.path.realpath"),
        ("compose/parse.py", "from pathlib import Path", "pure modules may not use pathlib.Path"),
        ("compose/parse.py", "import pathlib\npathlib.Path()", "pure modules may not use pathlib.Path"),
        (
            "state/identity.py",
            "import datetime as dt\ndt.datetime.now()",
            "may not use dt.datetime.now",
        ),
        ("compose/parse.py", "open('a')", "pure modules may not call open"),
        ("compose/parse.py", "from . import load", "relative import"),
    ],
)
def test_import_check_reports_violations(module: str, code: str, complaint: str) -> None:
    """Each rule reports code that breaks it."""
    assert complaint in "\n".join(violations(module, code))


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("docker/process.py", "import subprocess\nimport anyio\nanyio.open_process(['true'])"),
        ("sync/host/watcher.py", "import watchfiles"),
        ("ui/writer.py", "import sys\nsys.stdout.write('x')"),
        ("cli/commands/up.py", "from devenv.ui import console\nfrom devenv.run.up import up"),
        (
            "sync/planner.py",
            "import os\nos.path.join('a')\nfrom pathlib import PurePosixPath",
        ),
        ("sync/planner.py", "from devenv.model.sync_plan import Plan\nfrom devenv.sync.rules.rules import match"),
        ("sync/planner.py", "from devenv.sync.rules import rules\nfrom devenv.model import sync_plan\nimport re"),
        ("cli/main.py", "from devenv import __version__"),
    ],
)
def test_import_check_accepts_valid_code(module: str, code: str) -> None:
    """Code that keeps to the rules is not complained about."""
    assert list(violations(module, code)) == []


def violations(module: str, code: str) -> Iterator[str]:
    """The rules that the module (named from src/devenv) breaks, one sentence each."""
    tree = ast.parse(code)
    names = list(_imports(tree))
    uses = [*names, *_dotted_uses(tree)]
    yield from (f"line {line}: relative import" for line in _relative_imports(tree))
    yield from _owner_violations(module, names)
    yield from _starter_violations(module, uses)
    yield from _floor_violations(module, names)
    calls = _called_names(tree)
    if "print" in calls and module not in PRINTERS:
        yield f"print belongs to {' and '.join(PRINTERS)}"
    if module not in MAY_WRITE:
        yield from (f"{use} writes past the cleaner" for use in sorted({*uses} & WRITERS))
    if is_pure(module):
        yield from _purity_violations(
            [name for name in names if name not in MAY_IMPORT.get(module, ())],
            uses,
            calls - ({"exec"} if module in MAY_COMPILE else set()),
        )


def _owner_violations(module: str, names: list[str]) -> Iterator[str]:
    for library in {name.split(".")[0] for name in names} & OWNERS.keys():
        owners = OWNERS[library]
        if not any(module == owner or (owner.endswith("/") and module.startswith(owner)) for owner in owners):
            yield f"{library} belongs to {', '.join(owners) or 'nobody'}"


def _starter_violations(module: str, uses: list[str]) -> Iterator[str]:
    if module not in OWNERS["subprocess"]:
        for use in (set(uses) & STARTERS) - MAY_START.get(module, frozenset()):
            yield f"{use} starts a process, which belongs to docker/process.py"


def _floor_violations(module: str, names: list[str]) -> Iterator[str]:
    package = _package(module.removesuffix(".py").split("/"))
    for other in {_package(name.split(".")[1:]) for name in names if name.startswith("devenv.")}:
        if not may_import(package, other):
            yield f"{package} may not import {other}"


def _package(parts: list[str]) -> str:
    return parts[0] if parts else ""


def _purity_violations(names: list[str], uses: list[str], calls: set[str]) -> Iterator[str]:
    for name in names:
        if name == "devenv" or name.startswith("devenv."):
            yield from _impure_own_import(name)
        elif not ({name, name.rpartition(".")[0], name.split(".")[0]} & PURE_STDLIB):
            yield f"pure modules may not import {name}"
    yield from (f"pure modules may not use {use}" for use in set(uses) & WALL_CLOCKS)
    for use in uses:
        parts = use.split(".")
        os_path = parts[:2] == ["os", "path"]
        if (
            (parts[0] == "os" and len(parts) > 1 and parts[1] not in PURE_OS)
            or (os_path and len(parts) > 2 and parts[2] not in PURE_OS_PATH)
            or (parts[0] == "pathlib" and len(parts) > 1 and not parts[1].startswith("Pure"))
        ):
            yield f"pure modules may not use {use}"
    for call in calls & IMPURE_CALLS:
        yield f"pure modules may not call {call}"


def _impure_own_import(name: str) -> Iterator[str]:
    """Whether `name` is a module, or a name in one; a folder alone has only a docstring and is allowed."""
    path = name.split(".")[1:]
    for module in ("/".join(path), "/".join(path[:-1])):
        if is_pure(f"{module}.py"):
            return
    in_folder = len(path) > 1 and floor(path[0]) is not None and path[0] != "model"
    if in_folder:
        yield f"{name} is not pure"


def _imports(tree: ast.AST) -> Iterator[str]:
    """Every imported name in full: `from a.b import c` is a.b.c."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _relative_imports(tree: ast.AST) -> Iterator[int]:
    return (node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level)


def _dotted_uses(tree: ast.AST) -> Iterator[str]:
    """Every `a.b` and `a.b.c` that is used, as text."""
    return (ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_dotted(node))


def _is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted(node.value))


def _called_names(tree: ast.AST) -> set[str]:
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
