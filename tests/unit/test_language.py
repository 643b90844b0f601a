"""The words of the code: identifiers without metaphors, and no phrase of the dialect that it was first written in."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/devenv"
PYTHON = sorted(
    path for folder in ("src", "tests", "scripts", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)

# Words that no identifier has. A stage is a part of a Dockerfile.
METAPHORS = frozenset({
    "ascent", "corridor", "deed", "deeds", "helm", "lane", "lanes", "nursery", "pantry", "porch", "shelf", "stair",
    "stairs", "vault", "vitals",
})  # fmt: skip

# Phrases, and the files that may contain them as quotations.
PHRASES: dict[str, frozenset[str]] = dict.fromkeys(
    (
        "anew", "whoever", "is had", "are had", "lies in", "is no more", "told of", "what there is",
        "where there is none", "not there any more", "is nobody's", "are nobody's", "the stairs", "the corridor",
        "the pantry", "the porch", "the nursery", "the machine room", "the house",
    ),
    frozenset(),
)  # fmt: skip


def words(path: Path) -> set[str]:
    """The single words of all identifiers in the file, small; none if no such word is in its text."""
    text = path.read_text(encoding="utf-8")
    if not any(word in text.lower() for word in METAPHORS):
        return set()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    names = {token.string for token in tokens if token.type == tokenize.NAME}
    return {word.lower() for name in names for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_no_identifier_is_a_metaphor() -> None:
    """Names are the field's own terms."""
    used = {str(path.relative_to(ROOT)): words(path) & METAPHORS for path in PYTHON}
    assert {path: names for path, names in used.items() if names} == {}


PHRASE = re.compile(rf"\b(?:{'|'.join(PHRASES)})\b")


def on_one_line(text: str) -> str:
    """The text without what divides it: line ends, quotes, marks of comments."""
    return re.sub(r"[\s\"#]+", " ", text).lower()


def phrases(path: Path) -> set[str]:
    """The phrases in comments and texts of a file of Python."""
    text = path.read_text(encoding="utf-8")
    if not PHRASE.search(on_one_line(text)):
        return set()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    texts = [token.string for token in tokens if token.type in (tokenize.COMMENT, tokenize.STRING)]
    return set(PHRASE.findall(on_one_line(" ".join(texts))))


def messages(path: Path) -> list[str]:
    """The strings in a Python file that are not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
    return [node.value for node in texts if isinstance(node.value, str)]


def test_no_message_names_a_file_that_only_a_checkout_has() -> None:
    """An installed devenv has its pages in `devenv help TOPIC`."""
    texts = {path: messages(path) for path in PYTHON if path.is_relative_to(SOURCE)}
    texts |= {path: [path.read_text(encoding="utf-8")] for path in SOURCE.rglob("*.toml")}
    left = [f"{path.relative_to(SOURCE)}: {text}" for path, all_ in texts.items() for text in all_ if "docs/" in text]
    assert left == []


def test_no_page_has_a_phrase_of_the_dialect() -> None:
    """Documentation is in plain English too; rows of tables may quote what not to write."""
    pages = [*ROOT.glob("[A-Z]*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.*")]
    texts = {page: re.sub(r'^\| ".*', "", page.read_text(encoding="utf-8"), flags=re.MULTILINE) for page in pages}
    left = [
        f"{page.relative_to(ROOT)}: {phrase}" for page in texts for phrase in PHRASE.findall(on_one_line(texts[page]))
    ]
    assert left == []


def test_no_phrase_of_the_dialect_is_left() -> None:
    """No file of Python has one; there are at most thirty phrases, since prose is read by people."""
    assert len(PHRASES) <= 30
    left = [
        f"{path.relative_to(ROOT)}: {phrase}"
        for path in PYTHON
        if path != Path(__file__)
        for phrase in phrases(path)
        if path.relative_to(ROOT).as_posix() not in PHRASES[phrase]
    ]
    assert left == []
