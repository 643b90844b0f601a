"""`devenv explain` and `devenv config`: what the watch rules do with a path, and how devenv reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import anyio
import anyio.to_thread

from devenv.compose.files import ComposeFile, inputs, logical
from devenv.compose.outline import Selection
from devenv.compose.parse import undoubled
from devenv.compose.positions import entry_place, shown
from devenv.compose.resolve import Loaded, load, selected_files
from devenv.docker import context
from devenv.lazy_dataclass import dataclass
from devenv.model.answers import Explained, Mounted, RuleVerdict, Shown, ShownRule, ShownService
from devenv.model.project import Action, Service
from devenv.model.sync_plan import ServicePlan
from devenv.paths import is_below, is_within, normal, relative_to
from devenv.sync import planner
from devenv.sync.host import scan
from devenv.sync.host.file_state import FileKind, FileState
from devenv.sync.host.manifest import Changes
from devenv.sync.host.mount_sources import placed, with_replacements
from devenv.sync.rules.lint import faults
from devenv.sync.rules.patterns import place_of
from devenv.sync.rules.rules import BoundRule, bind, mount_over

MISSING = FileState(FileKind.FILE, 0o644, 0, 0, 0, 0)  # used for a path that does not exist yet


async def explain(selection: Selection, paths: Sequence[str]) -> tuple[Explained, ...]:
    """What a change of each path, relative to the selection's folder, would cause. Raises like `load`."""
    loaded = await _load(selection)
    here = logical(selection.directory)
    rules = bind(loaded.project, scan.dockerignores(loaded.project))
    explaining = _Explaining(loaded, selected_files(selection), here, rules, inputs(here, selection.files))
    return tuple(explaining.of(path) for path in paths)


async def overview(selection: Selection) -> Shown:
    """The project's rules as devenv reads them. Raises like `load`."""
    loaded = await _load(selection)
    project = loaded.project
    bound = bind(project, scan.dockerignores(project))
    return Shown(
        project=project.name,
        directory=project.directory,
        files=tuple(_short(file, project.directory) for file in project.files),
        services=tuple(_shown(service, loaded, bound) for service in project.services),
        settings=dict(undoubled(loaded.model.get("x-devenv") or {})),
        warnings=loaded.warnings,
        replaced=loaded.replaced,
    )


async def _load(selection: Selection) -> Loaded:
    """The project, for an engine on another machine as it runs there; what cannot be replaced is a warning."""
    loaded = await load(selection, faults=faults)
    if context.socket_path() is not None:
        return loaded
    return await anyio.to_thread.run_sync(_as_elsewhere, loaded, selection)


def _as_elsewhere(loaded: Loaded, selection: Selection) -> Loaded:
    sources = selected_files(selection)
    after, refused = with_replacements(loaded, list(loaded.model["services"]), sources)
    lines = (f"{shown(placed(sources, remark))}: {remark.message}: {remark.advice}" for remark in refused)
    return replace(after, warnings=(*loaded.warnings, *dict.fromkeys(lines)))


def _shown(service: Service, loaded: Loaded, bound: Sequence[BoundRule]) -> ShownService:
    directory = loaded.project.directory
    ignores = scan.dockerignore(service.build)[0] if service.build else None
    rules = tuple(
        ShownRule(
            action=str(bound_rule.rule.action),
            path=_short(bound_rule.rule.path, directory),
            target=bound_rule.rule.target,
            ignore=bound_rule.rule.ignore,
            include=bound_rule.rule.include,
            initial_sync=bound_rule.rule.initial_sync,
            exec=bound_rule.rule.exec.command if bound_rule.rule.exec else (),
            place=_place(loaded, bound_rule),
            note=_note(loaded, bound_rule),
        )
        for bound_rule in bound
        if bound_rule.service == service.name
    )
    return ShownService(service.name, _short(ignores, directory) if ignores else None, rules)


def _note(loaded: Loaded, rule: BoundRule) -> str:
    if loaded.remote is not None and (rule.service, rule.index) in loaded.remote.mounts:
        return "in place of a bind mount: the engine does not have the files of this machine"
    return "a bind mount has the files already" if rule.skip_sync else ""


@dataclass(frozen=True, slots=True)
class _Explaining:
    """The rules of a project; paths are relative to the folder `here`."""

    loaded: Loaded
    sources: Sequence[ComposeFile]
    here: str
    rules: tuple[BoundRule, ...]
    inputs: frozenset[str]

    def of(self, given_path: str) -> Explained:
        path = os.path.normpath(os.path.join(self.here, given_path))
        state = scan.state(path)
        named = {rule: name for rule in self.rules if (name := self._name(path, rule))}
        plan = self._plan(named, state)
        verdicts = tuple(self._verdict(rule, name, state, plan.get(rule.service)) for rule, name in named.items())
        kind = state.kind.value if state else "absent"
        mounts, below = tuple(self._mounts(path)), tuple(self._below(path))
        copied = tuple(self._copied(path))
        return Explained(given_path, kind, verdicts, mounts, below, path in self.inputs, copied)

    def _copied(self, path: str) -> Iterator[str]:
        """The services that get a copy of the file as a config or secret, with target and place."""
        for file in self.loaded.remote.files if self.loaded.remote else ():
            if file.is_on_disk and os.path.normpath(file.source) == path:
                place = entry_place(self.sources, ("services", file.service, file.kind), file.name)
                yield f"{file.service}: copied to {file.target} after each save ({shown(place)})"

    def _mounts(self, path: str) -> Iterator[Mounted]:
        """The bind mounts that bring the path, or something below it, into a container."""
        for service in self.loaded.project.services:
            for mount in (mount for mount in service.volumes if mount.type == "bind"):
                source = os.path.normpath(mount.source or "")
                inside = relative_to(path, source)
                target = None if inside is None else normal(f"{mount.target}/{inside}")
                if mount_over(service, target) is mount if target else is_below(source, path):
                    place = entry_place(self.sources, ("services", service.name, "volumes"), mount.target)
                    yield Mounted(service.name, self.loaded.project.written(mount), shown(place), target)

    def _below(self, path: str) -> Iterator[ShownService]:
        """The services that have rules for paths below this one, with those rules."""
        below = [rule for rule in self.rules if is_below(rule.rule.path, path)]
        services = (_shown(service, self.loaded, below) for service in self.loaded.project.services)
        yield from (service for service in services if service.rules)

    def _name(self, path: str, rule: BoundRule) -> str | None:
        """The path as file events would name it, or None if it is not below the rule's path. Follows no links."""
        directory = self.loaded.project.directory
        folder = os.path.realpath(os.path.dirname(path))
        below = relative_to(folder, os.path.realpath(directory))
        real = os.path.join(folder if below is None else os.path.join(directory, below), os.path.basename(path))
        return next((name for name in (real, path) if is_within(name, rule.rule.path)), None)

    def _plan(self, named: Mapping[BoundRule, str], state: FileState | None) -> dict[str, ServicePlan]:
        """The plan by service if these paths changed; for a folder, as if it were a file."""
        planned = MISSING if state is None or state.kind is FileKind.DIR else state
        present = dict.fromkeys(named.values(), planned)
        rivals = {
            source: existing
            for target in (rule.target_for(name) for rule, name in named.items() if rule.overlaps)
            for other in self.rules
            if other.overlaps
            for source in other.sources_for(target)
            if (existing := scan.state(source))
        }
        change = Changes(present=tuple(present.items()))
        plan = planner.plan(change, self.rules, directory="/", states=rivals | present)
        return {step.service: step for step in plan.services}

    def _verdict(self, rule: BoundRule, path: str, state: FileState | None, step: ServicePlan | None) -> RuleVerdict:
        named, pattern = rule.decision(path)
        written, file = self._written(rule, named, pattern)
        matches = rule.matches(path)
        effects = tuple(_effects(rule, path, step)) if matches and step else ()
        return RuleVerdict(
            service=rule.service,
            index=rule.index,
            action=str(rule.rule.action),
            place=_place(self.loaded, rule),
            matches=matches,
            decided_by=named,
            pattern=written,
            file=file,
            target=rule.target_for(path) if matches and rule.rule.action.syncs else None,
            effects=effects,
            reason=_reason(rule, path, state, step) if matches and not effects else "",
        )

    def _written(self, rule: BoundRule, named: str, pattern: str) -> tuple[str, str]:
        lists = {"ignore": rule.rule.ignore, "include": rule.rule.include}
        if named in lists:
            lines = lists[named]
            return lines[place_of(pattern, lines)] if pattern else "", _place(self.loaded, rule)
        build = self.loaded.project.service(rule.service).build
        if named != ".dockerignore" or build is None:
            return pattern, ""
        file, lines = scan.dockerignore(build)
        index = place_of(pattern, lines)
        return lines[index], f"{_short(file or '', self.here)}:{index + 1}"


def _effects(rule: BoundRule, path: str, step: ServicePlan) -> Iterator[str]:
    action = rule.rule.action
    if step.rebuild:
        if action is Action.REBUILD:
            yield "rebuild"
        return
    if rule.copies and any(sync.source == path and sync.target == rule.target_for(path) for sync in step.syncs):
        yield "sync"
    if action is Action.SYNC_EXEC:
        yield "exec"
    if action in (Action.RESTART, Action.SYNC_RESTART):
        yield "restart"


def _reason(rule: BoundRule, path: str, state: FileState | None, step: ServicePlan | None) -> str:
    if state is not None and state.kind is FileKind.OTHER:
        return planner.NO_FILE
    if step is not None and step.rebuild:
        return "the rebuild brings it"
    if rule.skip_sync or rule.is_mounted(rule.target_for(path)):
        return "a bind mount has it already"
    return "another rule's file is there"


def _place(loaded: Loaded, rule: BoundRule) -> str:
    file, line = loaded.places[rule.service, rule.index]
    return f"{file}:{line}" if line else str(file)


def _short(path: str, directory: str) -> str:
    """The path relative to the folder if it is below; `.` for the folder itself."""
    relative = relative_to(path, directory)
    return path if relative is None else relative or "."
