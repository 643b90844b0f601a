"""Text in cells: no width is exceeded, and only what does not fit is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.ui.cells import Styled, beside, clean, coloured, columns, cut, fit, marked, part, pieces, row, width

LINES = st.text(max_size=60).map(clean)


def test_width() -> None:
    """Wide characters take two cells, combining characters and joiners none."""
    assert width("abc") == 3
    assert width("日本") == 4
    assert width("e\u0301\u200d") == 1


def test_cut_and_fit() -> None:
    """Long text ends in an ellipsis; short text is padded on the given side."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdef", 4) == "abc…"
    assert cut("日本語", 4) == "日…"
    assert (cut("abc", 1), cut("abc", 0)) == ("…", "")
    assert (fit("ab", 4), fit("ab", 4, right=True)) == ("ab  ", "  ab")


@given(text=LINES, cells=st.integers(2, 20))
def test_pieces_fit_and_join_to_the_text(text: str, cells: int) -> None:
    """Pieces fit, and together they are the text."""
    parts = list(pieces(text, cells))
    assert "".join(parts) == text
    assert all(width(piece.removesuffix(" ")) <= cells for piece in parts)
    assert parts


def test_pieces_end_between_words() -> None:
    """At the last space, unless it is in the first third; otherwise within a word."""
    assert list(pieces("one two three", 9)) == ["one two ", "three"]
    assert list(pieces("a bcdefghijkl", 9)) == ["a bcdefgh", "ijkl"]
    assert list(pieces("open failed: /var/run/postgresql", 20)) == ["open failed: ", "/var/run/postgresql"]
    assert list(pieces("日本 日本語", 10)) == ["日本 ", "日本語"]
    assert list(pieces("four four", 4)) == ["four ", "four"]


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


RED, GREEN = "\x1b[31m", "\x1b[32m"


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("plain", [("plain", ())]),
        (f"{RED}ERROR\x1b[0m done", [("ERROR", ("31",)), (" done", ())]),
        (f"{RED}a{GREEN}b\x1b[mc", [("a", ("31",)), ("b", ("32",)), ("c", ())]),
        ("\x1b[1;4;31;42mx\x1b[22;24my\x1b[39;49mz", [("x", ("1", "4", "31", "42")), ("y", ("31", "42")), ("z", ())]),
        ("\x1b[2;3mx\x1b[23my\x1b[22mz", [("x", ("2", "3")), ("y", ("2",)), ("z", ())]),
        ("\x1b[38;5;196mx\x1b[48;2;1;2;255my", [("x", ("38;5;196",)), ("y", ("38;5;196", "48;2;1;2;255"))]),
        ("\x1b[91;107mx", [("x", ("91", "107"))]),
        # Left out: other attributes, wrong and unfinished colours, private and very long sequences.
        ("\x1b[5;7;8;9;21;50;98;31mx", [("x", ("31",))]),
        ("\x1b[38;5;256mx", [("x", ())]),
        ("\x1b[38;2;1;2mx", [("x", ())]),
        ("\x1b[38;9;31mx", [("x", ())]),
        ("\x1b[38mx\x1b[38;5my", [("x", ()), ("y", ())]),
        ("\x1b[38:5:196mx", [("x", ())]),
        ("\x1b[>4;2mx\x1b[?31my\x1b[31 mz", [("x", ()), ("y", ()), ("z", ())]),
        (f"\x1b[{'31;' * 10}31mx", [("x", ())]),
        (f"\x1b[{'1' * 28}mx", [("x", ())]),
        ("\x1b[31", [("31", ())]),
        ("\x1b]0;title\x07a\x1b[2Jb", [("a", ()), ("b", ())]),
        (f"\x1b]52;c;{RED}x", [("x", ("31",))]),
        ("\x9b31mx", [("31mx", ())]),
    ],
)  # fmt: skip
def test_colours_that_are_kept(line: str, pieces: list[tuple[str, tuple[str, ...]]]) -> None:
    """Colours and weights as numbers of our own; nothing else of an escape sequence."""
    assert [(piece.text, piece.codes) for piece in coloured(line)] == pieces


ESCAPED = st.lists(
    st.sampled_from((RED, "\x1b[", "\x1b", "31m", ";", "m", "a", "日", "\t", "\x9b", "\x1b]", "\x07", "\r"))
)


@given(ESCAPED.map("".join))
def test_colours_change_no_text(line: str) -> None:
    """The text is that of the cleaned line, whatever colours are kept."""
    assert "".join(piece.text for piece in coloured(line)) == clean(line)


@given(line=LINES, cuts=st.lists(st.integers(0, 60), max_size=6))
def test_parts_and_marks(line: str, cuts: list[int]) -> None:
    """Parts have exactly these characters, and marks change styles alone."""
    spans = [Styled(line[:7]), Styled(line[7:20], "dim"), Styled(line[20:])]
    for begin, end in itertools.pairwise(cuts):
        assert "".join(span.text for span in part(spans, begin, end)) == line[begin:end]
    places = [(begin, begin + 3) for begin in cuts]
    parts = list(marked(spans, places, "match"))
    assert "".join(span.text for span in parts) == line
    styles = [span.style for span in parts for _ in span.text]
    in_any = [any(begin <= index < end for begin, end in places) for index in range(len(line))]
    assert [style == "match" for style in styles] == in_any


def test_columns() -> None:
    """Aligned under their names; nothing for no rows."""
    rows = [{"image": "a", "size": "10 MB"}, {"image": "longer", "size": "-"}]
    assert list(columns(rows)) == ["IMAGE   SIZE", "a       10 MB", "longer  -"]
    assert list(columns([])) == []
