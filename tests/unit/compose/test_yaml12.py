"""YAML by the 1.2 core schema, and files that must be refused."""

from __future__ import annotations

import time
import tracemalloc

import pytest
import yaml

from devenv.compose import yaml12
from devenv.errors import ConfigError

ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 9)}]}}\n" for i in range(7)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("=", "="),
        ("<<", "<<"),
        ("22:22", "22:22"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("0644", 644),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("~", None),
        ("", None),
        ("Null", None),
        ("TRUE", True),
        ("false", False),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("|-\n a\n b", "a\nb"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    """A plain scalar is read by YAML 1.2, as in Compose, and not by YAML 1.1."""
    assert yaml12.construct(f"k: {text}", file="f") == {"k": value}


def test_keys_that_older_yaml_treats_specially_are_plain() -> None:
    """`=`, `<<`, `on` and numbers are keys like any other in what Compose prints."""
    text = "=: 1\n<<: 2\non: 3\n'4': 4\n"
    assert yaml12.construct(text, file="f") == {"=": 1, "<<": 2, "on": 3, "4": 4}


def test_binary_values_are_kept() -> None:
    """A value that Compose prints as !!binary is kept, byte for byte, as a string with escaped bytes."""
    value = yaml12.construct("a: !!binary //4=", file="f")["a"]
    assert value.encode(errors="surrogateescape") == b"\xff\xfe"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"services:\n\tweb: 1\n", "f:2: a tab is used for indentation"),
        (b"services:\n  web:\n  \timage: 1\n", "f:3: a tab is used for indentation"),
        (b"a: 1\nb:\n  c: 1\n d: 2\n", "f:4: the indentation is wrong"),
        (b"services: {}\nx: 1\nservices: {}\n", 'f:3: duplicate key "services" (first on line 1)'),
        (b"{a: 1, a: 2}", 'f:1: duplicate key "a" (first on line 1)'),
        (b"a:\n  '<<': 1\n  <<: 1\n", 'f:3: duplicate key "<<" (first on line 2)'),
        (b"a: [1\n", "f:1: a bracket is not closed, or a comma is missing"),
        (b"a:\n  b: [\n", "f:2: a bracket is not closed, or a value is missing"),
        (b'a: "x\n', "f:1: a quote is not closed"),
        (b"a: b: c\n", "f:1: unexpected `:`"),
        (b"a: @x", "f:1: a value may not start with this character"),
        (b"a: &a [*a]", "f:1: alias *a refers to itself"),
        (b"a:\n  b: *x", "f:2: alias *x has no anchor &x above it"),
        (b"a: 1\n[b]: 1\n", "f:2: a key must be plain text, not a list or a mapping"),
        (b"a: !!python/object/apply:os.system id", "f:1: unknown tag !!python/object/apply:os.system"),
        (b"a: !env X", "f:1: unknown tag !env"),
        (b"a: 1\n---\nb: 2\n", "f:3: a second YAML document starts here"),
        (b"\xff\xfea\x00", "f:1: the file is UTF-16"),
        (b"a: 1\nb: \xff", "f:2: not UTF-8 text"),
        (b"a: 1\nb: \x00", "f:2: a NUL byte in the text"),
        (b"a: \x1b[31m", "f:1: the control character U+001B in the text"),
        (b"x" * (1024 * 1024 + 1), "f: larger than 1024 KiB: this is not a Compose file"),
        (b"[" * 3000, "f:1: nesting deeper than 100"),
        (b"- " * 3000 + b"a", "f:1: nesting deeper than 100"),
        (ALIAS_BOMB.encode(), "f:5: more than 10,000 nodes after aliases"),
        (MERGE_BOMB.encode(), "f:5: more than 10,000 nodes after aliases"),
        (b"[" + b"a," * 200_000 + b"]", "f:1: more than 50,000 nodes"),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else None,
)
def test_ambiguous_or_endless_yaml_is_refused_with_its_line(text: bytes, complaint: str) -> None:
    """Each bad file gives one ConfigError with its line, quickly and without a traceback."""
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        yaml12.check(text, file="f")
    assert f"{caught.value.where}: {caught.value}" == complaint
    assert time.process_time() - began < 2


def test_alias_bomb_is_refused_before_it_is_built() -> None:
    """An alias bomb is refused before it is built."""
    tracemalloc.start()
    with pytest.raises(ConfigError):
        yaml12.check(ALIAS_BOMB.encode(), file="f")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfservices: {}\n",
        b"services: {}\r\nx-a: 1\r\n",
        b"a: !reset []\nb: !override {c: !reset null}\n",
        b"a: &a {b: 1}\nc: {<<: *a, d: 2}\ne: [*a, *a]\n",
        b"a: 1\n---\n",
        "a: ünï☃💥\n".encode(),
        b"",
    ],
)
def test_common_yaml_variants_are_accepted(text: bytes) -> None:
    """Byte order marks, CRLF, Compose's tags, ordinary aliases and an empty second document are accepted."""
    assert isinstance(yaml12.check(text, file="f"), yaml.Node)


FILE = """\
x-base: &base
  image: a
services:
  web:
    <<: *base
    ports:
      - "80:80"
      - "81:81"
  my.db: {image: b}
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["services"], 3),
        (["services", "web", "ports", 1], 8),
        (["services", "web", "ports", 7], None),
        (["services", "web", "image"], 2),
        (["services", "web", "nothing", "below"], None),
        (["services", "my.db", "image"], 9),
        (["nowhere"], None),
    ],
)
def test_a_path_leads_to_its_line(path: list[str | int], line: int | None) -> None:
    """The line is that of the key or the list item, merge keys followed."""
    assert yaml12.line_of(yaml12.check(FILE.encode(), file="f"), path) == line


def test_marks_count_characters() -> None:
    """A mark is a place in the decoded text, also behind a byte order mark, CRLF and wide characters."""
    data = b"\xef\xbb\xbf" + "x: 💥ü\r\nkey: value\r\n".encode()
    text = yaml12.decode(data, file="f")
    node = yaml12.check(data, file="f")
    ((_, _), (key, value)) = node.value
    assert text[key.start_mark.index : key.end_mark.index] == "key"
    assert text[value.start_mark.index : value.end_mark.index] == "value"


def test_an_error_shows_its_line_and_column_without_values() -> None:
    """The line above, the line, and a mark; values may be secrets, and stay hidden."""
    with pytest.raises(ConfigError) as caught:
        yaml12.check(b"services:\n  web:\n    environment:\n      A: c4n4ry\n     B=c4n4ry\n", file="f")
    error = caught.value
    assert (error.line, error.column) == (5, 6)
    assert error.hint == "All keys of a mapping, and all dashes of a list, begin in the same column."
    assert error.excerpt == ("   4 |       A: ******", "   5 |      B=******", "     |      ^")
