"""How large a module, a class and a function may be, for ever."""

from __future__ import annotations

from scripts import measure_code


def test_nothing_is_too_large() -> None:
    """No module, class or function; a frozen value may have more fields. No count is above its bound."""
    assert measure_code.above() == []


def test_the_figures_are_of_this_code() -> None:
    """Each row of the table has a figure, and a module is measured as it is."""
    assert all(figure for _, figure in measure_code.table())
    (module,) = [item for item in measure_code.modules() if item.name == "paths.py"]
    assert 0 < module.code_lines < module.lines
    assert [item.name for item in module.functions]
