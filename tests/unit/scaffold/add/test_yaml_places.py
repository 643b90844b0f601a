"""The places of all parts of a YAML file."""

from __future__ import annotations

import pytest

from devenv.scaffold.add.yaml_places import after_bracket, block, flow, indentation, nested, new_line, read, tail

TEXT = """\
services:
    web:
        image: w # x
        command: |+
            run

    db: { image: "d", ports: [ 1 ] }
# end
"""


def test_nodes_have_their_places() -> None:
    """From the first character to the end of the content."""
    (services,) = [value for name, value in read(TEXT).pairs if name.value == "services"]
    web, db = (services.pairs[services.find(key) or 0][1] for key in ("web", "db"))
    image = web.pairs[0][1]
    assert TEXT[image.begin : image.end] == "w"
    assert TEXT[: web.end].endswith("run\n")
    assert (web.column, db.flow, db.pairs[0][1].quoted) == (8, True, True)
    assert TEXT[db.begin : after_bracket(TEXT, db)] == "{"
    assert (services.find("cache"), db.pairs[1][1].find(0), db.pairs[1][1].find(1)) == (None, 0, None)
    assert read("").pairs == []


def test_comments_below_belong_to_the_entry_above_them() -> None:
    """As far as they begin at its column or further right."""
    text = "a:\n  b: 1\n  # of b\n# the end\n"
    assert text[: tail(text, 7, 2)].endswith("# of b")
    assert text[: tail(text, 7, 0)].endswith("# the end")


@pytest.mark.parametrize(("text", "expected"), [("a\r\nb\n", "\r\n"), ("a", "\n"), ("a\rb", "\r")])
def test_the_first_line_break_counts(text: str, expected: str) -> None:
    """A line feed if there is none."""
    assert new_line(text) == expected


def test_more_is_written_in_the_style_of_the_file() -> None:
    """Its indentation, and its line breaks."""
    assert indentation(TEXT) == 4
    assert block("a:\r\n", nested(["x"], "y: 1\n- z"), 2, 3) == "  x:\r\n     y: 1\r\n     - z"
    assert flow({"a b": [1, "x"], "yes": {}}) == '{"a b": [1, "x"], "yes": {}}'
    assert flow({"a": "b"}, quoted=True) == '{"a": "b"}'
