"""Figures of the code in src/devenv: what `scripts/measure-code` prints and `tests/unit/test_measures.py` bounds."""

from __future__ import annotations

import ast
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src/devenv"
UNIT = ROOT / "tests/unit"
MADE = ("cli/completion_table.py",)  # written by scripts/write-pages: a table, not code
LONG = 300
COMPLEX = 15
MOST_LINES, MOST_METHODS, MOST_FIELDS, MOST_COMPLEXITY = 400, 20, 12, 20
MOST_LONG, MOST_COMPLEX, MOST_BROAD, MOST_INNER_IMPORTS, MOST_SHARED_NAMES, MOST_UNTESTED = 6, 15, 12, 20, 5, 30

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BRANCHES = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case,
    ast.Assert,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """A class (`fields` counts those that `__init__` sets, too) or a function, and how large it is."""

    module: str
    name: str
    methods: int = 0
    fields: int = 0
    complexity: int = 0
    is_value: bool = False


@dataclass(frozen=True)
class Module:
    """One file, named from src/devenv."""

    name: str
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree: each figure walks them."""
        return list(ast.walk(self.tree))

    @property
    def lines(self) -> int:
        """The number of lines."""
        return len(self.text.splitlines())

    @property
    def code_lines(self) -> int:
        """Lines that are neither blank, nor a comment, nor part of a docstring."""
        documented = {number for node in self.nodes for number in _docstring(node)}
        lines = enumerate(self.text.splitlines(), start=1)
        return sum(
            bool(line.strip()) and not line.lstrip().startswith("#") and n not in documented for n, line in lines
        )

    @cached_property
    def classes(self) -> list[Measured]:
        """Each class."""
        return list(self._classes())

    @cached_property
    def functions(self) -> list[Measured]:
        """Each function and method; comprehensions and boolean terms count as branches."""
        return [
            Measured(self.name, node.name, complexity=1 + sum(_branches(child) for child in _own(node)))
            for node in self.nodes
            if isinstance(node, _FUNCTIONS)
        ]

    def _classes(self) -> Iterator[Measured]:
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                methods = [method for method in node.body if isinstance(method, _FUNCTIONS)]
                fields = {
                    statement.target.id
                    for statement in node.body
                    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
                }
                fields |= {name for method in methods if method.name == "__init__" for name in _set_by(method)}
                is_value = any("frozen=True" in ast.unparse(decorator) for decorator in node.decorator_list)
                yield Measured(self.name, node.name, len(methods), len(fields), is_value=is_value)

    def inner_imports(self) -> int:
        """Imports inside functions."""
        functions = [node for node in self.nodes if isinstance(node, _FUNCTIONS)]
        return len(
            {
                statement
                for node in functions
                for statement in ast.walk(node)
                if isinstance(statement, (ast.Import, ast.ImportFrom))
            }
        )

    def broad_handlers(self) -> int:
        """`except Exception`, `except BaseException` and bare ones."""
        handlers = [node for node in self.nodes if isinstance(node, ast.ExceptHandler)]
        return sum(
            handler.type is None or ast.unparse(handler.type) in {"Exception", "BaseException"}
            for handler in handlers
        )


@cache
def modules() -> list[Module]:
    """All modules, but the packages' own files that hold a docstring alone."""
    modules_ = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        if path.name != "__init__.py" or len(tree.body) > 1:
            modules_.append(Module(path.relative_to(SOURCE).as_posix(), text, tree))
    return modules_


def above() -> list[str]:
    """Modules, classes (a frozen value may have more fields) and functions that are too large; counts too high."""
    large = [f"{what}: {figure} of at most {most}" for what, figure, most in _counts() if figure > most]
    for module in modules():
        if module.lines > MOST_LINES and module.name not in MADE:
            large.append(f"{module.name}: {module.lines} lines")
        large += [
            f"{module.name}: {cls.name}: {cls.methods} methods, {cls.fields} fields"
            for cls in module.classes
            if cls.methods > MOST_METHODS or (cls.fields > MOST_FIELDS and not cls.is_value)
        ]
        large += [
            f"{module.name}: {function.name}: complexity {function.complexity}"
            for function in module.functions
            if function.complexity > MOST_COMPLEXITY
        ]
    return large


def untested(them: list[Module]) -> list[str]:
    """Modules without a test file of their name."""

    def test(name: str) -> Path:
        path = UNIT / name
        return path.with_name(f"test_{path.name}")

    return [module.name for module in them if not test(module.name).exists()]


def table() -> list[tuple[str, str]]:
    """Each measure and its figure."""
    measured = [module for module in modules() if module.name not in MADE]
    lengths = sorted(module.lines for module in measured)
    classes = [cls for module in measured for cls in module.classes]
    stateful = [cls for cls in classes if not cls.is_value]
    complexities = [function.complexity for module in measured for function in module.functions]
    return [
        ("lines / lines of code", f"{sum(lengths):,} / {sum(module.code_lines for module in measured):,}"),
        ("modules", str(len(measured))),
        ("longest, median module", f"{lengths[-1]}, {statistics.median(lengths):.0f}"),
        ("largest class: methods", str(max(cls.methods for cls in classes))),
        ("largest class that is no frozen value: fields", str(max(cls.fields for cls in stateful))),
        ("highest complexity of a function", str(max(complexities))),
        *((what, str(figure)) for what, figure, _ in _counts()),
    ]


def _counts() -> list[tuple[str, int, int]]:
    """What is counted in all modules, its number, and the highest number allowed."""
    measured = [module for module in modules() if module.name not in MADE]
    names = Counter(cls.name for module in measured for cls in module.classes)
    complexities = [function.complexity for module in measured for function in module.functions]
    return [
        (f"modules above {LONG} lines", sum(module.lines > LONG for module in measured), MOST_LONG),
        (f"functions with a complexity above {COMPLEX}", sum(c > COMPLEX for c in complexities), MOST_COMPLEX),
        ("broad exception handlers", sum(module.broad_handlers() for module in measured), MOST_BROAD),
        ("imports inside functions", sum(module.inner_imports() for module in measured), MOST_INNER_IMPORTS),
        ("class names used twice or more", sum(count > 1 for count in names.values()), MOST_SHARED_NAMES),
        ("modules without unit tests of their own", len(untested(measured)), MOST_UNTESTED),
    ]


def _docstring(node: ast.AST) -> range:
    if not isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS)) or not node.body:
        return range(0)
    first = node.body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return range(first.lineno, (first.end_lineno or first.lineno) + 1) if is_text else range(0)


def _set_by(method: ast.AST) -> Iterator[str]:
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes of the function, without nested functions, which are counted on their own."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, _FUNCTIONS):
            yield child
            yield from _own(child)


def _branches(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, _BRANCHES))
