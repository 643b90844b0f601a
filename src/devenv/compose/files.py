"""Find the files of a project as Compose does, and read and check each once."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import yaml

from devenv.compose import yaml12
from devenv.compose.worktrees import git_worktree, upward
from devenv.errors import ConfigError, DevenvError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.paths import is_below

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = tuple(f"{name}.override.{ending}" for name in ("compose", "docker-compose") for ending in ("yml", "yaml"))
EXAMPLES = (".example", ".sample", ".dist", ".template", "-example", "-sample")

_PARAMETER = re.compile(r"\$\{.*\}|\$\w+")

Path = Sequence[str | int]
Place = tuple[str | None, int | None]


class Include(NamedTuple):
    """One file of an `include` entry: the scalar that names it, the whole entry, and the file itself."""

    name: yaml.ScalarNode
    entry: yaml.Node
    source: ComposeFile


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A file that was read and checked; its relative paths start from `folder`."""

    path: str
    shown: str
    folder: str
    text: str
    node: yaml.Node
    includes: tuple[Include, ...] = ()

    @property
    def has_unread(self) -> bool:
        """Whether it includes files that only Compose can fetch or report as missing."""
        return len(self.includes) < sum(len(names) for _, names in included(self.node))

    @property
    def services(self) -> Iterator[tuple[str, yaml.Node]]:
        """The name and the node of each service in the file."""
        return ((str(key.value), node) for key, node in yaml12.items(yaml12.at(self.node, ["services"])))

    @property
    def extended(self) -> list[str]:
        """The existing files that `extends` keys in this file name."""
        files = (yaml12.at(service, ["extends", "file"]) for _, service in self.services)
        paths = (os.path.join(self.folder, str(file.value)) for file in files if file is not None)
        return [path for path in paths if os.path.isfile(path)]

    def place(self, node: yaml.Node) -> Place:
        """The name of the file in messages, and the line of a node."""
        return self.shown, node.start_mark.line + 1


def find(directory: str, files: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The absolute paths of the project's files: `-f`, then COMPOSE_FILE, then the names that Compose looks for.

    Raises ConfigError if there is no file.
    """
    here = logical(directory)
    if "-" in files:
        raise UsageError("devenv does not read a project from standard input", hint="Name a file with -f.")
    separator = setting(here, "COMPOSE_PATH_SEPARATOR") or os.pathsep
    if named := files or [*filter(None, (setting(here, "COMPOSE_FILE") or "").split(separator))]:
        return tuple(os.path.normpath(os.path.join(here, name)) for name in named)
    for folder in upward(here):
        if main := _first(folder, NAMES):
            return tuple(filter(None, (main, _first(folder, OVERRIDES))))
    if not os.path.isdir(here):
        hint = "If it was moved or renamed, move it back; or end the run, and start it in the new folder."
        raise ConfigError(f"the folder {here} does not exist", hint=hint)
    hint = f"devenv new   (or -f FILE; looked here and in the folders above for {', '.join(NAMES)})"
    if nix := next(filter(None, (_first(folder, ("devenv.nix", "devenv.yaml")) for folder in upward(here))), None):
        hint = f"{nix} belongs to another tool named devenv, which uses Nix. {hint}"
    raise ConfigError(f"no compose file in {here}", hint=hint)


def read(paths: Sequence[str], *, base: str) -> tuple[ComposeFile, ...]:
    """Read and check the files; messages name them relative to `base` if they are below it."""
    return tuple(_read(path, os.path.dirname(paths[0]), logical(base), ()) for path in paths)


def readable(paths: Sequence[str], *, base: str) -> tuple[tuple[ComposeFile, ...], dict[str, ConfigError]]:
    """The files that can be read, and the errors of the other files by their whole text."""
    folder = os.path.dirname(paths[0])
    sources: list[ComposeFile] = []
    errors: dict[str, ConfigError] = {}
    for path in paths:
        for including in ((), None):  # if an included file has an error, read the file without its includes
            try:
                sources.append(_read(path, folder, logical(base), including))
                break
            except ConfigError as error:
                errors[error.said] = error
    return tuple(sources), errors


def text_of(shown: str, base: str) -> list[str]:
    """The lines of the file that messages name `shown`; empty if it cannot be read."""
    try:
        data = _bytes(os.path.join(logical(base), shown), shown)
    except ConfigError:
        return []
    return data.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()


def load_source(path: str, *, base: str) -> ComposeFile:
    """Read another file, such as that of an `extends`, without the files that it includes."""
    return _read(path, os.path.dirname(path), logical(base), None)


def inputs(directory: str, files: tuple[str, ...] = ()) -> frozenset[str]:
    """The absolute paths of the Compose files, of the files that they include, extend and read, and of overrides.

    Paths of files that do not exist or cannot be read are among them. Blocking.
    """
    known = {os.path.join(logical(directory), ".env")}
    try:
        paths = find(directory, files)
    except DevenvError:
        return frozenset(known)
    folder = os.path.dirname(paths[0])
    for path in paths:
        _collect(path, folder, known)
    known.update(os.path.join(folder, name) for name in OVERRIDES)
    return frozenset(known | {os.path.realpath(path) for path in known})


def everything(sources: Sequence[ComposeFile]) -> list[ComposeFile]:
    """All files, each before the files that override it."""
    return [file for s in sources for file in (*everything([include.source for include in s.includes]), s)]


def service_profiles(sources: Sequence[ComposeFile]) -> dict[str, list[str]]:
    """Each service in the files, with its profiles."""
    profiles: dict[str, list[str]] = {}
    for source in everything(sources):
        for name, service in source.services:
            written = yaml12.strings(yaml12.at(service, ["profiles"]))
            profiles.setdefault(name, []).extend(str(profile.value) for profile in written)
    return profiles


def service_names(sources: Sequence[ComposeFile]) -> frozenset[str]:
    """The names of all services in the files, whatever their profiles."""
    return frozenset(service_profiles(sources))


def profile_names(sources: Sequence[ComposeFile]) -> frozenset[str]:
    """The profiles of all services in the files."""
    return frozenset(chain.from_iterable(service_profiles(sources).values()))


def logical(directory: str) -> str:
    """The absolute path of the folder, with symbolic links as in $PWD if it is the shell's folder.

    Compose does the same: bind mounts and the project's name come from this path.
    """
    path = os.path.abspath(directory)
    shell = os.environ.get("PWD", "")
    try:
        is_shell = path == os.getcwd() and os.path.isabs(shell) and os.path.samefile(shell, path)
    except OSError:
        return path
    return os.path.normpath(shell) if is_shell else path


def setting(folder: str, key: str) -> str | None:
    """The value of a variable of Compose: from the environment, else from COMPOSE_ENV_FILES or the folder's .env."""
    named = [os.path.abspath(name) for name in os.environ.get("COMPOSE_ENV_FILES", "").split(",") if name]
    files = named[::-1] or [os.path.join(folder, ".env")]
    return os.environ.get(key) or next(filter(None, (_dotenv(file, key) for file in files)), None)


def example_of(path: str) -> str | None:
    """The file to copy to a missing file: that of the main worktree, in a linked one; else `.env.example` or such."""
    folder, name = os.path.split(path)
    if (tree := git_worktree(folder)) and os.path.isfile(main := tree.in_main(path)):
        return None if os.path.lexists(path) else main
    stem, extension = os.path.splitext(name)
    names = [*(f"{name}{ending}" for ending in EXAMPLES), f"{stem}.example{extension}"]
    return None if os.path.lexists(path) else _first(folder, [*names, f"{name.removeprefix('.')}.example"])


def _dotenv(path: str, key: str) -> str | None:
    """The value of a variable in an env file, without interpolation; None if there is no such file or variable."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(yaml12.SIZE_LIMIT)
    except OSError:
        return None
    line = rf"^[ \t]*(?:export[ \t]+)?{key}[ \t]*=[ \t]*(?:\"(.*?)\"|'(.*?)'|([^#\r\n]*))"
    values = re.findall(line, text, re.MULTILINE)
    return "".join(values[-1]).strip() if values else None


def _first(folder: str, names: Sequence[str]) -> str | None:
    return next((path for name in names if os.path.lexists(path := os.path.join(folder, name))), None)


def _read(path: str, folder: str, base: str, including: tuple[str, ...] | None) -> ComposeFile:
    """Read and check a file. `including` are the files that lead to it; None leaves its own includes unread."""
    shown = os.path.relpath(path, base) if is_below(path, base) else path
    data = _bytes(path, shown)
    node = yaml12.check(data, file=shown)
    if not isinstance(node, yaml.MappingNode):
        reason = "the file is empty" if node.value == "" else "the file must be a mapping with the key `services`"
        line = node.start_mark.line + 1
        raise ConfigError(reason, hint="A project begins with `services:`.", file=shown, line=line)
    includes = () if including is None else tuple(_includes(node, folder, base, (*including, path)))
    return ComposeFile(path, shown, folder, yaml12.decode(data, file=shown), node, includes)


def _bytes(path: str, shown: str) -> bytes:
    """The content of a regular file. No other kind is opened, since a pipe without a writer would block."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                return file.read(yaml12.SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=shown) from None
    raise ConfigError("is a folder" if stat.S_ISDIR(mode) else "is not a regular file", file=shown)


def _includes(node: yaml.Node, folder: str, base: str, including: tuple[str, ...]) -> Iterator[Include]:
    for entry, names in included(node):
        files = [os.path.normpath(os.path.join(folder, name.value)) for name in names]
        written = yaml12.at(entry, ["project_directory"])
        own = os.path.join(folder, str(written.value)) if written else os.path.dirname(files[0]) if files else folder
        for name, file in zip(names, files, strict=True):
            # Compose fetches remote and interpolated files, and reports missing files and cycles
            if "$" not in name.value and os.path.isfile(file) and file not in including:
                yield Include(name, entry, _read(file, os.path.normpath(own), base, including))


def file_names(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """The scalars that name files: the node itself, the items of a list, or their `path` keys."""
    for entry in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        name = yaml12.at(entry, ["path"]) if isinstance(entry, yaml.MappingNode) else entry
        if isinstance(name, yaml.ScalarNode) and name.value:
            yield name


def included(node: yaml.Node) -> Iterator[tuple[yaml.Node, list[yaml.ScalarNode]]]:
    """Each entry under `include`, with the files that it names."""
    for entry in yaml12.entries(yaml12.at(node, ["include"])):
        yield entry, yaml12.strings(entry) or yaml12.strings(yaml12.at(entry, ["path"]))


def _collect(path: str, folder: str, known: set[str]) -> None:
    """Add to `known` the file and every file that it reads; relative paths start from `folder`."""
    if path in known:
        return
    known.update((path, os.path.join(folder, ".env")))
    try:
        source = load_source(path, base=folder)
    except DevenvError:
        return
    for entry, names in included(source.node):
        written = yaml12.at(entry, ["project_directory"])
        paths = [path for name in names for path in _paths(name, folder)]
        below = os.path.join(folder, str(written.value)) if written else os.path.dirname((paths or [path])[0])
        known.update(_paths(yaml12.at(entry, ["env_file"]), folder))
        for file in paths:
            _collect(file, os.path.normpath(below), known)
    for _, service in source.services:
        for file in _paths(yaml12.at(service, ["extends", "file"]), folder):
            _collect(file, os.path.dirname(file), known)
        for key in ("env_file", "label_file"):
            known.update(_paths(yaml12.at(service, [key]), folder))


def _paths(node: yaml.Node | None, folder: str) -> Iterator[str]:
    """The files that a scalar or a list names; for a name with variables, all existing files that fit."""
    for name in file_names(node):
        text = os.path.normpath(os.path.join(folder, name.value))
        if _PARAMETER.search(text):
            yield from glob.glob(_PARAMETER.sub("*", glob.escape(text)), include_hidden=True)
        elif "://" not in name.value:
            yield text
