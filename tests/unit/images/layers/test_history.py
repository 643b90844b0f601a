"""Layers from an image's history: readable, paired with their ids, shared, with build times or cached."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.images.layers.history import common, layers, mark, readable, with_build_times, with_shared_layers
from devenv.model.layers import Anatomy, Layer


def row(said: str, size: int = 0, **more: Any) -> dict[str, Any]:
    """A row of a history."""
    return {"CreatedBy": said, "Size": size, "Created": 7, "Comment": "", **more}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("RUN /bin/sh -c npm ci --no-audit # buildkit", "RUN npm ci --no-audit"),
        ("RUN |2 TOKEN=se cret A=b /bin/sh -c echo $A # buildkit", "RUN echo $A"),
        ("|1 TOKEN=secret /bin/sh -c echo", "RUN echo"),
        ("RUN /bin/bash -o pipefail -c a | b # buildkit", "RUN a | b"),
        ("/bin/sh -c apt-get update  \t&& true", "RUN apt-get update && true"),
        ('/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'),
        (f"/bin/sh -c #(nop) ADD file:{'0a' * 32} in / ", "ADD file:0a0a0a0 in /"),
        ("COPY . . # buildkit", "COPY . ."),
        ("RUN node -c x # buildkit", "RUN node -c x"),
        ("RUN /bin/sh -c pip install --index-url https://me:secret@pypi.example/ six", "pypi.example/ six"),
        ("bash", "bash"),
    ],
)
def test_an_instruction_reads_as_it_was_written(written: str, said: str) -> None:
    """No shell around it, no build arguments, no user in a URL."""
    assert readable(row(written)).endswith(said)
    assert "secret" not in readable(row(written))
    assert not readable(row(written)).endswith(" ")


@pytest.mark.parametrize(("comment", "said"), [("Imported from -", "imported"), ("x", "x"), (None, "")])
def test_a_row_without_an_instruction_shows_its_comment(comment: str | None, said: str) -> None:
    """Imports and commits have no instruction."""
    assert readable(row("", Comment=comment)) == said


def test_rows_that_make_no_layer_are_left_out() -> None:
    """ENV and CMD hold nothing; a WORKDIR and a RUN without bytes are layers, as the number of ids says."""
    history = [row('CMD ["x"]'), row("RUN /bin/sh -c true"), row("WORKDIR /app"), row("ENV A=b"), row("COPY a b", 5)]
    assert layers(history, ["1", "2", "3"]) == (
        Layer("COPY a b", 5, 7, "1"),
        Layer("WORKDIR /app", 0, 7, "2"),
        Layer("RUN true", 0, 7, "3"),
    )


def test_empty_rows_may_be_no_layers_at_all() -> None:
    """Some builders drop layers without bytes; if it is unclear which, the ids are empty."""
    history = [row("RUN /bin/sh -c a", 1), row("RUN /bin/sh -c true"), row("WORKDIR /a"), row("COPY a b", 5)]
    assert [(one.instruction, one.id) for one in layers(history, ["1", "2"])] == [("COPY a b", "1"), ("RUN a", "2")]
    assert [(one.instruction, one.id) for one in layers(history, ["1", "2", "3"])] == [
        ("COPY a b", ""),
        ("RUN a", ""),
    ]


def image(*ids: str) -> Anatomy:
    """An image with these layers."""
    return Anatomy("it", "sha256:0", 0, tuple(Layer(f"RUN {one}", 1, 0, one) for one in ids))


def test_a_layer_is_shared_with_all_below_it() -> None:
    """Of the others those are its companions that begin with all layers up to it; the same one on another is not."""
    found = with_shared_layers(image("a", "b", "c"), {"one:1": ["a", "b"], "two:1": ["a", "x", "c"], "3": ["z", "a"]})
    assert [one.shared for one in found.layers] == [("one:1", "two:1"), ("one:1",), ()]
    assert (found.base, found.inherited) == ("one:1", 2)


@pytest.mark.parametrize(
    ("others", "base"),
    [
        ({}, ("", 0)),
        ({"empty:1": []}, ("", 0)),
        ({"1234abcd": ["a"]}, ("", 0)),
        ({"same:1": ["a", "b", "c"]}, ("", 0)),
        ({"more:1": ["a", "b", "c", "d"]}, ("", 0)),
        ({"small:1": ["a"], "large:1": ["a", "b"]}, ("large:1", 2)),
    ],
)
def test_the_base_is_the_largest_image_with_a_name_that_it_begins_with(
    others: dict[str, list[str]], base: tuple[str, int]
) -> None:
    """An image of just these layers is none, nor is one without a name: that is an earlier build."""
    found = with_shared_layers(image("a", "b", "c"), others)
    assert (found.base, found.inherited) == base


@given(st.lists(st.sampled_from("ab")), st.lists(st.sampled_from("ab")))
def test_what_two_chains_begin_with(one: list[str], other: list[str]) -> None:
    """Alike up to there, and different, or at an end, behind it."""
    count = common(one, other)
    assert one[:count] == other[:count]
    assert one[count : count + 1] != other[count : count + 1] or count == len(one) == len(other)
    assert common(other, one) == count


def test_unknown_layers_are_not_shared() -> None:
    """Two empty ids are no id."""
    assert common(["a", ""], ["a", ""]) == 1


def test_times_of_the_last_build_if_they_are_clear() -> None:
    """Cached, or a time in seconds; none if equal instructions differ in that, or did not occur."""
    found = with_build_times(
        image("a", "b", "c", "d"),
        [(mark("RUN a"), None), (mark("RUN  b"), 1.5), (mark("RUN c"), None), (mark("RUN c"), 0.0)],
    )
    assert [(one.cached, one.took) for one in found.layers] == [(True, 0.0), (False, 1.5), (None, 0.0), (None, 0.0)]


def test_flags_of_a_copy_are_ignored() -> None:
    """The history does not have all of them."""
    assert mark("COPY --from=build --chown=node /a  /b") == mark("COPY /a /b") != mark("COPY /b /a")
