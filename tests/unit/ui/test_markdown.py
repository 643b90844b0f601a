"""A page of the documentation in a terminal."""

from __future__ import annotations

import pytest

from devenv.cli import overview
from devenv.ui import cells, markdown

PAGE = """\
# A page with a long heading

A paragraph in two lines,
of which each is too long.

![A picture](images/a.png)

- an item with more words
  and more
- another
  1. inside, with more words

```sh
devenv up --with --many --options
```

| a table | that is too wide |
<a id="part"></a>
在源码目录之外的任意目录里，
运行。
"""
WRAPPED = """\
# A page with a long heading

A paragraph in two
lines, of which each
is too long.

- an item with more
  words and more
- another
  1. inside, with
     more words

```sh
devenv up --with --many --options
```

| a table | that is too wide |
<a id="part"></a>
在源码目录之外的任意
目录里，运行。
"""


def test_prose_is_wrapped_between_words() -> None:
    """Paragraphs and items of lists are; code, tables and headings stay, and pictures are left out."""
    assert markdown.wrapped(PAGE, 20) == WRAPPED
    assert (
        markdown.wrapped(f"{'word ' * 40}\n", 300) == f"{'word ' * 20}".rstrip() + f"\n{'word ' * 20}".rstrip() + "\n"
    )


@pytest.mark.parametrize("name", sorted(overview.topics()))
def test_each_page_fits_into_a_terminal(name: str) -> None:
    """Outside of code and tables, no word is lost and no line is too wide."""
    with open(overview.topics()[name], encoding="utf-8") as file:
        page = file.read()
    text = markdown.wrapped(page, 80)
    blocks = text.split("```")
    prose = [line for block in blocks[::2] for line in block.splitlines() if not line.startswith(("#", "|", "<"))]
    assert [line for line in prose if cells.width(line) > 80] == []
    assert "".join(text.split()) == "".join(
        "".join(x for x in page.splitlines() if not markdown.PICTURE.match(x)).split()
    )
