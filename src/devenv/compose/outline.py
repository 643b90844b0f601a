"""A project's name and services without Compose: read from the files, by commands in a hurry."""

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
    """What the files say by themselves; `dormant` are services whose profiles are off, `profiles` all that there are.

    `name` is None where it takes Compose to tell it: it is made of variables.
    """

    name: str | None
    services: tuple[str, ...] = ()
    dormant: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    is_whole: bool = False  # whether no service and no profile can come from files that were not read


async def outline(selection: Selection) -> tuple[str, Outline]:
    """The project's name and its outline. Raises ConfigError, but not where `-p` names a project that has no files.

    Where only Compose can tell the name, it is asked, and may raise what `load` does.
    """
    found = sketched(selection)
    if found.name is not None:
        return found.name, found
    from devenv.compose.resolve import load  # noqa: PLC0415 - hardly ever needed

    return (await load(selection)).project.name, found


def sketched(selection: Selection) -> Outline:
    """The outline; of a project that `-p` names and that has no files, its name alone.

    Blocking; raises ConfigError, and UsageError for a profile that no file has.
    """
    try:
        found = sketch(selection.directory, selection.files, selection.project_name, selection.profiles)
    except ConfigError:
        if selection.project_name is None:
            raise
        return Outline(selection.project_name)
    for profile in selection.profiles if found.is_whole else ():
        if profile not in (*found.profiles, "*"):
            raise unknown("profile", profile, found.profiles)
    return found


def require_known(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raises UsageError, which names the nearest one, for a service that is not known."""
    names = sorted({*known})
    for service in wanted:
        if service not in names:
            raise unknown("service", service, names)


def sketch(directory: str, files: tuple[str, ...], name: str | None, profiles: Sequence[str]) -> Outline:
    """The outline of the project that a command line means. Blocking; raises ConfigError."""
    sources = read(find(directory, files), base=directory)
    services = service_profiles(sources)
    default = (setting(sources[0].folder, "COMPOSE_PROFILES") or "").split(",")
    on = {one.strip() for one in profiles or default}
    active = {service: not needs or bool({*needs, "*"} & on) for service, needs in services.items()}
    return Outline(
        name or _name(sources),
        tuple(service for service, is_on in active.items() if is_on),
        tuple(service for service, is_on in active.items() if not is_on),
        tuple(sorted({*chain.from_iterable(services.values())})),
        not any(source.has_unread or _extends(source) for source in everything(sources)),
    )


def _extends(source: Source) -> bool:
    """Whether a service may have its profiles from elsewhere."""
    services = yaml.items(yaml.at(source.node, ["services"]))
    return any(yaml.at(service, ["extends"]) is not None for _, service in services)


def written_name(sources: Sequence[Source]) -> str:
    """The project's name as it is written, with the variables it may be made of; else its worktree's or folder's."""
    folder = sources[0].folder
    nodes = [node for source in sources if (node := yaml.at(source.node, ["name"]))]
    written = setting(folder, "COMPOSE_PROJECT_NAME") or (str(nodes[-1].value) if nodes else "")
    return written or project_name(sources) or folder_project(os.path.abspath(folder))


def _name(sources: Sequence[Source]) -> str | None:
    written = written_name(sources)
    return None if "$" in written else written or None
