"""The program that a container runs, from its command and scripts, and how it handles changes of files. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from devenv.explain import table
from devenv.lazy_dataclass import dataclass

Read = Callable[[str], str | None]  # the text of a file, by its path in the container


class Way(StrEnum):
    """What a program does when a source changes, as words for a reason."""

    RELOADS = "reloads by itself"
    LOSES = "loses sight of files that are replaced by a rename"
    COMPILES = "compiles at its start"
    READS = "reads its files at each request"
    SERVES = "serves files as they are"
    IDLES = "runs no code of the project"


@dataclass(frozen=True, slots=True)
class Program:
    """A known program: the words of the command that identify it, and what it does with changed files."""

    words: str
    way: Way

    @property
    def reason(self) -> str:
        """The reason for a rule."""
        return f"`{self.words}` {self.way}"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Programs by name. One of the other words and variables must match `needs`, and none may match `without`."""

    way: Way
    names: str
    needs: str = ""
    without: str = ""

    def match(self, words: Sequence[str], variables: Sequence[str]) -> Program | None:
        """The program, if the words of a command are of this kind."""
        for index, word in enumerate(words):
            name = posixpath.basename(word)
            if re.fullmatch(self.names, name):
                others = (*words[index + 1 :], *variables)
                needed = next((other for other in others if re.fullmatch(self.needs, other)), None)
                barred = self.without and any(re.fullmatch(self.without, other) for other in others)
                if not barred and (needed is not None or not self.needs):
                    return Program(f"{name} {needed or ''}".strip(), self.way)
        return None


TABLE = table.data("scaffold/add/programs.toml")
_KINDS = tuple(_Kind(Way[way], *words) for way, *words in TABLE["programs"])
_VARIABLES = ("FLASK_DEBUG", "FLASK_ENV", "RAILS_ENV", "MIX_ENV")
_OLD_FLASK = re.compile(
    r"^flask\s*((==|~=)\s*([01]\.|2\.[0-2]\b)|<\s*2\.3\b)", re.IGNORECASE | re.MULTILINE
)  # FLASK_ENV
_ENDS = re.compile(r"&&|\|\||[;&|\n]")
_QUOTES = re.compile(r"""["'`()\[\]{},]""")
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_INSTALLS = re.compile(
    r"\b(npm|yarn|pnpm|bun|pip3?|uv|apt|apt-get|apk|corepack)\b.* (i|install|add|ci|sync|prepare)\b"
)
_QUOTED = re.compile(r"""(["'])(.*?)\1""")
_SEVERAL = re.compile(r"npm-run-all|run-[ps]")
_RUNNER = re.compile(rf"npm|yarn|pnpm|bun|{_SEVERAL.pattern}")
_FOLDER = ("--prefix", "--cwd", "-C", "--dir")
_IN_PYTHON = re.compile(r"\.run\([^)]*\b((?:debug|reload)\s*=\s*True)", re.DOTALL)


def default_command(image: str) -> str:
    """The default command of an image, if known; otherwise empty."""
    name = image.rpartition("/")[2].partition("@")[0]
    return next((command for pattern, command in TABLE["images"] if re.fullmatch(pattern, name)), "")


def program(command: str, folder: str, variables: Mapping[str, str], read: Read) -> Program | None:
    """The program that decides what a change requires; None if none is known.

    `folder` is the working directory, `variables` are those of the container.
    """
    settings = [f"{name}={variables[name]}" for name in _VARIABLES if name in variables]
    if not _OLD_FLASK.search(read(posixpath.join(folder, "requirements.txt")) or ""):
        settings = [variable for variable in settings if not variable.startswith("FLASK_ENV=")]
    commands = [words for words in _commands(command, folder, read, set()) if words]
    programs = (kind.match(words, settings) for kind in _KINDS for words in commands)
    return next(filter(None, programs), None)


def start_scripts(command: str, folder: str, read: Read) -> list[str]:
    """The shell scripts among the words of a command: their paths in the container."""
    paths = (posixpath.normpath(posixpath.join(folder, word)) for word in _words(command))
    return [path for path in dict.fromkeys(paths) if _is_shell(path, read(path))]


def _is_shell(path: str, text: str | None) -> bool:
    return text is not None and (path.endswith(".sh") or re.match(r"#!.*\b(ba|da|z|k)?sh\b", text) is not None)


def _commands(text: str, folder: str, read: Read, seen: set[str]) -> Iterator[list[str]]:
    """Yield the words of each command, and those of the scripts that commands run (npm scripts in their place)."""
    if text in seen:
        return
    seen.add(text)
    for part in _ENDS.split(_COMMENT.sub("", text)):
        words = _words(part)
        if _INSTALLS.search(" ".join(words)):
            continue
        more = _scripts(words, folder, read)
        if not more:
            yield [*words, *_python_flags(words, folder, read)]
            more = [read(path) or "" for path in start_scripts(part, folder, read)]
        if "concurrently" in words:
            more += [match[2].replace("npm:", "npm run ") for match in _QUOTED.finditer(part)]
        for script in more:
            yield from _commands(script, folder, read, seen)


def _words(text: str) -> list[str]:
    return _QUOTES.sub(" ", text).split()


def _scripts(words: Sequence[str], folder: str, read: Read) -> list[str]:
    """The scripts of package.json that a command runs."""
    at = next((index for index, word in enumerate(words) if _RUNNER.fullmatch(word)), None)
    if at is None:
        return []
    rest = list(words[at + 1 :])
    for option in _FOLDER:
        if option in rest[:-1]:
            folder = posixpath.join(folder, rest.pop(rest.index(option) + 1))
    names = [word for word in rest if not word.startswith("-") and word not in ("run", "run-script", "exec")]
    patterns = [re.escape(name).replace(r"\*", ".*") for name in names]
    known = _package_scripts(read(posixpath.join(folder, "package.json")))
    wanted = "|".join(patterns if _SEVERAL.fullmatch(words[at]) else patterns[:1])
    return [script for name, script in known.items() if re.fullmatch(wanted, name)]


def _package_scripts(text: str | None) -> dict[str, str]:
    try:
        package: Any = json.loads(text or "{}")
        return {str(name): str(script) for name, script in package["scripts"].items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}


def _python_flags(words: Sequence[str], folder: str, read: Read) -> Iterator[str]:
    """Yield the arguments with which a Python file turns on the reloader of its server."""
    for word in words:
        if word.endswith(".py") and (match := _IN_PYTHON.search(read(posixpath.join(folder, word)) or "")):
            yield re.sub(r"\s", "", match[1])
