"""The name and the services of a project, read from its files without Compose, for quick commands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from devenv.compose import yaml
from devenv.compose.files import Source, everything, find, read, service_profiles, setting
from devenv.compose.identity import project_name
from devenv.errors import ConfigError, unknown
from devenv.model.project import folder_project

if TYPE_CHECKING:
    from devenv.compose.selection import Selection


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

    If only Compose can tell the name, it is asked; raises as `load` then.
    """
    known = sketched(selection)
    if known.name is not None:
        return known.name, known
    from devenv.compose.resolve import load  # noqa: PLC0415 - rarely needed

    return (await load(selection)).project.name, known


def sketched(selection: Selection) -> Outline:
    """The outline; only the name of a project that `-p` names and that has no files.

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
    """Raise UsageError, which suggests a similar name, for a service that is not known."""
    names = sorted({*known})
    for service in wanted:
        if service not in names:
            raise unknown("service", service, names)


def sketch(directory: str, files: tuple[str, ...], name: str | None, profiles: Sequence[str]) -> Outline:
    """The outline of the project that a command line means. Blocking; raises ConfigError."""
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
        not any(source.has_unread or _extends(source) for source in everything(sources)),
    )


def _extends(source: Source) -> bool:
    """Whether a service of the file may have profiles from another file."""
    services = yaml.items(yaml.at(source.node, ["services"]))
    return any(yaml.at(service, ["extends"]) is not None for _, service in services)


def written_name(sources: Sequence[Source]) -> str:
    """The project's name in its files, which may contain variables; else by its worktree or its folder."""
    folder = sources[0].folder
    nodes = [node for source in sources if (node := yaml.at(source.node, ["name"]))]
    written = setting(folder, "COMPOSE_PROJECT_NAME") or (str(nodes[-1].value) if nodes else "")
    return written or project_name(sources) or folder_project(os.path.abspath(folder))


def _name(sources: Sequence[Source]) -> str | None:
    written = written_name(sources)
    return None if "$" in written else written or None
