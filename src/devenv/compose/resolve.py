"""Compose files -> the Project and the resolved model: found, checked, made readable, resolved by Compose."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio

from devenv.compose import compat, run_model, yaml
from devenv.compose.files import (
    Place,
    Source,
    everything,
    find,
    load_source,
    logical,
    profile_names,
    profiles_on,
    read,
    service_names,
)
from devenv.compose.identity import project_name
from devenv.compose.positions import entries, place, port_place, rule_place, shown
from devenv.compose.selection import Selection
from devenv.docker import endpoint, process
from devenv.docker.compose_failures import missing_compose
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, unknown
from devenv.model.project import Moment, Project, ProjectHook, RuleFault
from devenv.tasks import each

if TYPE_CHECKING:
    from devenv.compose.safety.table import Danger

__all__ = ["Selection"]  # whoever loads a project has to say which

# The corridor knows what a rule can do; this room knows the line that it is written on.
Faults = Callable[[Project, str], Iterable[RuleFault]]

_ENVIRONMENT = {"COMPOSE_ANSI": "never", "COMPOSE_MENU": "0"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project, the resolved model as Compose printed it, and what Compose and we warn of.

    `dangers`: what of it reaches beyond its own containers.

    `places` says of a service's rule, counted from 0, in which file and line it is written.

    The model holds the values of env_files: it belongs into no file, no log and no error.
    """

    project: Project
    model: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    places: Mapping[tuple[str, int], Place] = field(default_factory=dict)
    dangers: tuple[Danger, ...] = ()


async def load(selection: Selection, *, faults: Faults = lambda _, __: ()) -> Loaded:
    """The selected project. Needs the Compose plugin, but no engine.

    `faults` says which watch rules of a project cannot work or deserve a warning, given the user's home folder.

    Raises ConfigError with file and line for what is wrong in the files, UsageError for a service or profile that is
    not there, RefusedError for a rule that would watch far too much, EngineError where Compose is missing; and
    whatever `require_address` raises.
    """
    endpoint.require_address()
    sources = _sources(selection)
    _require_named(selection, sources)
    if selection.project_name is None:
        selection = replace(selection, project_name=project_name(sources))
    resolver = _Resolver(selection, sources)
    resolved = await resolver.resolve()
    model = _model(resolved.text)
    compat.restore(model, resolver.knows)
    run_model.rescale(model.get("services") or {}, selection.scale)
    warnings = _warnings(resolved.error_text, sources)
    project = _respelled(_project(model, sources, warnings))
    places = _places(project, sources)
    warnings += _judged(project, faults, places)
    from devenv.compose.safety.findings import found  # noqa: PLC0415 - as above

    dangers = await anyio.to_thread.run_sync(found, model, project, sources, abandon_on_cancel=True)
    return Loaded(project, model, warnings, places, dangers)


def where(selection: Selection, path: Sequence[str | int]) -> Place:
    """The file and line where `path` of the selected project is written. Blocking; ConfigError as `load`."""
    return place(_sources(selection), path)


def where_port(selection: Selection, service: str, published: int, target: int) -> Place:
    """As `where`, for one of a service's ports."""
    return port_place(_sources(selection), service, published, target)


def _sources(selection: Selection) -> tuple[Source, ...]:
    return read(find(selection.directory, selection.files), base=selection.directory)


def _require_named(selection: Selection, sources: Sequence[Source]) -> None:
    """Raises UsageError for a service or a profile of the command line that no file has, where all could be read."""
    services, profiles = service_names(sources), profile_names(sources)
    missing = [("service", name, services) for name in selection.services if name not in services]
    missing += [("profile", name, profiles) for name in selection.profiles if name not in {*profiles, "*"}]
    if missing and not any(source.has_unread for source in everything(sources)):
        kind, name, known = missing[0]
        if kind == "profile":
            bases = [
                load_source(path, base=selection.directory)
                for source in everything(sources)
                for path in extended(source)
            ]
            known |= profile_names(bases)
        if name not in known:
            raise unknown(kind, name, sorted(known))


@dataclass(slots=True)
class _Resolver:
    """One run of `docker compose config`, beside which the version is asked for where anything hangs on it."""

    selection: Selection
    sources: tuple[Source, ...]
    version: str = ""
    known: anyio.Event = field(default_factory=anyio.Event)

    async def resolve(self) -> process.Completed:
        """What Compose printed. Its version is known by then, unless no file has a word that it matters for."""
        matters = any(key in source.text for source in everything(self.sources) for key in compat.NEWER_KEYS)
        try:
            *_, done = await each(lambda work: work(), [*([self._version] if matters else []), self._config])
            if done.returncode and not self.version:
                await self._version()
        except EngineError as error:
            install = "Debian: apt install docker.io docker-cli docker-compose. Elsewhere: Docker Desktop or Engine."
            raise EngineError(error.message, hint=error.hint or install) from None
        if done.returncode:
            raise self._failure(done.error_text)
        return done

    def knows(self, needed: str) -> bool:
        """Whether this Compose is at least of the version."""
        return version_tuple(self.version) >= version_tuple(needed)

    async def _version(self) -> process.Completed:
        done = await process.run(["docker", "compose", "version", "--short"])
        self.version = done.text.strip().removeprefix("v")
        self.known.set()
        return done

    async def _config(self) -> process.Completed:
        async with self._arguments() as (files, stdin):
            folder = logical(self.selection.directory)
            return await process.run(self._argv(files), stdin=stdin, env=_ENVIRONMENT, cwd=folder)

    def _argv(self, files: Sequence[str]) -> list[str]:
        argv = ["docker", "compose", "--project-directory", self.sources[0].folder]
        if self.selection.project_name is not None:
            argv += ["-p", self.selection.project_name]
        argv += [part for profile in self._profiles for part in ("--profile", profile)]
        return [*argv, *(part for file in files for part in ("-f", file)), "config"]

    @property
    def _profiles(self) -> tuple[str, ...]:
        return profiles_on(self.sources, self.selection.services, self.selection.profiles)

    @contextlib.asynccontextmanager
    async def _arguments(self) -> AsyncIterator[tuple[list[str], bytes | None]]:
        """What `-f` names, and standard input.

        One file goes in by standard input, changed whether this Compose needs it or not: that saves waiting for
        its version. Several go in as they are, or as copies where one uses keys that this Compose refuses.
        """
        newer = [source for source in everything(self.sources) if compat.sanitised(source) != source.text]
        if len(self.sources) == 1 and set(newer) <= {self.sources[0]}:
            yield ["-"], compat.sanitised(self.sources[0]).encode()
            return
        if newer:
            await self.known.wait()
        if not newer or self.knows(compat.KNOWS_ALL):
            yield [source.path for source in self.sources], None
            return
        import tempfile  # noqa: PLC0415 - hardly ever needed

        with tempfile.TemporaryDirectory(prefix="devenv-") as folder:
            copies: dict[str, str] = {}
            for source in everything(self.sources):
                _copy(source, copies, folder)
            yield [copies.get(source.path, source.path) for source in self.sources], None

    def _failure(self, output: str) -> DevenvError:
        if error := missing_compose(output):
            return error
        bases = [
            (source, load_source(path, base=self.selection.directory))
            for source in everything(self.sources)
            for path in extended(source)
        ]
        if "develop.watch" in output and (error := self._extended_newer(bases)):
            return error
        from devenv.compose import complaints  # noqa: PLC0415 - a project without errors does not pay for it

        return complaints.explain(output, (*(found for _, found in bases), *self.sources))

    def _extended_newer(self, extended: Sequence[tuple[Source, Source]]) -> ConfigError | None:
        """The error for a newer key in a file that an `extends` names: that file, Compose reads by itself."""
        for source, found in extended:
            for key, line in compat.newer_keys(found):
                needed = compat.NEWER_KEYS[key]
                if not self.knows(needed):
                    message = f"`{key}` in a file that is named by `extends` needs Compose {needed}"
                    hint = f"Here is Compose {self.version}. Update it, or move the rule into {source.shown}."
                    return ConfigError(message, hint=hint, file=found.shown, line=line)
        return None


def version_tuple(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: `2.26.1-4` -> (2, 26, 1)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _copy(source: Source, copies: dict[str, str], folder: str) -> None:
    """Write a copy where the text has to change; an included file comes before the one that names it."""
    text = compat.sanitised(source, copies)
    if text != source.text and source.path not in copies:
        copies[source.path] = os.path.join(folder, f"{len(copies)}.yml")
        with open(copies[source.path], "x", encoding="utf-8") as file:
            file.write(text)


def extended(source: Source) -> list[str]:
    """The files that an `extends` of this one names."""
    services = yaml.items(yaml.at(source.node, ["services"]))
    files = (yaml.at(service, ["extends", "file"]) for _, service in services)
    paths = (os.path.join(source.folder, str(file.value)) for file in files if file is not None)
    return [path for path in paths if os.path.isfile(path)]


def _model(output: str) -> dict[str, Any]:
    model = yaml.construct(output, file="docker compose config")
    if not isinstance(model, dict):
        raise EngineError("`docker compose config` did not print a project")
    return model


def _warnings(errors: str, sources: Sequence[Source]) -> tuple[str, ...]:
    if not errors:
        return ()
    from devenv.compose import complaints  # noqa: PLC0415 - a project without warnings does not pay for it

    return complaints.warnings(errors, sources)


def _project(model: Mapping[str, Any], sources: Sequence[Source], warnings: Sequence[str]) -> Project:
    if not model.get("services"):
        raise _no_services(sources)
    from devenv.compose.parse import parse  # noqa: PLC0415 - what is not needed before Compose, comes meanwhile
    from devenv.compose.schema import ShapeError  # noqa: PLC0415 - as above

    try:
        paths = tuple(source.path for source in sources)
        project = parse(model, directory=sources[0].folder, files=paths, others=service_names(sources))
    except ShapeError as error:
        file, line = place(sources, error.path)
        told = " ".join([*([error.hint] if error.hint else []), *(f"Note: {warning}." for warning in warnings)])
        raise ConfigError(error.message, hint=told or None, file=file, line=line) from None
    return replace(project, hooks=tuple(_placed(project, sources)))


def _placed(project: Project, sources: Sequence[Source]) -> Iterator[ProjectHook]:
    """The hooks with where they are written.

    An older Compose takes the block of the last file alone, a newer one puts them together: the last ones count.
    """
    for moment in Moment:
        hooks = [hook for hook in project.hooks if hook.moment is moment]
        places = entries(sources, ("x-devenv", "hooks", moment))
        if len(places) < len(hooks):  # nobody has written them as they are: a file that Compose alone reads
            places = [place(sources, ("x-devenv", "hooks", moment))] * len(hooks)
        for hook, its in zip(hooks, places[len(places) - len(hooks) :], strict=True):
            yield replace(hook, where=shown(its))


def _no_services(sources: Sequence[Source]) -> ConfigError:
    written = service_names(sources)
    profiles = "All services belong to profiles; turn one on with --profile NAME."
    file, line = place(sources, ("services",))
    return ConfigError(
        f"no services in {sources[0].shown}",
        hint=profiles if written else "Write them under the key `services:`.",
        file=file,
        line=line,
    )


def _respelled(project: Project) -> Project:
    """Rule paths in the folders' own spelling: Compose resolves the first link on the way, there and nowhere else."""
    services = [
        replace(
            service,
            watch=tuple(
                replace(
                    rule,
                    path=_spelled(rule.path, project.directory, *([service.build.context] if service.build else [])),
                )
                for rule in service.watch
            ),
        )
        for service in project.services
    ]
    return replace(project, services=tuple(services))


def _spelled(path: str, *folders: str) -> str:
    linked = [folder for folder in folders if os.path.realpath(folder) != folder and not _is_in(path, folder)]
    above = path if linked else "/"
    while above != os.path.dirname(above):
        for folder in linked:
            with contextlib.suppress(OSError):
                if os.path.samefile(above, folder):
                    return os.path.normpath(os.path.join(folder, os.path.relpath(path, above)))
        above = os.path.dirname(above)
    return path


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _places(project: Project, sources: Sequence[Source]) -> dict[tuple[str, int], Place]:
    return {
        (service.name, index): rule_place(sources, service.name, index, len(service.watch))
        for service in project.services
        for index in range(len(service.watch))
    }


def _judged(project: Project, faults: Faults, places: Mapping[tuple[str, int], Place]) -> tuple[str, ...]:
    """What deserves a warning in the watch rules; what cannot work is raised."""
    warnings = []
    for fault in (*faults(project, os.path.expanduser("~")), *_missing(project)):
        file, line = places[fault.service, fault.index]
        error = ConfigError(fault.message, hint=fault.hint, file=file, line=line)
        if fault.level == "error":
            raise error
        said = f"{error.where}: {fault.message}"
        if fault.level == "refused":
            raise RefusedError(said, hint=fault.hint)
        warnings.append(said)
    return tuple(warnings)


def _missing(project: Project) -> Iterator[RuleFault]:
    for service in project.services:
        for index, rule in enumerate(service.watch):
            if not os.path.lexists(rule.path):
                message = f"{rule.path} is not there: the rule waits for it"
                yield RuleFault(service.name, index, message, "", "warning")
