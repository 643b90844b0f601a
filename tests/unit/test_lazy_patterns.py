"""Regular expressions compiled at their first use."""

from __future__ import annotations

import re
from threading import Thread

from devenv.lazy_patterns import LazyPattern, LazyPatterns


def test_pattern_matches_like_a_compiled_one() -> None:
    """With its flags, at each use."""
    pattern = LazyPattern("A(.)", re.IGNORECASE)
    assert [pattern.match("ab")[1], pattern.match("ac")[1], pattern.search("x")] == ["b", "c", None]


def test_block_compiles_nothing_and_ends() -> None:
    """In the block, even a wrong pattern is no error; other threads and later calls compile at once."""
    compiled: list[object] = []
    with LazyPatterns():
        compiled.append(re.compile("("))
        thread = Thread(target=lambda: compiled.append(re.compile("a")))
        thread.start()
        thread.join()
    compiled.append(re.compile("b"))
    assert [type(each) for each in compiled] == [LazyPattern, re.Pattern, re.Pattern]
