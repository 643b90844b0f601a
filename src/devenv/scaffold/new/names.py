"""Which paths a template may have, and how they are shown. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from devenv.errors import RefusedError
from devenv.paths import ancestors

LONGEST = 255  # bytes of a name on every common file system
FORBIDDEN = frozenset({".git", "git~1", ".ssh", ".gnupg", ".aws", ".docker", ".kube"})
MAX_FILES = 10_000


def check(paths: Iterable[str]) -> None:
    """Raise RefusedError for a path that could leave the folder, or be more there than a plain file.

    Paths are relative, with `/` between their names. Paths that some file system takes for the same are the same.
    """
    seen: dict[str, str] = {}
    folders: set[str] = set()
    for count, path in enumerate(paths, 1):
        if count > MAX_FILES:
            raise RefusedError(f"the template has more than {MAX_FILES:,} files")
        for part in path.split("/"):
            if why := _fault(part):
                raise RefusedError(f"the template's entry {path!r} is refused: {why}")
        key = unicodedata.normalize("NFC", path).casefold()
        if key in seen:
            raise RefusedError(f"the template has {path!r} twice, if case makes no difference")
        seen[key] = path
        folders.update(ancestors(key))
    if both := sorted(folders & seen.keys()):
        raise RefusedError(f"the template has {seen[both[0]]!r} both as a file and as a folder")


def _fault(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "it leaves the target, or has an empty name"
    if re.search(r"[\\:/]", name) or not name.isprintable() or len(name.encode(errors="replace")) > LONGEST:
        return "a name holds no separator, drive, control or hidden character, and at most 255 bytes"
    if name[0] == "-" or name[-1] in ". " or name[0] == " ":
        return "a name does not begin with `-` or a space, nor end with a space or a dot"
    if name.casefold() in FORBIDDEN:
        return f"{name} belongs to other programs"
    return None


def folders(paths: Iterable[str]) -> list[str]:
    """Every folder above the paths, the outer ones first."""
    return sorted({parent for path in paths for parent in ancestors(path)})


def tree(paths: Iterable[str]) -> list[str]:
    """The paths as an indented tree, one line a name, folders with a slash."""
    lines = [(path, False) for path in paths] + [(folder, True) for folder in folders(paths)]
    return [
        f"{'  ' * path.count('/')}{path.rpartition('/')[2]}{'/' if is_folder else ''}"
        for path, is_folder in sorted(lines, key=lambda line: line[0].split("/"))
    ]
