"""The import rules of ARCHITECTURE.md, read from the syntax tree of every module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from support.layers import MAY_WRITE, OWNERS, PRINTERS, PURE_STDLIB, ROOMS, SOURCE, STARTERS, WRITERS, is_pure

IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "breakpoint"})
PURE_OS = frozenset({"fsdecode", "fsencode", "fspath", "path", "sep", "altsep", "linesep"})
PURE_OS_PATH = frozenset({
    "basename", "commonpath", "commonprefix", "dirname", "isabs", "join", "normcase", "normpath",
    "relpath", "sep", "split", "splitdrive", "splitext",
})  # fmt: skip
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stays_within_its_walls(module: str) -> None:
    """No module imports, starts or prints what the drawing keeps from it."""
    assert list(violations(module, (SOURCE / module).read_text(encoding="utf-8"))) == []


WALL_CLOCKS = frozenset({"time.time", "time.time_ns", "datetime.now", "dt.datetime.now", "datetime.datetime.now"})
ENGINE_CLOCK = re.compile(r"(?i)\b(started|finished)_?at\b|\btime_?nano\b")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_knows_the_clocks_of_two_machines(module: str) -> None:
    """Where the engine's times are read, ours is not: whatever is compared is of one clock, however wrong."""
    code = (SOURCE / module).read_text(encoding="utf-8")
    assert not (ENGINE_CLOCK.search(code) and WALL_CLOCKS & {ast.unparse(node) for node in ast.walk(ast.parse(code))})


@pytest.mark.parametrize(
    ("module", "code", "complaint"),
    [
        ("watch/apply.py", "import subprocess", "subprocess belongs to engine/process.py"),
        ("watch/apply.py", "def f():\n    from subprocess import run", "subprocess belongs to"),
        ("images/plan.py", "import os\nos.system('true')", "os.system starts a process"),
        ("config/load.py", "import anyio\nanyio.run_process(['true'])", "anyio.run_process starts a process"),
        ("config/load.py", "from anyio import open_process", "anyio.open_process starts a process"),
        ("engine/compose.py", "import python_on_whales", "python_on_whales belongs to"),
        ("engine/docker.py", "from h11 import Connection", "h11 belongs to"),
        ("watch/loop.py", "import watchfiles", "watchfiles belongs to"),
        ("engine/api.py", "import yaml", "yaml belongs to"),
        ("lifecycle/up.py", "from rich.console import Console", "rich belongs to"),
        ("lifecycle/up.py", "import typer", "typer belongs to"),
        ("lifecycle/up.py", "print(1)", "print belongs to"),
        ("cli/new.py", "import typer\ntyper.prompt('x')", "typer.prompt writes past the cleaner"),
        ("cli/new.py", "from typer import echo", "typer.echo writes past the cleaner"),
        ("lifecycle/up.py", "import sys\nsys.stderr.write('x')", "sys.stderr.write writes past the cleaner"),
        ("engine/api.py", "from devenv.watch import loop", "engine may not import watch"),
        ("watch/loop.py", "import devenv.ui.console", "watch may not import ui"),
        ("lifecycle/up.py", "from devenv import ui", "lifecycle may not import ui"),
        ("lifecycle/up.py", "from devenv.cli import app", "lifecycle may not import cli"),
        ("model/plan.py", "from devenv.engine import process", "model may not import engine"),
        ("cli/app.py", "from devenv.__main__ import main", "cli may not import __main__"),
        ("watch/planner.py", "import time", "pure modules may not import time"),
        ("watch/planner.py", "import anyio", "pure modules may not import anyio"),
        ("watch/planner.py", "from devenv.watch import apply", "devenv.watch.apply is not pure"),
        ("watch/planner.py", "from devenv.watch.apply import run", "devenv.watch.apply.run is not pure"),
        ("config/parse.py", "import os\nos.environ['A']", "pure modules may not use os.environ"),
        ("config/parse.py", "from os import getcwd", "pure modules may not use os.getcwd"),
        ("config/parse.py", "import os.path\nos.path.exists('a')", "pure modules may not use os.path.exists"),
        ("config/parse.py", "from os.path import realpath", "pure modules may not use os.path.realpath"),
        ("config/parse.py", "from pathlib import Path", "pure modules may not use pathlib.Path"),
        ("config/parse.py", "import pathlib\npathlib.Path()", "pure modules may not use pathlib.Path"),
        (
            "lifecycle/identity.py",
            "import datetime as dt\ndt.datetime.now()",
            "may not use dt.datetime.now",
        ),
        ("config/parse.py", "open('a')", "pure modules may not call open"),
        ("config/parse.py", "from . import load", "relative import"),
    ],
)
def test_the_check_sees_a_breach(module: str, code: str, complaint: str) -> None:
    """Each rule reports code that breaks it."""
    assert complaint in "\n".join(violations(module, code))


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("engine/process.py", "import subprocess\nimport anyio\nanyio.open_process(['true'])"),
        ("watch/source.py", "import watchfiles"),
        ("ui/console.py", "print(1)\nfrom rich.console import Console"),
        ("cli/up.py", "from devenv.ui import console\nfrom devenv.lifecycle.up import up"),
        (
            "watch/planner.py",
            "import os\nos.path.join('a')\nfrom pathlib import PurePosixPath",
        ),
        ("watch/planner.py", "from devenv.model.plan import Plan\nfrom devenv.watch.rules import match"),
        ("watch/planner.py", "from devenv.watch import rules\nfrom devenv.model import plan\nimport re"),
        ("cli/app.py", "from devenv import __version__"),
    ],
)
def test_the_check_lets_honest_code_pass(module: str, code: str) -> None:
    """Code that keeps to the rules is not complained about."""
    assert list(violations(module, code)) == []


def violations(module: str, code: str) -> Iterator[str]:
    """What in the module (named from src/devenv) breaks the rules, one sentence each."""
    tree = ast.parse(code)
    names = list(_imports(tree))
    uses = [*names, *_dotted_uses(tree)]
    yield from (f"line {line}: relative import" for line in _relative_imports(tree))
    yield from _owner_violations(module, names)
    yield from _starter_violations(module, uses)
    yield from _room_violations(module, names)
    calls = _called_names(tree)
    if "print" in calls and module not in PRINTERS:
        yield f"print belongs to {' and '.join(PRINTERS)}"
    if module not in MAY_WRITE:
        yield from (f"{use} writes past the cleaner" for use in sorted({*uses} & WRITERS))
    if is_pure(module):
        yield from _purity_violations(names, uses, calls)


def _owner_violations(module: str, names: list[str]) -> Iterator[str]:
    for library in {name.split(".")[0] for name in names} & OWNERS.keys():
        owners = OWNERS[library]
        if not any(module == owner or (owner.endswith("/") and module.startswith(owner)) for owner in owners):
            yield f"{library} belongs to {', '.join(owners) or 'nobody'}"


def _starter_violations(module: str, uses: list[str]) -> Iterator[str]:
    if module not in OWNERS["subprocess"]:
        for use in set(uses) & STARTERS:
            yield f"{use} starts a process, which belongs to engine/process.py"


def _room_violations(module: str, names: list[str]) -> Iterator[str]:
    room = _room(module.removesuffix(".py").split("/"))
    if room is None:
        return
    allowed = ROOMS.get(room, frozenset())
    if allowed is None:
        return
    for other in {_room(name.split(".")[1:]) for name in names if name.startswith("devenv.")}:
        if other is not None and other not in allowed | {room, "model", "errors"}:
            yield f"{room} may not import {other}"


def _room(parts: list[str]) -> str | None:
    return parts[0] if parts and parts[0] in ROOMS else None


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
    """`name` may be a module, or something in one; a folder alone is fine, it holds a docstring only."""
    path = name.split(".")[1:]
    for module in ("/".join(path), "/".join(path[:-1])):
        if is_pure(f"{module}.py"):
            return
    in_folder = len(path) > 1 and path[0] in ROOMS and path[0] != "model"
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
