"""Docker's pattern matching, by a table of examples, and compared with a second, naive implementation."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devenv.sync.rules.patterns import Patterns, dockerignore_lines, place_of

# One row per rule: the patterns, a path, and whether it is matched.
ROWS = [
    # names and folders
    ("file.txt", "file.txt", True),
    ("file.txt", "other.txt", False),
    ("file.txt", "a/file.txt", False),
    ("file.txt", "file.txt/below", True),
    ("file.txt", "file.txt2", False),
    ("temp", "temp/a/b/c", True),
    ("temp/", "temp/a", True),
    ("temp/", "temp", True),
    ("a/b", "a/b/c", True),
    ("a/b", "a", False),
    ("a/b", "a/bc", False),
    ("a/b", "x/a/b", False),
    # patterns are cleaned
    ("/foo", "foo", True),
    ("/foo/bar", "foo/bar", True),
    ("//foo", "foo", True),
    ("./foo", "foo", True),
    ("foo//bar", "foo/bar", True),
    ("foo/./bar", "foo/bar", True),
    ("foo/../bar", "bar", True),
    ("foo/../bar", "foo", False),
    ("/../foo", "foo", True),
    ("../foo", "foo", False),
    ("  foo  ", "foo", True),
    (".", "foo", False),
    ("./", "foo", False),
    ("/", "foo", False),
    ("", "foo", False),
    # `*` and `?` stay inside a name
    ("*", "foo", True),
    ("*", "foo/bar", True),
    ("*", ".hidden", True),
    ("*.go", "main.go", True),
    ("*.go", "cmd/main.go", False),
    ("*.go", "main.gox", False),
    ("*/temp*", "somedir/temporary.txt", True),
    ("*/temp*", "temporary.txt", False),
    ("*/*/temp*", "somedir/subdir/temporary.txt", True),
    ("*/*/temp*", "somedir/temporary.txt", False),
    ("temp?", "tempa", True),
    ("temp?", "temp", False),
    ("temp?", "tempab", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f", True),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("*x", "xxx", True),
    ("a???b", "a☺☺☺b", True),
    ("*.md", "line\nbreak.md", True),
    ("*.md", "\udcff.md", True),
    ("a?b", "a\udcffb", True),
    # `**` crosses any number of names, also none
    ("**", "foo", True),
    ("**", "a/b/c", True),
    ("**/", "a/b", True),
    ("**/**", "a", True),
    ("**/*.go", "main.go", True),
    ("**/*.go", "a/b/main.go", True),
    ("**/*.go", "a/b/main.gox", False),
    ("**/foo", "foo", True),
    ("**/foo", "a/foo", True),
    ("**/foo", "a/b/foo/c", True),
    ("**/foo", "a/barfoo", False),
    ("**/foo/bar", "a/foo/bar", True),
    ("**/foo/bar", "a/foo/x/bar", False),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir/a/b", True),
    ("dir/**", "dir", False),
    ("dir/**", "dir2/file", False),
    ("dir/**/*.js", "dir/a.js", True),
    ("dir/**/*.js", "dir/a/b/c.js", True),
    ("a/**/b", "a/b", True),
    ("a/**/b", "a/x/y/b", True),
    ("a/**/b", "ab", False),
    ("a/**/**/b", "a/b", True),
    ("**/a/**/b/**/c", "x/a/a/y/b/z/b/c", True),
    ("**/a/**/b/**/c", "x/b/a/c", False),
    ("**/*a/*/**/b*c", "xa/y/z/bxc", True),
    ("**/*a/*/**/b*c", "xa/bxc", False),
    ("***", "a/b", True),
    ("****/x", "a/x", True),
    # `**` inside a name, as Docker has it
    ("**foo", "xfoo", True),
    ("**.pyc", "a/b/c.pyc", True),
    ("**.py?", "a.pyc", False),
    ("**.py?", "a/.pyc", True),
    ("foo**", "foobar/baz", True),
    ("foo**", "fo", False),
    ("a**b", "ab", True),
    ("a**b", "ax/y/b", True),
    ("a**b", "axb", False),
    ("a**/b", "ab", True),
    ("*a**b", "a/ab", False),
    ("**/a**b", "a/ab", True),
    ("a**b**c", "a/bx/c", True),
    ("a**/**", "ax", True),
    ("a***b", "axb", True),
    # classes
    ("[a-c]x", "bx", True),
    ("[a-c]x", "dx", False),
    ("[^a-c]x", "dx", True),
    ("[^a-c]x", "bx", False),
    ("[!a]x", "!x", True),
    ("[abc0-9]", "7", True),
    ("[a-z0-9_]*.txt", "_1.txt", True),
    (r"[\]a]", "]", True),
    (r"[\-x]", "-", True),
    (r"[x\-]", "-", True),
    (r"[\^a]", "^", True),
    (r"[^\^a]", "^", False),
    ("[*?]", "*", True),
    ("[*?]", "a", False),
    ("[.]a", ".a", True),
    ("[α-ω]", "π", True),
    ("a[^b]c", "a/c", False),
    ("a]", "a]", True),
    # characters without a special meaning
    (r"\*", "*", True),
    (r"\*", "a", False),
    (r"a\[b", "a[b", True),
    (r"\!keep", "!keep", True),
    (r"\a\b", "ab", True),
    ("a.b", "axb", False),
    ("a+(b)|{c}^$", "a+(b)|{c}^$", True),
    ("#x#", "#x#", True),
    # the last match wins
    ("*.md !README.md", "README.md", False),
    ("*.md !README.md", "other.md", True),
    ("*.md !README*.md README-secret.md", "README-secret.md", True),
    ("*.md README-secret.md !README*.md", "README-secret.md", False),
    ("* !src", "src/main.py", False),
    ("* !src", "lib/main.py", True),
    ("* !src **/*.tmp", "src/x.tmp", True),
    ("!src *", "src", True),
    ("a !a/b", "a/b/c", False),
    ("a !a/b", "a/c", True),
    ("a !a/b a/b/c", "a/b/c", True),
    ("!/src src", "src", True),
    ("src !/src", "src", False),
    ("src !./src/", "src/a", False),
    ("** !**/*.py", "a/b.py", False),
    ("!a", "a", False),
]


@pytest.mark.parametrize(("patterns", "path", "matched"), ROWS)
def test_row(patterns: str, path: str, matched: bool) -> None:
    """Each row of the table holds."""
    lines = patterns.split(" ") if patterns.strip() == patterns else [patterns]
    assert Patterns.parse(lines).matches(path) is matched


UNFINISHED = [
    "[",
    "a[",
    "[]",
    "[]a]",
    "[^]",
    "[^]a]",
    "[-]",
    "[x-]",
    "[-x]",
    "[a-b-c]",
    "[a-",
    "[a",
    "a\\",
    "[a\\",
]


@pytest.mark.parametrize("bad", [*UNFINISHED, "a[z-b]", "!", "! ", "![", "a**" * 7 + "b"])
def test_a_bad_pattern_is_named(bad: str) -> None:
    """It raises ValueError with the pattern."""
    with pytest.raises(ValueError, match="bad pattern") as raised:
        Patterns.parse(["ok", bad])
    assert f"`{bad.strip()}`" in str(raised.value)


def test_the_deciding_pattern_is_known() -> None:
    """It is the last pattern that matches, negated or not."""
    patterns = Patterns.parse(["*.md", "!/README.md", "docs/"])
    assert patterns.deciding("a.md") == "*.md"
    assert patterns.deciding("README.md") == "!README.md"
    assert patterns.deciding("docs/a/b") == "docs"
    assert patterns.deciding("src") is None


def test_an_earlier_list_decides_if_no_pattern_matches() -> None:
    """The default is used unless a pattern of this list matches."""
    patterns = Patterns.parse(["a", "!b"])
    assert [patterns.matches(path, default=True) for path in "abc"] == [True, False, True]


def test_sparing_leaves_out_patterns_that_match_the_path() -> None:
    """Patterns for a folder above the path are left out, too; the others stay in order."""
    patterns = Patterns.parse(["*", "!dist/a", "dist/b", "di*", "**/dist"])
    assert patterns.sparing("dist") == Patterns(("!dist/a", "dist/b"))


@pytest.mark.parametrize(
    ("patterns", "directory", "outcomes"),
    [
        ("node_modules", "node_modules", {True}),
        ("node_modules", "node_modules/a/b", {True}),
        ("node_modules", "src", {False}),
        ("node_modules", "", {False, True}),
        ("**/node_modules", "src", {False, True}),
        ("**/node_modules", "a/node_modules/b", {True}),
        ("node_modules !node_modules/mine", "node_modules", {False, True}),
        ("node_modules !node_modules/mine", "node_modules/other", {True}),
        ("node_modules !node_modules/mine", "node_modules/mine", {False}),
        ("node_modules !*.md", "node_modules", {True}),
        ("node_modules !**/*.md", "node_modules", {False, True}),
        ("* !src", "", {False, True}),
        ("* !src", "lib", {True}),
        ("* !src", "src", {False}),
        ("* !src/a/b", "src", {False, True}),
        ("* !src/a/b", "src/b", {True}),
        ("* !s*/a/b", "src/a", {False, True}),
        ("*", "", {True}),
        ("**", "", {True}),
        ("logs/*", "logs", {True}),
        ("logs/**", "logs", {True}),
        ("logs/?", "logs", {False, True}),
        ("a**b", "ax", {False, True}),
        ("a**b", "b", {False}),
        ("**foo", "x", {False, True}),
        ("", "a", {False}),
    ],
)
def test_outcomes_below(patterns: str, directory: str, outcomes: set[bool]) -> None:
    """The answers that are possible below a folder."""
    assert Patterns.parse(patterns.split(" ")).outcomes_below(directory) == outcomes


def test_outcomes_below_with_an_earlier_list() -> None:
    """If no pattern of this list can match, the answers of the earlier list remain."""
    patterns = Patterns.parse(["!keep"])
    assert patterns.outcomes_below("x", defaults=frozenset({True})) == {True}
    assert patterns.outcomes_below("", defaults=frozenset({True})) == {False, True}


def test_the_lines_of_a_dockerignore() -> None:
    """Byte order mark and comments are removed, line numbers stay; a `#` after a space is part of a pattern."""
    text = "\ufeff# first\r\n\n  a b  \r\n #not\n#yes\n!x\n*.md"
    assert dockerignore_lines(text) == ("", "", "a b", "#not", "", "!x", "*.md")


def test_the_place_of_a_pattern() -> None:
    """The last line with the pattern, however it is written."""
    lines = ("a", "", "./b/", "!/b", "b", "a/../c/")
    assert [place_of(pattern, lines) for pattern in ("a", "b", "!b", "c")] == [0, 4, 3, 5]
    with pytest.raises(ValueError, match="empty"):
        place_of("d", lines)


def test_equal_lists_are_equal() -> None:
    """Patterns are values."""
    assert Patterns.parse(["a/", "./b"]) == Patterns.parse(["a", "b"])
    assert Patterns.parse([]) == Patterns()


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 20 + "b", "a" * 255),
        ("**/a/" * 10 + "b", "a/" * 1000 + "c"),
        ("**/*a*a/*/" * 8 + "b", "aaaa/" * 500 + "c"),
        ("a**" * 6 + "b", "a/" * 300 + "c"),
        ("**/" + "*?" * 20 + "b", ("a" * 200 + "/") * 10),
    ],
)
def test_a_malicious_pattern_takes_no_time(pattern: str, path: str) -> None:
    """It is decided at once, even with a malicious path."""
    patterns = Patterns.parse([pattern])
    begin = time.process_time()
    assert not patterns.matches(path)
    assert time.process_time() - begin < 1.0


# A second implementation: the definition, spelled out, with no thought of speed.


def _class_end(pattern: str) -> int:
    at = 2 if pattern[1] == "^" else 1
    while pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at


def _class_has(inner: str, char: str) -> bool:
    at = 0
    while at < len(inner):
        at += inner[at] == "\\"
        low = high = inner[at]
        at += 1
        if at < len(inner) and inner[at] == "-":
            at += 1
            at += inner[at] == "\\"
            high = inner[at]
            at += 1
        if low <= char <= high:
            return True
    return False


def _naive(pattern: str, path: str) -> bool:  # noqa: PLR0911 - one return for each kind of piece
    if not pattern:
        return not path
    if pattern.startswith("**"):
        rest = pattern[2:].removeprefix("/")
        starts = [0, *(at + 1 for at, char in enumerate(path) if char == "/")]
        return not rest or any(_naive(rest, path[start:]) for start in starts)
    if pattern[0] == "*":
        ends = range(len(path.split("/", 1)[0]) + 1)
        return any(_naive(pattern[1:], path[end:]) for end in ends)
    if not path:
        return False
    if pattern[0] == "?":
        return path[0] != "/" and _naive(pattern[1:], path[1:])
    if pattern[0] == "[":
        end = _class_end(pattern)
        negated = pattern[1] == "^"
        inside = _class_has(pattern[1 + negated : end], path[0])
        return path[0] != "/" and inside != negated and _naive(pattern[end + 1 :], path[1:])
    literal = pattern[1:] if pattern[0] == "\\" else pattern
    return literal[0] == path[0] and _naive(literal[1:], path[1:])


def _naive_ends_with(pattern: str, path: str) -> bool:
    """Docker's special case: `**` before plain text is a suffix."""
    plain = not set(pattern[2:]) & set("*?[]\\")
    return pattern.startswith("**") and pattern[2:3] != "/" and plain and path.endswith(pattern[2:])


def _naive_list(lines: list[str], path: str) -> bool:
    parts = path.split("/")
    heads = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    matched = False
    for line in lines:
        pattern = line.removeprefix("!")
        if any(_naive(pattern, head) or _naive_ends_with(pattern, head) for head in heads):
            matched = not line.startswith("!")
    return matched


_NAME = st.text("ab.-", min_size=1, max_size=4).filter(lambda name: name not in (".", ".."))
_PATH = st.lists(_NAME, min_size=1, max_size=5).map("/".join)
_PIECE = st.sampled_from(["a", "b", ".", "a", "b", "*", "*", "?", "**", "[ab]", "[^a]", "[a-b.]", r"\a", r"\*"])
_PATTERN_NAME = st.one_of(st.just("**"), st.lists(_PIECE, min_size=1, max_size=4).map("".join)).filter(
    lambda name: name not in (".", "..") and name.count("**") < 3
)
_PATTERN = st.lists(_PATTERN_NAME, min_size=1, max_size=4).map("/".join)
_LINE = st.tuples(st.sampled_from(["", "", "!"]), _PATTERN).map("".join)
_LINES = st.lists(_LINE, max_size=4)


@given(_LINES, _PATH)
def test_as_the_naive_implementation(lines: list[str], path: str) -> None:
    """Both implementations agree on every list and path."""
    assert Patterns.parse(lines).matches(path) is _naive_list(lines, path)


@given(_LINES, _PATH)
def test_the_deciding_pattern_explains_the_answer(lines: list[str], path: str) -> None:
    """A path matches exactly if the deciding pattern is not negated."""
    patterns = Patterns.parse(lines)
    deciding = patterns.deciding(path)
    assert patterns.matches(path) is (deciding is not None and not deciding.startswith("!"))


@given(_LINES, st.one_of(st.just(""), _PATH), _PATH)
def test_outcomes_below_hold(lines: list[str], directory: str, below: str) -> None:
    """No path below a folder has an answer that is not among its outcomes."""
    patterns = Patterns.parse(lines)
    path = f"{directory}/{below}" if directory else below
    assert patterns.matches(path) in patterns.outcomes_below(directory)
