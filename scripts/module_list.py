"""The list of modules in ARCHITECTURE.md, made from their docstrings: for write-pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from support.layers import FLOORS, SOURCE, is_pure

PAGE = "ARCHITECTURE.md"
HEADING = "## Modules\n"


def pages(root: Path) -> dict[str, str]:
    """Path from the root -> text of the page: its manual part, then the list."""
    by_hand = (root / PAGE).read_text(encoding="utf-8").partition(HEADING)[0]
    return {PAGE: f"{by_hand}{HEADING}\n{''.join(lines())}"}


def lines() -> Iterator[str]:
    """A heading and a list for each package, lowest floor first; **P** marks a pure module."""
    modules = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
    order = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    packages = sorted(
        {path.parent for path in modules},
        key=lambda folder: (order.get(folder.parts[0] if folder.parts else "", 0), folder),
    )
    for package in packages:
        title = f"`{package.as_posix()}/`" if package.parts else "Modules in no package"
        yield f"### {title}\n\n{_sentence(package / '__init__.py')}\n\n"
        own = [path for path in modules if path.parent == package and path.name != "__init__.py"]
        yield "".join(
            f"- `{path.name}`{' **P**' if is_pure(path.as_posix()) else ''}: {_sentence(path)}\n" for path in own
        )
        yield "\n"


def _sentence(path: Path) -> str:
    """The first paragraph of the module's docstring, on one line and safe in HTML."""
    text = ast.get_docstring(ast.parse((SOURCE / path).read_text(encoding="utf-8"))) or ""
    return re.sub(r"\s+", " ", text.partition("\n\n")[0]).removesuffix(" Pure.").replace("<", "&lt;")
