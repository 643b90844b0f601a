"""Text in cells: no width is exceeded, nothing is lost but what does not fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devenv.ui.cells import Styled, beside, cut, fit, pieces, row, width
from devenv.ui.text import clean

LINES = st.text(max_size=60).map(clean)


def test_width() -> None:
    """Wide characters take two cells, combining ones and joiners none."""
    assert width("abc") == 3
    assert width("日本") == 4
    assert width("e\u0301\u200d") == 1


def test_cut_and_fit() -> None:
    """What does not fit ends in an ellipsis; what is short is padded on the side that is asked for."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 4) == "abc…"
    assert cut("日本語", 4) == "日…"
    assert (cut("abc", 1), cut("abc", 0)) == ("…", "")
    assert (fit("ab", 4), fit("ab", 4, right=True)) == ("ab  ", "  ab")


@given(text=LINES, cells=st.integers(2, 20))
def test_pieces(text: str, cells: int) -> None:
    """Pieces fit, and together they are the text."""
    found = list(pieces(text, cells))
    assert "".join(found) == text
    assert all(width(piece) <= cells for piece in found)
    assert found


def test_pieces_end_between_words() -> None:
    """At a space in the last third; otherwise within a word."""
    assert list(pieces("one two three", 9)) == ["one two ", "three"]
    assert list(pieces("a bcdefghijkl", 9)) == ["a bcdefgh", "ijkl"]


def test_a_wide_character_in_one_cell() -> None:
    """It stays, alone: something has to be shown."""
    assert list(pieces("日本", 1)) == ["日", "本"]


@given(texts=st.lists(LINES, max_size=4), cells=st.integers(0, 30))
def test_a_row_fits(texts: list[str], cells: int) -> None:
    """A row is never wider than asked for."""
    assert sum(width(span.text) for span in row(map(Styled, texts), cells)) <= cells


def test_two_ends() -> None:
    """The right end is at the edge, and is left out if both do not fit."""
    left, right = [Styled("left")], [Styled("right", "dim")]
    assert "".join(span.text for span in beside(left, right, 12)) == "left   right"
    assert beside(left, right, 9) == (Styled("left"),)
