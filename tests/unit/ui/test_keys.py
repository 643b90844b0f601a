"""Keys from bytes, in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.ui.keys import parse


@pytest.mark.parametrize(
    ("data", "keys", "rest"),
    [
        (b"aq", ["a", "q"], b""),
        ("é日😀".encode(), ["é", "日", "😀"], b""),
        (b"\x1b[A\x1bOB\x1b[5~", ["up", "down", "pgup"], b""),
        (b"\x1b", ["escape"], b""),
        (b"\x1bx", ["escape", "x"], b""),
        (b"a\x1b[", ["a"], b"\x1b["),
        (b"\x1b[1;5", [], b"\x1b[1;5"),
        (b"\x1b[<0;1;1M", [], b""),
        (b"\xe6\x97", [], b"\xe6\x97"),
        (b"\r\n\t\x7f\x15", ["enter", "enter", "tab", "backspace", "clear"], b""),
        (b"\x00\x01", [], b""),
        (b"\x80\xff", [], b"\xff"),
        (b"\xe0ab\xc0\x1b", ["a", "b"], b""),
    ],
)
def test_keys(data: bytes, keys: list[str], rest: bytes) -> None:
    """Printable keys are themselves, others have names, and what is not whole waits."""
    assert parse(data) == (keys, rest)


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """No bytes are too strange, and what waits is short."""
    keys, rest = parse(data)
    assert all(len(key) == 1 or key.isalpha() for key in keys)
    assert data.endswith(rest)
