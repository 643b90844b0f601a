"""`devenv add rules`: propose watch rules from a Dockerfile's copies, bind mounts, and the running program."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from devenv.compose.outline import Selection
from devenv.compose.positions import entry_place, shown
from devenv.compose.resolve import Loaded, load
from devenv.errors import ConfigError, UsageError
from devenv.model.project import Action, Condition, Mount, Project, Service
from devenv.paths import is_within, relative_to, written
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.copied_files import bind_sources, built_service
from devenv.scaffold.add.copied_rules import Rule, rules_for
from devenv.scaffold.add.programs import Way
from devenv.scaffold.add.proposal import MainFile, Proposal, opened
from devenv.sync.rules.generated import made_in
from devenv.sync.rules.lint import DATA, faults, unwritable
from devenv.sync.rules.rules import is_bind_mounted

STAYS = "what the container writes there stays in it from now on"
NOT_BUILT = "nothing to add: rules are proposed for what a Dockerfile copies, and no service is built here"


async def rules(selection: Selection, name: str | None, *, from_mounts: bool = False) -> Proposal:
    """The edits that add watch rules to the service, or to all services; checked and not written.

    With `from_mounts`, bind mounts of folders become rules. Raises like `load`; UsageError for an unknown service.
    """
    loaded = await load(selection, faults=faults)
    file, folder = opened(selection), loaded.project.directory
    services = _services(file, loaded.project, name)
    for service in services if name is not None else _servers(file, services, loaded.project):
        mounted = list(_from_mounts(file, service, loaded, is_named=name is not None)) if from_mounts else []
        _insert(file, service, _proposed(service, loaded, mounted), loaded.project)
    edit = file.edit()
    if edit.after == edit.before:
        nothing = "nothing to add" if any(service.build for service in services) else NOT_BUILT
        return Proposal(folder, (), (*file.notes, nothing))
    await proposals.check(selection, edit, ())
    return Proposal(folder, (edit,), tuple(file.notes))


def _services(file: MainFile, project: Project, name: str | None) -> list[Service]:
    """The named service, or all that the file defines and that are on. Raises UsageError for an unknown service."""
    services = [service for service in project.services if service.name in file.services]
    if name is None:
        return services
    file.service(name)
    named = [service for service in services if service.name == name]
    if not named:
        raise UsageError(f"the profile of `{name}` is not on", hint="Turn it on with --profile NAME.")
    return named


def _insert(file: MainFile, service: Service, rules: Sequence[Rule], project: Project) -> None:
    """Put the rules into the draft, with a note on each rule, or on why a built service gets no rule."""
    entries = [rule.entry(project.directory) for rule in rules if rule.action is not None]
    if entries:
        file.own(service.name, "develop")
        file.draft.insert(["services", service.name, "develop", "watch"], "\n".join(entries))
    file.notes += [_note(file, service.name, rule, project.directory) for rule in rules]
    if service.build is not None and not rules:
        file.notes.append(_nothing(service, project))


def _servers(file: MainFile, services: Iterable[Service], project: Project) -> Iterator[Service]:
    """Yield the services without the jobs whose end another service waits for; a note says why."""
    ends = {d.service: s.name for s in project.services for d in s.depends_on if d.condition is Condition.COMPLETED}
    for service in services:
        if service.name not in ends:
            yield service
        elif service.build is not None:
            why = f"{ends[service.name]} waits for its end, and a save would run it again"
            file.notes.append(f"{service.name}: nothing: {why}")


def _nothing(service: Service, project: Project) -> str:
    """Why a service with a build section gets no rule."""
    if service.watch:
        return f"{service.name}: its rules cover what its Dockerfile copies from here"
    if service.build and service.build.dockerfile_inline is None and not os.path.isfile(service.build.path):
        return f"{service.name}: {written(service.build.path, project.directory)} does not exist"
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
    copied = [rule for rule in (rules_for(built) if built else ()) if not _covered(service, rule, mounted)]
    foreign = [other for other in loaded.project.services if other.build is None and other is not service]
    data = bind_sources(foreign, DATA.pattern)
    apart = [*(rule.path for rule in mounted), *bind_sources(foreign)]
    mount_rules = [_without(rule, data) for rule in mounted]
    context = service.build.context if service.build else ""
    return [*mount_rules, *(_without(rule, apart) for rule in copied if not _implied(rule, copied, context))]


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
        if why_not := _obstacle(service, mount, is_named=is_named):
            file.notes.append(_stays(service.name, mount.target, why_not))
            continue
        action, why = Action.SYNC, "was a bind mount"
        if runs is not None and runs.way is Way.LOSES:
            action, why = Action.SYNC_RESTART, f"{why}; {runs.reason}"
        rule = Rule(source, action, f"{why}; {STAYS}", mount.target, tuple(made_in(source)))
        if _unmount(file, service.name, rule):
            yield rule


def _obstacle(service: Service, mount: Mount, *, is_named: bool) -> str:
    """Why a rule cannot replace the bind mount; empty if it can."""
    if service.build is None and not mount.read_only and not is_named:
        return f"its image may write there; devenv add rules {service.name} --from-mounts"
    others = tuple(other for other in service.volumes if other is not mount)
    fault = next(unwritable(replace(service, volumes=others), mount.target), None)
    return fault[0] if fault else ""


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
