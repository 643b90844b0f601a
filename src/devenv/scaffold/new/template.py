"""A template: a folder with `template.toml` (description, questions) and `files/`, here or in a git repository.

A template of devenv may name a `base`: a folder whose files belong to it too. A fetched repository runs nothing.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio

from devenv import templates_folder
from devenv.docker import process
from devenv.errors import ConfigError, RefusedError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.paths import ancestors
from devenv.sync.rules.patterns import Patterns

LONGEST = 255  # bytes of a name on every common file system
FORBIDDEN = frozenset({".git", "git~1", ".ssh", ".gnupg", ".aws", ".docker", ".kube"})
MAX_FILES = 10_000
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
PATIENCE = 60  # seconds
HOST = r"(?:[\w.~%-]+(?::[^@/\s]*)?@)?[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?"
ADDRESS = re.compile(
    rf"(?P<url>(?:https|ssh)://{HOST}/[^@\s]+|[\w][\w.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^-@\s][^@\s]*)"
    r"(?:@(?P<ref>[A-Za-z0-9][\w./+-]*))?",
    re.ASCII,
)
KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})  # a company's CA
SETTINGS = (
    "core.symlinks=false", "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.protectHFS=true",
    "core.protectNTFS=true", "submodule.recurse=false", "fetch.fsckObjects=true",
)  # fmt: skip
ENVIRONMENT = (
    "GIT_ALLOW_PROTOCOL=https:ssh", "GIT_TERMINAL_PROMPT=0", "GIT_LFS_SKIP_SMUDGE=1", "GIT_SSH_VARIANT=ssh",
)  # fmt: skip
LINK, SUBMODULE = "120000", "160000"


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a template; the answer is text of a kind, or one of the choices."""

    key: str
    prompt: str
    default: str
    kind: str = "text"
    choices: tuple[str, ...] = ()

    def checked(self, answer: str) -> str:
        """The answer. Raises UsageError if it is not valid."""
        pattern, words = KINDS[self.kind]
        is_valid = answer in self.choices if self.choices else re.fullmatch(pattern, answer) and answer.isprintable()
        if not is_valid or (self.kind == "port" and int(answer) > HIGHEST_PORT):
            wanted = f"one of {', '.join(self.choices)}" if self.choices else words
            message = f"{self.key} is to be {wanted}, not {answer!r}"
            raise UsageError(message, hint=f"Answer with --data {self.key}=VALUE.")
        return answer


@dataclass(frozen=True, slots=True)
class File:
    """The content of a file, and whether it can be run."""

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
    """Name -> folder of the templates that devenv contains."""
    folder = os.path.join(templates_folder(), kind)
    return {name: os.path.join(folder, name) for name in sorted(os.listdir(folder))}


async def fetched(source: str) -> Template:
    """The template that `--from` names. Raises UsageError, ConfigError, and RefusedError for what could do more."""
    if os.path.isdir(source):
        return read(os.path.abspath(source))
    address = ADDRESS.fullmatch(source)
    if address is None or ".." in (address["ref"] or "") or source.startswith("-"):
        if re.search(r"::|://|@|^-", source):
            message = f"{shown(source)} is not an address of a template"
            raise RefusedError(message, hint="https://HOST/PATH@TAG, ssh://HOST/PATH@TAG")
        raise UsageError(f"folder {source} not found")
    name = re.split(r"[/:]", address["url"].rstrip("/"))[-1].removesuffix(".git") or "template"
    branch = [f"--branch={address['ref']}"] if address["ref"] else []
    options = ["--quiet", "--depth=1", "--no-recurse-submodules", "--template=", *branch]
    with tempfile.TemporaryDirectory(prefix="devenv-template-") as scratch:
        clone = os.path.join(scratch, name)
        await _git(["clone", *options, "--", address["url"], clone], source)
        listed = await _git(["-C", clone, "ls-files", "--stage", "-z"], source)
        for entry in listed.split("\0"):
            if entry.startswith((LINK, SUBMODULE)):
                raise RefusedError(f"the template's entry {entry.partition(chr(9))[2]!r} is a link or a submodule")
        return read(clone)


async def _git(arguments: list[str], source: str) -> str:
    unset = [word for name in os.environ if name.startswith("GIT_") and name not in KEPT for word in ("-u", name)]
    settings = [word for setting in SETTINGS for word in ("-c", setting)]
    try:
        with anyio.fail_after(PATIENCE):
            done = await process.run(["env", *unset, *ENVIRONMENT, "git", *settings, *arguments], cwd="/")
    except TimeoutError:
        raise ConfigError(f"{shown(source)} was not fetched within {PATIENCE} seconds") from None
    if done.returncode:
        hint = f"git ls-remote {shown(source.rpartition('@')[0] or source)}"
        raise ConfigError(f"{shown(source)} cannot be fetched: git ended with {done.returncode}", hint=hint)
    return done.text


def shown(source: str) -> str:
    """The address without a password."""
    try:
        user = urlsplit(source).netloc.rpartition("@")[0]
    except ValueError:
        return "the address"
    return source.replace(f"{user}@", "***@", 1) if ":" in user or (user and source.startswith("https")) else source


def read(folder: str, *, is_ours: bool = False) -> Template:
    """The template in the folder. Raises ConfigError, and RefusedError for links and files that are not regular.

    Ours may be hard links: some installers create them.
    """
    about = os.path.join(folder, "template.toml")
    try:
        data = tomllib.loads(_content(about, MAX_ABOUT, is_ours=is_ours).content.decode())
        questions = tuple(_question(entry) for entry in data.get("questions", ()))
        description = str(data["description"])
    except FileNotFoundError:
        raise ConfigError(f"{folder} is not a template: it has no template.toml") from None
    except OSError as error:
        raise RefusedError(f"{about} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"not a template's description: {error}", file=about) from None
    root = os.path.join(folder, "files")
    if not os.path.isdir(root) or os.path.islink(root):
        raise ConfigError(f"{folder} is not a template: it has no folder `files`")
    files = dict(_files(root, is_ours=is_ours))
    if is_ours and (base := data.get("base")):
        is_left_out = Patterns.parse(base["leave_out"]).matches
        inherited = _files(os.path.join(folder, base["folder"]), is_ours=True, is_left_out=is_left_out)
        files = dict(sorted({**dict(inherited), **files}.items()))
    return Template(os.path.basename(folder), description, questions, files)


def _question(entry: Mapping[str, Any]) -> Question:
    choices = tuple(str(choice) for choice in entry.get("choices", ()))
    default = str(entry.get("default", choices[0] if choices else ""))
    asked = Question(str(entry["key"]), str(entry["prompt"]), default, str(entry.get("kind", "text")), choices)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", asked.key):
        raise ValueError(f"{asked.key!r} is not a key of a question")
    if not "".join((asked.prompt, default, *choices)).isprintable():  # a terminal would obey it
        raise ValueError(f"the question {asked.key!r} has characters that cannot be shown")
    if asked.kind not in KINDS:
        raise ValueError(f"{asked.kind!r} is not a kind of an answer: {', '.join(KINDS)}")
    return asked


def _files(
    root: str, *, is_ours: bool, is_left_out: Callable[[str], bool] = lambda _: False
) -> Iterator[tuple[str, File]]:
    left, count = MAX_BYTES, 0
    for folder, inner, outer in os.walk(root):
        above = "" if folder == root else f"{os.path.relpath(folder, root)}/"
        inner[:] = sorted(name for name in inner if name not in NOT_IN_A_TEMPLATE and not is_left_out(above + name))
        for name in sorted(outer):
            if is_left_out(path := above + name):
                continue
            count += 1
            if count > MAX_FILES:
                raise RefusedError(f"the template has more than {MAX_FILES:,} files")
            if name not in NOT_IN_A_TEMPLATE:
                try:
                    file = _content(os.path.join(folder, name), left, is_ours=is_ours)
                except OSError as error:
                    raise RefusedError(f"the template's entry {path!r} cannot be read: {error.strerror}") from None
                left -= len(file.content)
                yield path, file
        if links := [name for name in inner if os.path.islink(os.path.join(folder, name))]:
            raise RefusedError(f"the template's entry {links[0]!r} is a link")


def _content(path: str, most: int, *, is_ours: bool) -> File:
    """The file. A pipe is not waited for; a link, a device or a file with several names is refused."""
    entry = f"the template's entry {os.path.basename(path)!r}"
    if stat.S_ISLNK(os.lstat(path).st_mode):
        raise RefusedError(f"{entry} is a link")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or (state.st_nlink > 1 and not is_ours):
            raise RefusedError(f"{entry} is not a file of its own")
        content = file.read(most + 1)
    if len(content) > most:
        raise RefusedError(f"the template is larger than {MAX_BYTES // 1024**2} MB")
    return File(content, bool(state.st_mode & stat.S_IXUSR))


def check_paths(paths: Iterable[str]) -> None:
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
