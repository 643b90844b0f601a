"""Lines before those that a page has, from the logs of containers that the engine or the last run has kept."""

from __future__ import annotations

import pytest

from devenv.redact import Redactor
from devenv.web import earlier
from devenv.web.lines import FirstLines, PageLine, PageLines


def beginning(*texts: str, count: int | None = None) -> FirstLines:
    """The first texts that a page has, of so many lines."""
    made = FirstLines()
    for text in texts:
        made.add(text)
    made.count = len(texts) if count is None else count
    return made


@pytest.mark.parametrize(
    ("texts", "has", "expected"),
    [
        (["a", "b", "c", "d"], beginning("c", "d"), 2),
        (["a", "b"], beginning("a", "b"), 0),
        (["a", "b", "c", "d", "late"], beginning("c", "d"), 2),
        (["a", "b", "c"], beginning("c", "d", "e"), 2),
        (["x"] * 9, beginning("x", "x"), 7),
        (["a", "b", "c", "d"], beginning("other"), 3),
        ([], beginning("a"), 0),
        (["a"] + ["x"] * 30 + ["b"] + ["x"] * 40, beginning("b", *["x"] * 19, count=45), 31),
    ],
)
def test_where_the_lines_of_the_page_begin(texts: list[str], has: FirstLines, expected: int) -> None:
    """By the number of its lines, and near there by its first texts; lines may have come meanwhile."""
    assert has.index(texts) == expected


def test_numbers_end_with_minus_one() -> None:
    """Of all services together; groups are numbers of lines, too."""
    made = PageLines(Redactor({}), earlier.FIRST)
    told = [("web", ""), ("db", ""), ("web", "error"), ("web", "error"), ("web", "")]
    texts = ["one", "x", "Traceback (most recent call last):", '  File "a.py", line 1', "two"]
    lines: list[PageLine] = [
        made.line(service, "stderr", text, level, 1.0) for (service, level), text in zip(told, texts, strict=True)
    ]
    found = earlier._before(lines, {"web": beginning("two"), "api": beginning("never")})
    assert [(line.number, line.service, line.group) for line in found] == [
        (-4, "web", 0), (-3, "db", 0), (-2, "web", -2), (-1, "web", -2),
    ]  # fmt: skip
