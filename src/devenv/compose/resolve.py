"""Load a project: find and check its Compose files, have Compose resolve them, and parse the model."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import anyio

from devenv.compose import run_model, yaml12
from devenv.compose.config import ComposeConfig, bases, restore
from devenv.compose.files import (
    ComposeFile,
    Place,
    everything,
    example_of,
    find,
    profile_names,
    read,
    service_names,
)
from devenv.compose.isolation import Isolation, isolate
from devenv.compose.outline import Selection, project_name
from devenv.compose.positions import entries, place, rule_place, shown
from devenv.docker import context, endpoint
from devenv.errors import ConfigError, EngineError, RefusedError, closest, unknown
from devenv.lazy_dataclass import dataclass
from devenv.lazy_imports import LazyImports
from devenv.model.project import Moment, Project, ProjectHook, RuleFault
from devenv.paths import is_within

with LazyImports():  # loaded while Compose is at work
    from devenv.compose import complaints, parse, schema
    from devenv.compose.safety import findings

if TYPE_CHECKING:
    from devenv.compose.remote_files import RemoteFiles
    from devenv.compose.safety.table import Danger


class NoServicesError(ConfigError):
    """The files define no service, or only services whose profiles are not active."""


DOCKERFILE_LIMIT = 1_000_000  # characters
_LOCK_FILE = re.compile(r".*[.-]lock(\.json|\.yaml|b)?|go\.sum")  # a tool may create it later

# The sync packages know what a watch rule can do; this package knows the line on which it is written.
Faults = Callable[[Project, str], Iterable[RuleFault]]
OnNamed = Callable[[str, str, bool], object]  # the project's name and folder, and whether a service is built


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project, the resolved model as Compose printed it, and the warnings of Compose and devenv.

    `dangers`: the parts of the project that reach beyond its own containers.

    `isolation`: what was changed because several checkouts may be up at once; None without isolation.

    `places` maps a service and the index of a watch rule to the file and line of the rule.

    `remote`: what replaces files if the engine does not see those of this machine; None if it does. `replaced`: the
    same in sentences, with file and line.

    The model holds the values of env_files: it must not be in any file, log or error.
    """

    project: Project
    model: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    places: Mapping[tuple[str, int], Place] = field(default_factory=dict)
    dangers: tuple[Danger, ...] = ()
    isolation: Isolation | None = None
    at: float = 0.0  # when the files were about to be read, in seconds since 1970
    remote: RemoteFiles | None = None
    replaced: tuple[str, ...] = ()


async def load(
    selection: Selection,
    *,
    faults: Faults = lambda _, __: (),
    has_own_images: bool = True,
    on_named: OnNamed = lambda *_: None,
) -> Loaded:
    """Load the selected project. Needs the Compose plugin, but no engine.

    `faults` returns the faults of a project's watch rules, given the user's home folder. `has_own_images`: in an
    isolated project, images that are built get names of its own. `on_named` is called before the model is checked.

    Raises ConfigError with file and line for an error in the files, UsageError for an unknown service or profile,
    RefusedError for a rule that would watch far too much, EngineError if Compose is missing or as `require_address`.
    """
    endpoint.require_address()
    began = time.time()
    sources = selected_files(selection)
    _require_named(selection, sources)
    own = project_name(sources)
    if selection.project_name is None:
        selection = replace(selection, project_name=own)
    compose = ComposeConfig(selection, sources)
    text, warnings = await compose.run()
    model = yaml12.construct(text, file="docker compose config")
    if not isinstance(model, dict):
        raise EngineError("`docker compose config` did not print a project")
    restore(model, compose.knows)
    isolation = None
    if selection.isolated or (own is not None and model.get("name") == own):
        model, isolation = isolate(model, _dockerfiles(model) if has_own_images else None)
    services = model.get("services") or {}
    on_named(str(model.get("name")), sources[0].folder, any("build" in service for service in services.values()))
    run_model.rescale(services, selection.scale)
    project = _with_links(_project(model, sources, warnings))
    places = {
        (service.name, index): rule_place(sources, service.name, index, len(service.watch))
        for service in project.services
        for index in range(len(service.watch))
    }
    warnings += _rule_warnings(project, faults, places)
    dangers = await anyio.to_thread.run_sync(findings.find_dangers, model, project, sources, abandon_on_cancel=True)
    return Loaded(project, model, warnings, places, dangers, isolation, began)


def _dockerfiles(model: Mapping[str, Any]) -> Iterator[str]:
    """The texts of all Dockerfiles that can be read."""
    for service in (model.get("services") or {}).values():
        build = service.get("build") or {}
        yield str(build.get("dockerfile_inline", ""))
        path = os.path.join(str(build.get("context", "")), str(build.get("dockerfile", "Dockerfile")))
        if "build" in service and os.path.isfile(path):  # opening a pipe could block
            with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
                yield file.read(DOCKERFILE_LIMIT)


def where(selection: Selection, path: Sequence[str | int]) -> Place:
    """The file and line of `path` in the selected project. Blocking; raises ConfigError as `load`."""
    return place(selected_files(selection), path)


def selected_files(selection: Selection) -> tuple[ComposeFile, ...]:
    """The Compose files of the selected project. Blocking; raises ConfigError as `load`."""
    return read(find(selection.directory, selection.files), base=selection.directory)


def _require_named(selection: Selection, sources: Sequence[ComposeFile]) -> None:
    """Raise UsageError for a service or profile of the command line that no file has, if all could be read."""
    services, profiles = service_names(sources), profile_names(sources)
    missing = [("service", name, services) for name in selection.services if name not in services]
    missing += [("profile", name, profiles) for name in selection.profiles if name not in {*profiles, "*"}]
    if missing and not any(source.has_unread for source in everything(sources)):
        kind, name, known = missing[0]
        if kind == "profile":
            known |= profile_names([base for _, base in bases(selection, sources)])
        if name not in known:
            raise unknown(kind, name, sorted(known))


def _project(model: Mapping[str, Any], sources: Sequence[ComposeFile], warnings: Sequence[str]) -> Project:
    if not model.get("services"):
        raise _no_services(sources)
    try:
        paths = tuple(source.path for source in sources)
        project = parse.parse(model, directory=sources[0].folder, files=paths, others=service_names(sources))
    except schema.ShapeError as error:
        file, line = place(sources, error.path)
        located = ConfigError(error.message, hint=error.hint or None, file=file, line=line)
        raise complaints.with_unset(located, warnings, sources) from None
    return replace(project, hooks=tuple(_placed(project, sources)))


def _no_services(sources: Sequence[ComposeFile]) -> NoServicesError:
    """The error for a project without services, or whose services all have profiles that are not active."""
    file, line = place(sources, ("services",))
    names = sorted(profile_names(sources))
    env_file = os.path.join(sources[0].folder, ".env")
    if not names:
        reason, hint = f"no services in {sources[0].shown}", "Define services under the key `services:`."
    elif example := example_of(env_file):
        reason = f"no profile is active: .env not found, {os.path.basename(example)} exists"
        hint = f"cp {os.path.relpath(example)} {os.path.relpath(env_file)}   (or --profile NAME: {', '.join(names)})"
    else:
        reason = "all services have profiles, and none is active"
        hint = f"--profile {names[0]}   (profiles: {', '.join(names)})"
    return NoServicesError(reason, hint=hint, file=file, line=line)


def _placed(project: Project, sources: Sequence[ComposeFile]) -> Iterator[ProjectHook]:
    """The hooks with their places in the files.

    An older Compose keeps only the block of the last file, a newer Compose merges the blocks: the last places count.
    """
    for moment in Moment:
        hooks = [hook for hook in project.hooks if hook.moment is moment]
        places = entries(sources, ("x-devenv", "hooks", moment))
        if len(places) < len(hooks):  # some are in a file that only Compose can read
            places = [place(sources, ("x-devenv", "hooks", moment))] * len(hooks)
        for hook, hook_place in zip(hooks, places[len(places) - len(hooks) :], strict=True):
            yield replace(hook, where=shown(hook_place))


def _with_links(project: Project) -> Project:
    """The project with the symbolic links of its folder in rule paths again, which Compose has resolved."""
    services = []
    for service in project.services:
        folders = [project.directory, *([service.build.context] if service.build else [])]
        rules = tuple(replace(rule, path=_with_link(rule.path, folders)) for rule in service.watch)
        services.append(replace(service, watch=rules))
    return replace(project, services=tuple(services))


def _with_link(path: str, folders: Iterable[str]) -> str:
    linked = [folder for folder in folders if os.path.realpath(folder) != folder and not is_within(path, folder)]
    above = path if linked else "/"
    while above != os.path.dirname(above):
        for folder in linked:
            with contextlib.suppress(OSError):
                if os.path.samefile(above, folder):
                    return os.path.normpath(os.path.join(folder, os.path.relpath(path, above)))
        above = os.path.dirname(above)
    return path


def _waiting(path: str) -> str:
    """The warning about a missing path, with a similar name in its folder, if there is one."""
    folder, name = os.path.split(path)
    close = None
    with contextlib.suppress(OSError):
        close = closest(name, os.listdir(folder))
    return f"{path} does not exist: the rule waits for it{f'; did you mean `{close}`?' if close else ''}"


def _rule_warnings(project: Project, faults: Faults, places: Mapping[tuple[str, int], Place]) -> tuple[str, ...]:
    """The warnings about watch rules. Raises ConfigError or RefusedError for a rule that cannot work."""
    warnings, has_files = [], context.socket_path() is not None
    missing = (
        RuleFault(service.name, index, _waiting(rule.path), "", "warning")
        for service in project.services
        for index, rule in enumerate(service.watch)
        if not os.path.lexists(rule.path) and not _LOCK_FILE.fullmatch(os.path.basename(rule.path))
    )
    for fault in (*faults(project, os.path.expanduser("~")), *missing):
        file, line = places[fault.service, fault.index]
        error = ConfigError(fault.message, hint=fault.hint, file=file, line=line)
        if fault.is_of_mount and not has_files:
            continue
        if fault.level == "error":
            raise error
        message = f"{error.where}: {fault.message}"
        if fault.level == "refused":
            raise RefusedError(message, hint=fault.hint)
        warnings.append(message)
    return tuple(warnings)
