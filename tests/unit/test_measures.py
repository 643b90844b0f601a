"""How large a module, a class and a function may be, for ever."""

from __future__ import annotations

from scripts import measure_code

MOST_LINES, MOST_METHODS, MOST_FIELDS, MOST_COMPLEXITY = 400, 20, 12, 20


def test_nothing_is_too_large() -> None:
    """No module, no class and no function is above the bounds; a frozen value may have more fields."""
    above: set[str] = set()
    for module in measure_code.modules():
        if module.lines > MOST_LINES and module.name not in measure_code.MADE:
            above.add(module.name)
        for one in module.classes():
            if one.methods > MOST_METHODS or (one.fields > MOST_FIELDS and not one.is_value):
                above.add(f"{module.name}: {one.name}")
        above |= {f"{module.name}: {one.name}" for one in module.functions() if one.complexity > MOST_COMPLEXITY}
    assert above == set()


def test_the_figures_are_of_this_code() -> None:
    """Each row of the table has a figure, and a module is measured as it is."""
    assert all(figure for _, figure in measure_code.table())
    (module,) = [one for one in measure_code.modules() if one.name == "paths.py"]
    assert 0 < module.code_lines < module.lines
    assert [one.name for one in module.functions()]
