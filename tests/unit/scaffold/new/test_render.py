"""Answers written into the files of a template."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from devenv.errors import ConfigError, RefusedError
from devenv.scaffold.new import render
from devenv.scaffold.new.template import File, Template

pytestmark = pytest.mark.anyio


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_an_answer_is_data_in_every_format(value: str) -> None:
    """YAML, JSON and Markdown read back exactly the answer."""
    if not any(0xD800 <= ord(char) <= 0xDFFF for char in value):
        assert yaml.safe_load(render.compose(value)) == value.replace("$", "$$")
        assert json.loads(render.as_json(value)) == value
    if value.isprintable():
        shown = render.markdown(value)
        assert "".join(part[:1] + part[1:] for part in _unescaped(shown)) == value


def _unescaped(shown: str) -> list[str]:
    """CommonMark: a backslash before punctuation is not shown; unescaped punctuation would mean something."""
    positions, rest = [], iter(shown)
    for char in rest:
        positions.append(next(rest) if char == "\\" else char)
        assert char == "\\" or not (char.isascii() and not char.isalnum() and char != " ")
    return positions


async def rendered(**files: str) -> dict[str, File]:
    """Render the files of a template with these names (`__` for a dot) and one answer."""
    texts = {name.replace("__", "."): File(text.encode(), executable=True) for name, text in files.items()}
    return await render.rendered(Template("t", "", (), texts), {"word": "a/b"})


async def test_only_texts_with_the_suffix_are_rendered() -> None:
    """The suffix is removed, the mode is kept."""
    files = await rendered(a__jinja="{{ word }}", b="{{ word }}")
    assert files == {"a": File(b"a/b", executable=True), "b": File(b"{{ word }}", executable=True)}


async def test_a_template_that_does_more_than_render_is_refused() -> None:
    """Mistakes are errors of the template."""
    with pytest.raises(RefusedError, match="the template may not do this"):
        await rendered(a__jinja="{{ ''.__class__.__mro__ }}")
    with pytest.raises(ConfigError, match="cannot be rendered"):
        await rendered(a__jinja="{{ other }}")
    template = Template("t", "", (), {"{{ word }}": File(b"")})
    with pytest.raises(RefusedError, match="becomes a path of its own"):
        await render.rendered(template, {"word": "a/b"})
