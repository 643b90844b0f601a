"""The name and the services of the selected project, read from its files without Compose."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from devenv.compose import yaml12
from devenv.compose.files import ComposeFile, everything, find, read, service_profiles, setting, upward
from devenv.errors import ConfigError, unknown
from devenv.paths import folder_project

if TYPE_CHECKING:
    from devenv.compose.run_model import Scale

LONGEST = 40  # characters of a name that is derived from a folder
SIZE_LIMIT = 8192
SHORT = 7  # characters of a commit's id
_NAME = "COMPOSE_PROJECT_NAME"


@dataclass(frozen=True, slots=True)
class Selection:
    """The selected project: the folder where the search for its files starts, and options of the command line.

    Naming `services` activates their profiles; `scale` changes their numbers of containers.
    """

    directory: str
    files: tuple[str, ...] = ()
    project_name: str | None = None
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    scale: tuple[Scale, ...] = ()


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


async def outline(selection: Selection) -> tuple[str, Outline]:
    """The project's name and its outline. Raises ConfigError, unless `-p` names a project without files.

    Runs Compose if only Compose can tell the name, and raises as `load` then.
    """
    known = sketched(selection)
    if known.name is not None:
        return known.name, known
    from devenv.compose.resolve import load  # noqa: PLC0415 - rarely needed

    return (await load(selection)).project.name, known


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
    )


def _extends(file: ComposeFile) -> bool:
    """Whether a service of the file may have profiles from another file."""
    return any(yaml12.at(service, ["extends"]) is not None for _, service in file.services)


def _name(sources: Sequence[ComposeFile]) -> str | None:
    written = written_name(sources)
    return None if "$" in written else written or None


def written_name(sources: Sequence[ComposeFile]) -> str:
    """The project's name in its files, which may contain variables; else by its worktree or its folder."""
    folder = sources[0].folder
    nodes = [node for source in sources if (node := yaml12.at(source.node, ["name"]))]
    written = setting(folder, _NAME) or (str(nodes[-1].value) if nodes else "")
    return written or project_name(sources) or folder_project(os.path.abspath(folder))


def project_name(sources: Sequence[ComposeFile]) -> str | None:
    """The name for `-p`; None outside worktrees, or if a file or the environment names the project."""
    folder = sources[0].folder
    place = worktree(folder)
    if place is None or setting(folder, _NAME) or any(yaml12.at(source.node, ["name"]) for source in sources):
        return None
    return worktree_project(*place)


def worktree(folder: str) -> tuple[str, str] | None:
    """The name of the folder in the main tree, and the name of its git worktree; None if it is in no worktree.

    A submodule has a `.git` file too, but no common folder: the search goes on in the tree that contains it.
    """
    for above in upward(folder):
        path = os.path.join(above, ".git")
        if os.path.isdir(path):
            return None
        git = _named(path, above, "gitdir: ")
        common = git and _named(os.path.join(git, "commondir"), git)
        if git and common:
            name = repository(common) if above == folder else os.path.basename(folder)
            return name, os.path.basename(git)
    return None


def branch(folder: str) -> str | None:
    """The git branch of the folder, or the short id of the commit; None if it is in no repository."""
    for above in upward(folder):
        path = os.path.join(above, ".git")
        git = path if os.path.isdir(path) else _named(path, above, "gitdir: ")
        if git is not None:
            head = os.path.join(git, "HEAD")
            return _named(head, "", "ref: refs/heads/") or (_named(head, "") or "")[:SHORT] or None
    return None


def worktree_project(project: str, worktree: str) -> str:
    """A name that Compose accepts: the project's and the worktree's, or only the latter if it starts with the former.

    If the name of the worktree is not valid (capitals, dots, too long), a short hash is appended. So two worktrees of
    a repository never have the same name, and never share data.
    """
    base, own = plain(project), plain(worktree)
    if own != worktree:
        own = f"{own}-{hashlib.sha256(os.fsencode(worktree)).hexdigest()[:4]}".lstrip("-")
    return own if not base or own.startswith((f"{base}-", f"{base}_")) else f"{base}-{own}"


def repository(common: str) -> str:
    """The name of the repository with this git folder: `shop` for /home/me/shop/.git and for /srv/shop.git."""
    name = os.path.basename(common)
    return (os.path.basename(os.path.dirname(common)) if name.startswith(".") else name).removesuffix(".git")


def plain(name: str) -> str:
    """The name that Compose derives from a folder's, with a limit on its length."""
    return folder_project(name)[:LONGEST]


def _named(path: str, folder: str, prefix: str = "") -> str | None:
    """The path, relative to `folder`, after `prefix` in a file of one line; None if there is none."""
    if not os.path.isfile(path):  # opening a pipe could block
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.read(SIZE_LIMIT)
    except OSError:
        return None
    named = line.removeprefix(prefix).rstrip("\n")
    return os.path.normpath(os.path.join(folder, named)) if line.startswith(prefix) and named else None
