"""Load a project: its Compose files are found, checked, resolved by Compose, and parsed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import anyio

from devenv.compose import compat, run_model, yaml12
from devenv.compose.files import (
    ComposeFile,
    Place,
    everything,
    find,
    load_source,
    logical,
    profile_names,
    profiles_on,
    read,
    service_names,
)
from devenv.compose.outline import Selection, project_name
from devenv.compose.positions import entries, place, port_place, rule_place, shown
from devenv.docker import endpoint, process
from devenv.docker.compose_failures import missing_compose
from devenv.errors import ConfigError, DevenvError, EngineError, RefusedError, unknown
from devenv.model.project import Moment, Project, ProjectHook, RuleFault, Service
from devenv.paths import is_within
from devenv.tasks import each

if TYPE_CHECKING:
    from devenv.compose.safety.table import Danger

# The sync packages know what a watch rule can do; this package knows the line on which it is written.
Faults = Callable[[Project, str], Iterable[RuleFault]]

_ENVIRONMENT = {"COMPOSE_ANSI": "never", "COMPOSE_MENU": "0"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project, the resolved model as Compose printed it, and the warnings of Compose and devenv.

    `dangers`: the parts of the project that reach beyond its own containers.

    `places` maps a service and the index of a watch rule to the file and line of the rule.

    The model holds the values of env_files: it must not be in any file, log or error.
    """

    project: Project
    model: dict[str, Any] = field(repr=False)
    warnings: tuple[str, ...] = ()
    places: Mapping[tuple[str, int], Place] = field(default_factory=dict)
    dangers: tuple[Danger, ...] = ()


async def load(selection: Selection, *, faults: Faults = lambda _, __: ()) -> Loaded:
    """The selected project. Needs the Compose plugin, but no engine.

    `faults` returns the watch rules of a project that cannot work or need a warning, given the user's home folder.

    Raises ConfigError with file and line for an error in the files, UsageError for a service or profile that does not
    exist, RefusedError for a rule that would watch far too much, EngineError if Compose is missing, and as
    `require_address`.
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
    project = _with_links(_project(model, sources, warnings))
    places = _places(project, sources)
    warnings += _rule_warnings(project, faults, places)
    from devenv.compose.safety.findings import find_dangers  # noqa: PLC0415 - loaded while Compose is at work

    dangers = await anyio.to_thread.run_sync(find_dangers, model, project, sources, abandon_on_cancel=True)
    return Loaded(project, model, warnings, places, dangers)


def where(selection: Selection, path: Sequence[str | int]) -> Place:
    """The file and line of `path` in the selected project. Blocking; raises ConfigError as `load`."""
    return place(_sources(selection), path)


def where_port(selection: Selection, service: str, published: int, target: int) -> Place:
    """The file and line of a port of a service; as `where`."""
    return port_place(_sources(selection), service, published, target)


def _sources(selection: Selection) -> tuple[ComposeFile, ...]:
    return read(find(selection.directory, selection.files), base=selection.directory)


def _require_named(selection: Selection, sources: Sequence[ComposeFile]) -> None:
    """Raise UsageError for a service or profile of the command line that no file has, if all could be read."""
    services, profiles = service_names(sources), profile_names(sources)
    missing = [("service", name, services) for name in selection.services if name not in services]
    missing += [("profile", name, profiles) for name in selection.profiles if name not in {*profiles, "*"}]
    if missing and not any(source.has_unread for source in everything(sources)):
        kind, name, known = missing[0]
        if kind == "profile":
            known |= profile_names([base for _, base in _bases(selection, sources)])
        if name not in known:
            raise unknown(kind, name, sorted(known))


@dataclass(slots=True)
class _Resolver:
    """One run of `docker compose config`, and beside it one of `docker compose version` if the version matters."""

    selection: Selection
    sources: tuple[ComposeFile, ...]
    version: str = ""
    known: anyio.Event = field(default_factory=anyio.Event)

    async def resolve(self) -> process.Completed:
        """The output of Compose. Afterwards its version is known, unless no file has a key that depends on it."""
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
        """Whether the installed Compose has at least the version."""
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
        """The values of `-f`, and standard input.

        A single file is passed on standard input, and adapted for any Compose: so its version need not be known.
        Several files are passed by their paths, or as adapted copies if this Compose refuses keys of one of them.
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
        import tempfile  # noqa: PLC0415 - rarely needed

        with tempfile.TemporaryDirectory(prefix="devenv-") as folder:
            copies: dict[str, str] = {}
            for source in everything(self.sources):
                _copy(source, copies, folder)
            yield [copies.get(source.path, source.path) for source in self.sources], None

    def _failure(self, output: str) -> DevenvError:
        if error := missing_compose(output):
            return error
        bases = _bases(self.selection, self.sources)
        if "develop.watch" in output and (error := self._extended_newer(bases)):
            return error
        from devenv.compose import complaints  # noqa: PLC0415 - only for errors

        return complaints.explain(output, (*(base for _, base in bases), *self.sources))

    def _extended_newer(self, extended: Sequence[tuple[ComposeFile, ComposeFile]]) -> ConfigError | None:
        """The error for a newer key in a file of an `extends`, which Compose reads unchanged."""
        for source, base in extended:
            for key, line in compat.newer_keys(base):
                needed = compat.NEWER_KEYS[key]
                if not self.knows(needed):
                    message = f"`{key}` in a file that is named by `extends` needs Compose {needed}"
                    hint = f"Compose {self.version} is installed. Update it, or move the rule into {source.shown}."
                    return ConfigError(message, hint=hint, file=base.shown, line=line)
        return None


def version_tuple(text: str) -> tuple[int, ...]:
    """The numbers at the start of a version: `2.26.1-4` -> (2, 26, 1)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _copy(source: ComposeFile, copies: dict[str, str], folder: str) -> None:
    """Write a copy if the text has to change; an included file comes before the file that includes it."""
    text = compat.sanitised(source, copies)
    if text != source.text and source.path not in copies:
        copies[source.path] = os.path.join(folder, f"{len(copies)}.yml")
        with open(copies[source.path], "x", encoding="utf-8") as file:
            file.write(text)


def _bases(selection: Selection, sources: Sequence[ComposeFile]) -> list[tuple[ComposeFile, ComposeFile]]:
    """Each file with an `extends` that names another file, and the other file."""
    return [
        (source, load_source(path, base=selection.directory))
        for source in everything(sources)
        for path in source.extended
    ]


def _model(output: str) -> dict[str, Any]:
    model = yaml12.construct(output, file="docker compose config")
    if not isinstance(model, dict):
        raise EngineError("`docker compose config` did not print a project")
    return model


def _warnings(errors: str, sources: Sequence[ComposeFile]) -> tuple[str, ...]:
    if not errors:
        return ()
    from devenv.compose import complaints  # noqa: PLC0415 - only for warnings

    return complaints.warnings(errors, sources)


def _project(model: Mapping[str, Any], sources: Sequence[ComposeFile], warnings: Sequence[str]) -> Project:
    if not model.get("services"):
        raise _no_services(sources)
    from devenv.compose.parse import parse  # noqa: PLC0415 - loaded while Compose is at work
    from devenv.compose.schema import ShapeError  # noqa: PLC0415 - loaded while Compose is at work

    try:
        paths = tuple(source.path for source in sources)
        project = parse(model, directory=sources[0].folder, files=paths, others=service_names(sources))
    except ShapeError as error:
        file, line = place(sources, error.path)
        hint = " ".join([*([error.hint] if error.hint else []), *(f"Note: {warning}." for warning in warnings)])
        raise ConfigError(error.message, hint=hint or None, file=file, line=line) from None
    return replace(project, hooks=tuple(_placed(project, sources)))


def _placed(project: Project, sources: Sequence[ComposeFile]) -> Iterator[ProjectHook]:
    """The hooks with their places in the files.

    An older Compose keeps only the block of the last file, a newer one merges them: the last places count.
    """
    for moment in Moment:
        hooks = [hook for hook in project.hooks if hook.moment is moment]
        places = entries(sources, ("x-devenv", "hooks", moment))
        if len(places) < len(hooks):  # they are in a file that only Compose can read
            places = [place(sources, ("x-devenv", "hooks", moment))] * len(hooks)
        for hook, hook_place in zip(hooks, places[len(places) - len(hooks) :], strict=True):
            yield replace(hook, where=shown(hook_place))


def _no_services(sources: Sequence[ComposeFile]) -> ConfigError:
    written = service_names(sources)
    profiles = "All services belong to profiles; activate one with --profile NAME."
    file, line = place(sources, ("services",))
    return ConfigError(
        f"no services in {sources[0].shown}",
        hint=profiles if written else "Define services under the key `services:`.",
        file=file,
        line=line,
    )


def _with_links(project: Project) -> Project:
    """The project with the links of its folder in rule paths, since Compose resolves the first link there."""
    services = [
        replace(
            service,
            watch=tuple(
                replace(rule, path=_with_link(rule.path, project.directory, *_contexts(service)))
                for rule in service.watch
            ),
        )
        for service in project.services
    ]
    return replace(project, services=tuple(services))


def _contexts(service: Service) -> list[str]:
    return [service.build.context] if service.build else []


def _with_link(path: str, *folders: str) -> str:
    linked = [folder for folder in folders if os.path.realpath(folder) != folder and not is_within(path, folder)]
    above = path if linked else "/"
    while above != os.path.dirname(above):
        for folder in linked:
            with contextlib.suppress(OSError):
                if os.path.samefile(above, folder):
                    return os.path.normpath(os.path.join(folder, os.path.relpath(path, above)))
        above = os.path.dirname(above)
    return path


def _places(project: Project, sources: Sequence[ComposeFile]) -> dict[tuple[str, int], Place]:
    return {
        (service.name, index): rule_place(sources, service.name, index, len(service.watch))
        for service in project.services
        for index in range(len(service.watch))
    }


def _rule_warnings(project: Project, faults: Faults, places: Mapping[tuple[str, int], Place]) -> tuple[str, ...]:
    """The warnings about watch rules. Raises ConfigError or RefusedError for a rule that cannot work."""
    warnings = []
    for fault in (*faults(project, os.path.expanduser("~")), *_missing(project)):
        file, line = places[fault.service, fault.index]
        error = ConfigError(fault.message, hint=fault.hint, file=file, line=line)
        if fault.level == "error":
            raise error
        message = f"{error.where}: {fault.message}"
        if fault.level == "refused":
            raise RefusedError(message, hint=fault.hint)
        warnings.append(message)
    return tuple(warnings)


def _missing(project: Project) -> Iterator[RuleFault]:
    for service in project.services:
        for index, rule in enumerate(service.watch):
            if not os.path.lexists(rule.path):
                message = f"{rule.path} does not exist: the rule waits for it"
                yield RuleFault(service.name, index, message, "", "warning")
