"""Facts about the paths of this machine that services mount, and what replaces them if the engine has other files."""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from devenv.compose import remote_files
from devenv.compose.files import ComposeFile, Place, setting
from devenv.compose.positions import entry_place, place, shown
from devenv.compose.remote_files import HostPath, Kind, Remark, RemoteFiles
from devenv.compose.resolve import Loaded
from devenv.model.project import Project
from devenv.paths import is_within
from devenv.sync.rules.generated import made_in
from devenv.sync.rules.lint import faults, unwritable

PLACEHOLDERS = frozenset({".gitkeep", ".gitignore", ".keep", ".empty"})
MOST_ENTRIES = 1000  # of a folder, until it counts as not empty

# Other names may be folders: sites/example.com, conf.d, repository.git.
_FILE_NAME = re.compile(
    r"""\.env\b.*|\.\w*rc|\.gitconfig|\.pgpass|[A-Z]\w*file|.+\.(?i:
    bash|cert|cfg|cjs|cnf|conf|config|crt|css|csv|db|env|gz|hcl|html?|ini|java|jks|jsx?|jsonc?|key|kdl|ldif|lua|md|mjs|
    mustache|p12|pem|pfx|php|pl|properties|ps1|pub|py|rb|rego|rs|rules|sh|sock|sql|sqlite3?|svg|template|tf|tmpl|toml|
    tpl|tsx?|txt|vcl|xml|ya?ml|zsh)""",
    re.VERBOSE,
)


def has_name_of_file(path: str) -> bool:
    """Whether the last part of the path looks like the name of a file."""
    return _FILE_NAME.fullmatch(os.path.basename(path)) is not None


def replacements(loaded: Loaded, names: Collection[str]) -> tuple[Project, RemoteFiles]:
    """The project with watch rules in place of the mounts of these services, and all that is refused. Blocking."""
    paths = facts(remote_files.sources(loaded.model, loaded.project, names), loaded.project.directory)
    project, remote = remote_files.replaced(loaded.model, loaded.project, names, paths)
    return project, replace(remote, refused=(*remote.refused, *_unwritable(project, remote)))


def with_replacements(
    loaded: Loaded, names: Collection[str], sources: Sequence[ComposeFile]
) -> tuple[Loaded, tuple[Remark, ...]]:
    """The project with watch rules in place of the mounts of these services, and what cannot. Blocking."""
    project, remote = replacements(loaded, names)
    rules = dict(loaded.places)
    for (service, index), target in remote.mounts.items():
        rules.setdefault((service, index), entry_place(sources, ("services", service, "volumes"), target))
    done = [f"{shown(placed(sources, remark))}: {remark.message}" for remark in remote.replaced]
    after = replace(
        loaded,
        project=project,
        model=remote_files.without_mounts(loaded.model, remote),
        places=rules,
        remote=remote,
        replaced=tuple(dict.fromkeys(done)),
    )
    return after, remote.refused


def facts(sources: Mapping[str, str], directory: str) -> dict[str, HostPath]:
    """The facts about the paths of this machine, each with a target in a container. Blocking."""
    return {source: _fact(source, target, directory) for source, target in sources.items()}


def _fact(source: str, target: str, directory: str) -> HostPath:
    if source.startswith("$"):
        return HostPath(source, Kind.FILE if setting(directory, source[1:]) else Kind.LOST)
    real, whole = os.path.normpath(source), os.path.realpath(directory)
    if os.path.islink(real):
        real = os.path.realpath(source)
        if is_within(real, whole):
            real = os.path.normpath(os.path.join(directory, os.path.relpath(real, whole)))
    try:
        mode = os.stat(real).st_mode
    except OSError:
        is_file = any(map(has_name_of_file, (source.rstrip("/"), target.rstrip("/"))))
        return HostPath(real, Kind.LOST if is_file else Kind.MISSING)
    access = os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)
    unreadable = "" if os.access(real, access) else "permission denied"
    if stat.S_ISDIR(mode):
        return HostPath(real, Kind.FOLDER, _is_empty(real), unreadable, () if unreadable else _made(real))
    tests = {Kind.FILE: stat.S_ISREG, Kind.SOCKET: stat.S_ISSOCK, Kind.OTHER: stat.S_ISFIFO}
    kind = next((kind for kind, test in tests.items() if test(mode)), Kind.DEVICE)
    return HostPath(real, kind, unreadable=unreadable)


def _is_empty(folder: str) -> bool:
    """Whether there is no file in the folder but those that keep it in a repository."""
    walked = ((name, files) for name, _, files in os.walk(folder))
    few = list(itertools.islice(walked, MOST_ENTRIES))
    return len(few) < MOST_ENTRIES and all(PLACEHOLDERS.issuperset(files) for _, files in few)


def _made(folder: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(made_in(folder)))


def _unwritable(project: Project, remote: RemoteFiles) -> Iterable[Remark]:
    """Targets at which no file can be put, and rules that would watch too much."""
    for fault in faults(project, os.path.expanduser("~")):
        target = remote.mounts.get((fault.service, fault.index))
        if target is not None and fault.level != "warning":
            yield Remark(("services", fault.service, "volumes"), target, fault.message, fault.hint)
    for file in remote.files:
        for message, advice, *_ in unwritable(project.service(file.service), file.target):
            yield Remark(("services", file.service, file.kind), file.name, message, advice)


def placed(sources: Sequence[ComposeFile], remark: Remark) -> Place:
    """The file and line of a remark."""
    if remark.entry:
        return entry_place(sources, remark.path, remark.entry)
    return place(sources, remark.path)
