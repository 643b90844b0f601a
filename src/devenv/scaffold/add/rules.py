"""`devenv add rules`: propose watch rules from a Dockerfile's copies, bind mounts, and the running program."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from devenv.compose.outline import Selection
from devenv.compose.positions import entry_place, shown
from devenv.compose.resolve import Loaded, load
from devenv.errors import ConfigError, UsageError
from devenv.lazy_dataclass import dataclass
from devenv.model.project import Action, Condition, Project, Service
from devenv.paths import is_below, is_within, relative_to, written
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.copied_files import (
    COMPILED,
    INTERPRETED,
    MANIFESTS,
    Built,
    Copy,
    StageFiles,
    bind_over,
    bind_sources,
    built_service,
    dockerfile_path,
    has_manifest,
    made_in,
    placed,
    source_mount,
    stage_program,
)
from devenv.scaffold.add.programs import Way
from devenv.scaffold.add.proposal import MainFile, Proposal, opened
from devenv.scaffold.add.yaml_places import flow
from devenv.sync.rules.lint import DATA, faults, unwritable
from devenv.sync.rules.rules import is_bind_mounted

SETTINGS = "/etc/"
COST = "each save in it builds the image again"
STAYS = "what the container writes there stays in it from now on"
NOT_BUILT = "nothing to add: rules are proposed for what a Dockerfile copies, and no service is built here"
CHANGES = {
    Way.RELOADS: Action.SYNC,
    Way.READS: Action.SYNC,
    Way.LOSES: Action.SYNC_RESTART,
    Way.COMPILES: Action.SYNC_RESTART,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and why it is proposed, or (without an action) why no rule is; the path is absolute."""

    path: str
    action: Action | None
    why: str
    target: str = ""
    ignore: tuple[str, ...] = ()

    def entry(self, folder: str) -> str:
        """The rule as block YAML, its path relative to the project's folder."""
        lines = [f"- path: {_scalar(written(self.path, folder))}", f"action: {self.action}"]
        lines += [f"target: {_scalar(self.target)}"] if self.target else []
        lines += [f"ignore: {flow(list(self.ignore))}"] if self.ignore else []
        return "\n  ".join(lines)


def _scalar(text: str) -> str:
    return text if re.fullmatch(r"[./]?[\w./-]+", text, re.ASCII) else json.dumps(text)


async def rules(selection: Selection, name: str | None, *, from_mounts: bool = False) -> Proposal:
    """The edits that add watch rules to the service, or to all services; checked and not written.

    With `from_mounts`, bind mounts of folders become rules. Raises like `load`; UsageError for an unknown service.
    """
    loaded = await load(selection, faults=faults)
    file = opened(selection)
    services = {service.name: service for service in loaded.project.services if service.name in file.services}
    if name is not None:
        file.service(name)
        if name not in services:
            raise UsageError(f"the profile of `{name}` is not on", hint="Turn it on with --profile NAME.")
        services = {name: services[name]}
    folder = loaded.project.directory
    for service in services.values() if name is not None else _servers(file, services, loaded.project):
        mounted = list(_from_mounts(file, service, loaded, is_named=name is not None)) if from_mounts else []
        proposed = _proposed(service, loaded, mounted)
        entries = [rule.entry(folder) for rule in proposed if rule.action is not None]
        if entries:
            file.own(service.name, "develop")
            file.draft.insert(["services", service.name, "develop", "watch"], "\n".join(entries))
        file.notes += [_note(file, service.name, rule, folder) for rule in proposed]
        if service.build is not None and not proposed:
            file.notes.append(_nothing(service, loaded.project))
    edit = file.edit()
    if edit.after == edit.before:
        nothing = "nothing to add" if any(service.build for service in services.values()) else NOT_BUILT
        return Proposal(folder, (), (*file.notes, nothing))
    await proposals.check(selection, edit, ())
    return Proposal(folder, (edit,), tuple(file.notes))


def _servers(file: MainFile, services: Mapping[str, Service], project: Project) -> Iterator[Service]:
    """Yield the services without the jobs whose end another service waits for; a note says why."""
    ends = {d.service: s.name for s in project.services for d in s.depends_on if d.condition is Condition.COMPLETED}
    for name, service in services.items():
        if name not in ends:
            yield service
        elif service.build is not None:
            file.notes.append(f"{name}: nothing: {ends[name]} waits for its end, and a save would run it again")


def _nothing(service: Service, project: Project) -> str:
    """Why a service with a build section gets no rule."""
    if service.watch:
        return f"{service.name}: its rules cover what its Dockerfile copies from here"
    if (
        service.build
        and service.build.dockerfile_inline is None
        and not os.path.isfile(dockerfile_path(service.build))
    ):
        return f"{service.name}: {written(dockerfile_path(service.build), project.directory)} does not exist"
    mounts = project.bind_mounts(service)
    more = f"; {service.name} has {', '.join(mounts)}" if mounts else ""
    return f"{service.name}: its Dockerfile copies nothing from here{more}"


def _note(file: MainFile, name: str, rule: Rule, folder: str) -> str:
    path = written(rule.path, folder)
    if rule.action is not None:
        return f"{name}: {rule.action} {path}: {rule.why}"
    if rule.target:
        place = shown(entry_place(file.sources, ("services", name, "volumes"), rule.target))
        return f"{name}: nothing for {path}: the bind mount of {rule.target} ({place}) brings it"
    return f"{name}: nothing for {path}: {rule.why}"


def _proposed(service: Service, loaded: Loaded, mounted: Sequence[Rule]) -> list[Rule]:
    """New rules for a service; the rules in `mounted` replace bind mounts."""
    targets = [rule.target for rule in mounted]
    volumes = tuple(mount for mount in service.volumes if mount.target not in targets)
    built = built_service(replace(service, volumes=volumes), loaded.model["services"][service.name])
    copied = [rule for rule in (_from_build(built) if built else ()) if not _covered(service, rule, mounted)]
    foreign = [other for other in loaded.project.services if other.build is None and other is not service]
    data = bind_sources(foreign, DATA.pattern)
    apart = [*(rule.path for rule in mounted), *bind_sources(foreign)]
    mount_rules = [_without(rule, data) for rule in mounted]
    context = service.build.context if service.build else ""
    return [*mount_rules, *(_without(rule, apart) for rule in copied if not _implied(rule, copied, context))]


def _from_build(built: Built) -> Iterator[Rule]:
    """Rules for what the build copies; for each path, the first rule wins."""
    rules: dict[str, Rule] = {}
    for stage in (*built.below, *built.others):
        for copy in stage.copies:
            for path, target in placed(built.build.context, copy):
                for rule in _copied(built, stage, copy, path, target):
                    rules.setdefault(rule.path, rule)
    dockerfile = dockerfile_path(built.build)
    if built.build.dockerfile_inline is None and os.path.isfile(dockerfile) and any(r.action for r in rules.values()):
        rules.setdefault(dockerfile, _rebuild(dockerfile))
    yield from rules.values()


def _copied(built: Built, stage: StageFiles, copy: Copy, path: str, target: str) -> Iterator[Rule]:
    """The rules for one path that a stage copies, and for the manifests in it."""
    is_folder = os.path.isdir(path)
    if MANIFESTS.fullmatch(os.path.basename(path)) and not is_folder:
        yield _rebuild(path)
        return
    origin = f"{built.build.dockerfile}:{copy.line}"
    is_own = stage in built.below
    mount = bind_over(built.service, target) if is_own else source_mount(built.service, path)
    action, why = _action(built, path, target, copy.line) if is_own else _elsewhere(built, path, origin)
    why = f"copied by {origin}{why}" if is_own else why
    manifests = [name for name in sorted(os.listdir(path)) if MANIFESTS.fullmatch(name)] if is_folder else []
    if mount is not None:
        yield Rule(path, None, "", mount.target)
    elif action is None or not is_folder:
        yield Rule(path, action, why, target if is_own and action else "")
    else:
        yield from _folder(built, Rule(path, action, why, target), manifests)
    if mount is not None or action is not Action.REBUILD:
        yield from (_rebuild(os.path.join(path, name)) for name in manifests)


def _folder(built: Built, rule: Rule, manifests: Sequence[str]) -> Iterator[Rule]:
    """The rule for a folder, without what has its own rule, is generated by tools, or comes from a bind mount."""
    ignore = [*made_in(rule.path), *(name for name in (".env",) if os.path.exists(os.path.join(rule.path, name)))]
    if rule.action is Action.REBUILD:
        yield replace(rule, target="", ignore=tuple(ignore))
        return
    scripts = [path for path in built.scripts if is_below(path, rule.path) and rule.action is Action.SYNC]
    ignore += [*manifests, *(str(relative_to(path, rule.path)) for path in scripts)]
    for mount in built.service.volumes:
        if mount.type == "bind" and (inside := relative_to(mount.target.rstrip("/"), rule.target)):
            ignore.append(inside if os.path.isfile(str(mount.source)) else f"{inside}/")
    yield replace(rule, ignore=tuple(dict.fromkeys(ignore)))
    for path in scripts:
        target = posixpath.join(rule.target, str(relative_to(path, rule.path)))
        yield Rule(path, Action.SYNC_RESTART, "the container starts with it", target)


def _rebuild(path: str) -> Rule:
    name = os.path.basename(path)
    is_manifest = MANIFESTS.fullmatch(name) and not name.startswith("Dockerfile")
    why = "what it names is installed while the image is built" if is_manifest else "the image is built by it"
    return Rule(path, Action.REBUILD, why)


def _action(built: Built, path: str, target: str, line: int) -> tuple[Action | None, str]:
    """The action for a change of what is copied at the line, and why, as the end of a sentence."""
    action, why = _wanted(built, path, target, line)
    fault = next(unwritable(built.service, target), None) if action.syncs else None
    return (None, f"; {fault[0]}") if fault else (action, why)


def _wanted(built: Built, path: str, target: str, line: int) -> tuple[Action, str]:
    """As `_action`, for a container that takes every file."""
    if path in built.scripts:
        return Action.SYNC_RESTART, "; the container starts with it"
    if target.startswith(SETTINGS):
        return Action.SYNC_RESTART, "; settings are read at the start"
    known_program = built.program
    if known_program is not None and known_program.way in CHANGES:
        return CHANGES[known_program.way], f"; {known_program.reason}"
    compiled = [number for stage in built.below for number in stage.compiles if number > line]
    if compiled or (known_program is None and has_manifest(path, COMPILED)):
        why = f" and compiled in line {compiled[0]}" if compiled else "; the language is compiled"
        return Action.REBUILD, f"{why}: {COST}"
    if known_program is None and has_manifest(path, INTERPRETED):
        return Action.SYNC_RESTART, "; no reloader is in its command"
    return Action.SYNC, f"; {known_program.reason}" if known_program is not None else ""


def _elsewhere(built: Built, path: str, origin: str) -> tuple[Action | None, str]:
    """The action for what another stage copies. A whole folder of many languages is not a program: no rule."""
    if path != os.path.normpath(built.build.context) or has_manifest(path, COMPILED):
        return Action.REBUILD, f"built in another stage ({origin}): {COST}"
    stages = ((stage, stage_program(built, stage)) for stage in built.others if stage.name)
    better = next(((stage.name, runs.reason) for stage, runs in stages if runs and runs.way is Way.RELOADS), None)
    advice = f"; with `build: {{target: {better[0]}}}`, {better[1]}" if better else ""
    return None, f"built in another stage ({origin}): with a rule, {COST}{advice}"


def _covered(service: Service, rule: Rule, mounted: Sequence[Rule]) -> bool:
    """Whether an existing or an already proposed rule of the service covers the path."""
    watched = [(watch.path, watch.action) for watch in service.watch if not is_bind_mounted(service, watch)]
    for path, action in (*watched, *((other.path, other.action) for other in mounted)):
        suits = rule.action is not Action.REBUILD or action is Action.REBUILD or path == rule.path
        if suits and is_within(rule.path, os.path.normpath(path)):
            return True
    return False


def _implied(rule: Rule, rules: Sequence[Rule], context: str) -> bool:
    """Whether the rule of a parent folder does the same with the same files.

    A path of its own counts even if .dockerignore in the build context excludes it, as it may the Dockerfile.
    """
    is_kept = rule.action is Action.REBUILD and os.path.exists(os.path.join(context, ".dockerignore"))
    for other in rules if not is_kept else ():
        inside = relative_to(rule.path, other.path)
        if inside and other.action is rule.action:
            names = [f"{inside}/", inside, inside.partition("/")[0] + "/"]
            is_same = rule.action is Action.REBUILD or posixpath.join(other.target, inside) == rule.target
            if is_same and not any(name in other.ignore for name in names):
                return True
    return False


def _without(rule: Rule, apart: Sequence[str]) -> Rule:
    """The rule without what has its own rule, or belongs to a foreign image (the data of a database)."""
    inside = ((path, relative_to(path, rule.path)) for path in apart if rule.action is not None)
    names = (name if os.path.isfile(path) else f"{name}/" for path, name in inside if name)
    return replace(rule, ignore=tuple(dict.fromkeys((*rule.ignore, *names))))


def _from_mounts(file: MainFile, service: Service, loaded: Loaded, *, is_named: bool) -> Iterator[Rule]:
    """Rules that replace bind mounts, which are cut out of the draft; the data of a foreign image stays mounted."""
    folder = loaded.project.directory
    built = built_service(service, loaded.model["services"][service.name])
    runs = built.program if built is not None else None
    for mount in service.volumes:
        source = os.path.normpath(mount.source or "")
        if mount.type != "bind" or not is_within(source, folder) or not os.path.isdir(source):
            continue
        if service.build is None and not mount.read_only and not is_named:
            command = f"devenv add rules {service.name} --from-mounts"
            file.notes.append(_stays(service.name, mount.target, f"its image may write there; {command}"))
            continue
        others = tuple(other for other in service.volumes if other is not mount)
        if fault := next(unwritable(replace(service, volumes=others), mount.target), None):
            file.notes.append(_stays(service.name, mount.target, fault[0]))
            continue
        action, why = Action.SYNC, "was a bind mount"
        if runs is not None and runs.way is Way.LOSES:
            action, why = Action.SYNC_RESTART, f"{why}; {runs.reason}"
        rule = Rule(source, action, f"{why}; {STAYS}", mount.target, tuple(made_in(source)))
        if _unmount(file, service.name, rule):
            yield rule


def _unmount(file: MainFile, name: str, rule: Rule) -> bool:
    """Remove the bind mount from the draft. Return whether this file contains it and it can be removed."""
    entries = file.service(name).get("volumes")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        parts = str(entry).split(":")
        target = entry.get("target") if isinstance(entry, dict) else parts[1] if len(parts) > 1 else ""
        if str(target).rstrip("/") == rule.target.rstrip("/"):
            try:
                file.draft.cut(["services", name, "volumes", index])
            except ConfigError as error:
                file.notes.append(_stays(name, rule.target, error.message))
                return False
            return True
    file.notes.append(_stays(name, rule.target, f"{file.source.shown} has it elsewhere"))
    return False


def _stays(name: str, target: str, why: str) -> str:
    return f"{name}: the mount of {target} stays: {why}"
