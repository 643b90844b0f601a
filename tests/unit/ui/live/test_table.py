"""The table of services."""

from __future__ import annotations

import re

import pytest

from devenv.model.graph import Graph, Node, ServiceGraph
from devenv.ui.live.table import ago
from unit.ui.live.test_screen import lines


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (9.9, "just now"),
        (25, "20 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (90000, "25 h ago"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    """An age changes in steps."""
    assert ago(seconds) == said


def test_many_services_on_a_wide_screen() -> None:
    """They stand beside each other, the last column with as many as are left."""
    found = lines(ServiceGraph(Graph("p", tuple(Node(f"s{i}") for i in range(5)))), columns=220, rows=12)
    assert [re.findall(r"s\d", line) for line in found[2:5]] == [["s0", "s3"], ["s1", "s4"], ["s2"]]
    assert found[1].count("SERVICE") == 2
