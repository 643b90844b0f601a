"""The bytes sent to the helper. Their effect is tested with a real perl in `test_shell`."""

from __future__ import annotations

import pytest

from devenv.sync.container import perl_helper, tar
from devenv.sync.container.perl_helper import IS_ROOT_ONLY, MAKE_FOLDER, REMOVE, REMOVE_EMPTY, RENAME, operation
from devenv.sync.container.tar import TarEntry


def entry(content: bytes = b"new", *, kind: bytes = tar.FILE, link: bytes = b"") -> TarEntry:
    """A file, or a link, of a user."""
    return TarEntry(b"f", kind, 0o640, 1_700_000_000_000_000_001, 7, 8, content, link)


def test_a_file_is_one_operation_with_its_content() -> None:
    """The path and the new name in hexadecimal; mode, owner, seconds, nanoseconds in decimal; the length last."""
    (operation,) = perl_helper.put(entry(b"a\nb"), "/t~", "/t")
    names = b"2f747e 74"
    assert operation == b"p %s %d 7 8 1700000000 1 3\na\nb" % (names, 0o640)


def test_a_time_before_1970_is_negative_seconds_and_positive_nanoseconds() -> None:
    """As utimensat(2) wants it."""
    before = TarEntry(b"f", tar.FILE, 0o644, -1, 0, 0)
    assert b" -1 999999999 0\n" in perl_helper.put(before, "/t~", "/t")[0]


def test_a_link_has_no_content() -> None:
    """Its text is in hexadecimal, too."""
    (operation,) = perl_helper.put(entry(b"", kind=tar.LINK, link=b"a b"), "/t~", "/t")
    assert operation == b"l 2f747e 2f74 7 8 612062\n"


def test_a_large_file_goes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun, filled, finished."""
    monkeypatch.setattr(perl_helper, "MOST_BYTES", 4)
    operations = perl_helper.put(entry(b"abcdefghij"), "/t~", "/t")
    assert operations == [
        b"b 2f747e\n",
        b"w 4\nabcd",
        b"w 4\nefgh",
        b"w 2\nij",
        b"f 2f747e 2f74 %d 7 8 1700000000 1\n" % 0o640,
    ]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (operation(RENAME, "/a~", "/a"), b"m 2f617e 2f61\n"),
        (operation(MAKE_FOLDER, "/a", 7, 8), b"d 2f61 7 8\n"),
        (operation(REMOVE, "/a"), b"r 2f61\n"),
        (operation(REMOVE_EMPTY, "/a"), b"e 2f61\n"),
        (operation(IS_ROOT_ONLY, "/a"), b"t 2f61\n"),
        (operation(REMOVE, "/\udcff\n"), b"r 2fff0a\n"),
    ],
)
def test_operations_are_lines_whatever_a_name_holds(operation: bytes, expected: bytes) -> None:
    """Names go in hexadecimal, so that none can end a line."""
    assert operation == expected


def test_messages_say_their_length_first() -> None:
    """No operation begins before the whole message arrived."""
    assert perl_helper.message(b"d", b"r 2f\ne 2f\n") == b"d 10\nr 2f\ne 2f\n"
    assert perl_helper.message(b"s", b"true\n") == b"s 5\ntrue\n"


def test_the_program_stands_between_quotes_of_the_shell() -> None:
    """It contains no quote, and is followed by its arguments."""
    assert b"'" not in perl_helper.PROGRAM
    start = perl_helper.start("mark", "/bin/sh", "DEVENV_SESSION=m")
    assert start.count(perl_helper.PROGRAM) == 1
    assert b"%(" not in start
    assert start.endswith(b"else printf '\\n%s 0\\n\\n%s end\\n' mark mark; fi\n")
