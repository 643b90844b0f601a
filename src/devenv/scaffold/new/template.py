"""A template: a folder with `template.toml` (description, questions) and `files/` (what it makes).

A template that devenv brings along may name a `base`: a folder whose files it makes, too.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devenv import templates_folder
from devenv.errors import ConfigError, RefusedError, UsageError
from devenv.scaffold.new import names
from devenv.sync.rules.patterns import Patterns

MAX_BYTES = 100 * 1024**2
MAX_ABOUT = 64 * 1024
NOT_IN_A_TEMPLATE = ("__pycache__", ".DS_Store")
KINDS = {
    "text": (r"\S(.*\S)?", "one line of text"),
    "name": (r"[a-z0-9][a-z0-9_-]{0,62}", "small letters, digits, - and _"),
    "identifier": (r"[a-z_][a-z0-9_]{0,62}", "small letters, digits and _, no digit first"),
    "port": (r"[1-9][0-9]{0,4}", "a port from 1 to 65535"),
}
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Question:
    """What a template wants to know; the answer is text of a kind, or one of the choices."""

    key: str
    prompt: str
    default: str
    kind: str = "text"
    choices: tuple[str, ...] = ()

    def checked(self, answer: str) -> str:
        """The answer. Raises UsageError where it is none."""
        pattern, words = KINDS[self.kind]
        wanted = f"one of {', '.join(self.choices)}" if self.choices else words
        is_good = answer in self.choices if self.choices else re.fullmatch(pattern, answer) and answer.isprintable()
        if not is_good or (self.kind == "port" and int(answer) > HIGHEST_PORT):
            said = f"{self.key} is to be {wanted}, not {answer!r}"
            raise UsageError(said, hint=f"Answer with --data {self.key}=VALUE.")
        return answer


@dataclass(frozen=True, slots=True)
class File:
    """What is in a file, and whether it can be run."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A template, read whole: `files` by their path, names and texts not rendered yet."""

    name: str
    description: str
    questions: tuple[Question, ...]
    files: Mapping[str, File]


def shipped(kind: str = "projects") -> dict[str, str]:
    """Name -> folder of the templates that devenv brings along."""
    folder = os.path.join(templates_folder(), kind)
    with os.scandir(folder) as entries:
        return {entry.name: entry.path for entry in sorted(entries, key=lambda entry: entry.name)}


def read(folder: str, *, is_ours: bool = False) -> Template:
    """The template in the folder, without following a link. Raises ConfigError, and RefusedError for what is no file.

    Ours may be hard links: some installers make them.
    """
    about = os.path.join(folder, "template.toml")
    try:
        raw = _content(about, MAX_ABOUT, is_ours=is_ours).content
    except FileNotFoundError:
        raise ConfigError(f"{folder} is no template: it has no template.toml") from None
    except OSError as error:
        raise RefusedError(f"{about} cannot be read: {error.strerror}") from None
    try:
        told = tomllib.loads(raw.decode())
        questions = tuple(_question(entry) for entry in told.get("questions", ()))
        description = str(told["description"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"not a template's description: {error}", file=about) from None
    root = os.path.join(folder, "files")
    if not os.path.isdir(root) or os.path.islink(root):
        raise ConfigError(f"{folder} is no template: it has no folder `files`")
    files = dict(_files(root, is_ours=is_ours))
    if is_ours and (base := told.get("base")):
        files = dict(sorted({**_base(folder, base), **files}.items()))
    return Template(os.path.basename(folder), description, questions, files)


def _base(folder: str, base: Mapping[str, Any]) -> dict[str, File]:
    left_out = Patterns.parse(base["leave_out"])
    return dict(_files(os.path.join(folder, base["folder"]), is_ours=True, is_left_out=left_out.matches))


def _question(entry: Mapping[str, Any]) -> Question:
    choices = tuple(str(choice) for choice in entry.get("choices", ()))
    default = str(entry.get("default", choices[0] if choices else ""))
    asked = Question(str(entry["key"]), str(entry["prompt"]), default, str(entry.get("kind", "text")), choices)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", asked.key):
        raise ValueError(f"{asked.key!r} is no key of a question")
    if not "".join((asked.prompt, default, *choices)).isprintable():  # a terminal would obey it
        raise ValueError(f"the question {asked.key!r} has characters that cannot be shown")
    if asked.kind not in KINDS:
        raise ValueError(f"{asked.kind!r} is no kind of an answer: {', '.join(KINDS)}")
    return asked


def _files(
    root: str, *, is_ours: bool, is_left_out: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[str, File]]:
    left = MAX_BYTES
    count = 0
    for folder, inner, outer in os.walk(root):
        above = os.path.relpath(folder, root)
        inner[:] = sorted(
            name for name in inner if name not in NOT_IN_A_TEMPLATE and not is_left_out(_below(above, name))
        )
        for name in sorted(outer):
            path = os.path.join(folder, name)
            shown = _below(above, name)
            if is_left_out(shown):
                continue
            count += 1
            if count > names.MAX_FILES:
                raise RefusedError(f"the template has more than {names.MAX_FILES:,} files")
            if name not in NOT_IN_A_TEMPLATE:
                try:
                    file = _content(path, left, is_ours=is_ours)
                except OSError as error:
                    raise RefusedError(f"the template's entry {shown!r} cannot be read: {error.strerror}") from None
                left -= len(file.content)
                yield shown, file
        if links := [name for name in inner if os.path.islink(os.path.join(folder, name))]:
            raise RefusedError(f"the template's entry {links[0]!r} is a link")


def _below(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"


def _content(path: str, most: int, *, is_ours: bool) -> File:
    """The file. A pipe is not waited for; a link, a device or what is named from elsewhere too is refused."""
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise RefusedError(f"the template's entry {os.path.basename(path)!r} is a link")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or (state.st_nlink > 1 and not is_ours):
            raise RefusedError(f"the template's entry {os.path.basename(path)!r} is no file of its own")
        content = file.read(most + 1)
    if len(content) > most:
        raise RefusedError(f"the template is larger than {MAX_BYTES // 1024**2} MB")
    return File(content, bool(state.st_mode & stat.S_IXUSR))
