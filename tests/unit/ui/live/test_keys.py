"""Keys from bytes, in whatever pieces they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.ui.live.keys import MOST_HELD, PASTED, parse


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
        (b"a\x1b[200~q\r\nd\x1b[31m \xc3\xa9\x1b[201~b", ["a", "pasted q d[31m \u00e9", "b"], b""),
        (b"\x1b[200~q\x1b[20", [], b"\x1b[200~q\x1b[20"),
        (b"\xe0ab\xc0\x1b", ["a", "b"], b""),
    ],
)
def test_keys(data: bytes, keys: list[str], rest: bytes) -> None:
    """Printable keys are themselves, others have names, and what is not whole waits."""
    assert parse(data) == (keys, rest)


def test_much_that_is_pasted() -> None:
    """A paste of any length is one key, of which the beginning is kept, and little waits for its end."""
    keys, rest = parse(b"\x1b[200~" + b"quit " * 10_000)
    for piece in (b"more" * 5000, b"\x1b[20", b"1~d"):
        assert keys == []
        assert len(rest) <= MOST_HELD
        keys, rest = parse(rest + piece)
    assert keys == [f"{PASTED}{('quit ' * 100)}", "d"]
    assert rest == b""


@given(st.binary(max_size=40))
def test_any_bytes(data: bytes) -> None:
    """No bytes are too strange, and what waits is short."""
    keys, rest = parse(data)
    assert all(len(key) == 1 or key.isalpha() for key in keys)
    assert data.endswith(rest)
