"""The name and the services of the selected project, read from its files without Compose."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, everything, find, read, service_profiles, setting
from devenv.compose.worktrees import git_worktree, worktree_project
from devenv.errors import ConfigError, unknown
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.paths import folder_project

if TYPE_CHECKING:
    from devenv.compose.run_model import Scale

with LazyImports():  # most names are known without them
    import hashlib

    from devenv.compose import resolve

HOOKS = ("x-devenv", "hooks")
_NAME = "COMPOSE_PROJECT_NAME"


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected project: the folder where the search for its files starts, and options of the command line.

    Naming `services` activates their profiles; `scale` changes their numbers of containers. `isolated`: nothing of
    the project may have a name or a port that another checkout has; in a git worktree, this is the default.
    """

    directory: str
    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    scale: tuple[Scale, ...] = ()
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """The name, services and profiles in the files; `dormant` services have only profiles that are not active.

    `name` is None if only Compose can tell it, because it contains variables.
    """

    name: str | None
    services: tuple[str, ...] = ()
    dormant: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    is_whole: bool = False  # whether all files that can have services and profiles were read
    has_hooks: bool = False  # also if a file that may have hooks was not read


async def outline(selection: Selection) -> tuple[str, Outline]:
    """The project's name and its outline. Raises ConfigError, unless `-p` names a project without files.

    Runs Compose if only Compose can tell the name, and raises as `load` then.
    """
    known = sketched(selection)
    if known.name is not None:
        return known.name, known
    return (await resolve.load(selection)).project.name, known


def sketched(selection: Selection) -> Outline:
    """The outline of the selected project; only the name if `-p` names a project without files.

    Blocking. Raises ConfigError, and UsageError for a profile that no file has.
    """
    try:
        known = sketch(selection.directory, selection.files, selection.project_name, selection.profiles)
    except ConfigError:
        if selection.project_name is None:
            raise
        return Outline(selection.project_name)
    for profile in selection.profiles if known.is_whole else ():
        if profile not in (*known.profiles, "*"):
            raise unknown("profile", profile, known.profiles)
    return known


def require_known(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError, with a similar name as the hint, for an unknown service."""
    names = sorted({*known})
    for service in wanted:
        if service not in names:
            raise unknown("service", service, names)


def sketch(directory: str, files: tuple[str, ...], name: str | None, profiles: Sequence[str]) -> Outline:
    """The outline of the project with these options. Blocking; raises ConfigError."""
    sources = read(find(directory, files), base=directory)
    services = service_profiles(sources)
    default = (setting(sources[0].folder, "COMPOSE_PROFILES") or "").split(",")
    on = {profile.strip() for profile in profiles or default}
    active = {service: not needs or bool({*needs, "*"} & on) for service, needs in services.items()}
    return Outline(
        name or _name(sources),
        tuple(service for service, is_on in active.items() if is_on),
        tuple(service for service, is_on in active.items() if not is_on),
        tuple(sorted({*chain.from_iterable(services.values())})),
        is_whole=not any(file.has_unread or _extends(file) for file in everything(sources)),
        has_hooks=any(file.has_unread or yaml12.at(file.node, HOOKS) is not None for file in everything(sources)),
    )


def _extends(file: ComposeFile) -> bool:
    """Whether a service of the file may have profiles from another file."""
    return any(yaml12.at(service, ["extends"]) is not None for _, service in file.services)


def _name(sources: Sequence[ComposeFile]) -> str | None:
    written = written_name(sources)
    return None if "$" in written else written or None


def written_name(sources: Sequence[ComposeFile]) -> str:
    """The project's name by its worktree, else in its files, which may contain variables; else by its folder."""
    folder = sources[0].folder
    named = project_name(sources) or setting(folder, _NAME) or name_in_files(sources)
    return named or folder_project(os.path.abspath(folder))


def name_in_files(sources: Sequence[ComposeFile]) -> str:
    """The value of `name` in the last file that has this key; empty if there is none."""
    nodes = [node for source in sources if (node := yaml12.at(source.node, ["name"]))]
    return str(nodes[-1].value) if nodes else ""


def project_name(sources: Sequence[ComposeFile]) -> str | None:
    """The name for `-p`: that of the worktree; None outside worktrees, or if COMPOSE_PROJECT_NAME has another name.

    In `.env`, the variable does not count if the main worktree has the same value: that names the tree of which the
    file is a copy.
    """
    folder = sources[0].folder
    tree = git_worktree(folder)
    if tree is None:
        return None
    own = worktree_project(_base(sources) or tree.project, tree.name)
    given = setting(folder, _NAME)
    main = tree.in_main(folder)
    is_copied = main and not os.environ.get(_NAME) and given == setting(main, _NAME)
    return None if given and given != own and not is_copied else own


def isolated_name(sources: Sequence[ComposeFile], given: str) -> str:
    """The project's name with `--isolated` (`given` is empty: as in a worktree) or `--isolated=NAME`.

    Outside worktrees, the name has a hash of the folder.
    """
    folder = os.path.realpath(sources[0].folder)
    if not given and (name := os.environ.get(_NAME) or project_name(sources)):
        return name
    base = project_name(sources) or setting(folder, _NAME) or _base(sources) or os.path.basename(folder)
    return worktree_project(base, given or hashlib.sha256(os.fsencode(folder)).hexdigest()[:6])


def _base(sources: Sequence[ComposeFile]) -> str:
    """The name in the files; empty if there is none, or if it has variables, which only Compose knows."""
    written = name_in_files(sources)
    return "" if "$" in written else written
