"""Errors in a project's watch rules, and warnings about them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from devenv.model.project import Action, Project, RuleFault, Service, WatchRule
from devenv.paths import is_within, normal
from devenv.sync.rules.patterns import BACKSLASH, Patterns
from devenv.sync.rules.rules import is_bind_mounted, mount_over

DATA = re.compile(r"/var/lib/|/data(/|\Z)")  # where images of databases keep theirs
SYSTEM = ("/proc", "/sys", "/dev")


def faults(project: Project, home: str) -> tuple[RuleFault, ...]:
    """All faults of all rules; `home` is the user's home folder, which must not be watched as a whole."""
    return tuple(
        RuleFault(service.name, index, *fault)
        for service in project.services
        for index, rule in enumerate(service.watch)
        for fault in (
            *_wrong(service, rule),
            *_far_away(project, rule, home),
            *_twice(service.watch[:index], rule),
        )
    )


def without_rules(project: Project, names: Collection[str]) -> str | None:
    """A message for the named services if they have no watch rules; None if nothing is built for them."""
    services = [service for service in project.services if service.name in names]
    if not any(service.build for service in services):
        return None
    lists = ((service.name, ", ".join(project.bind_mounts(_without_data(service)))) for service in services)
    mounts = "; ".join(f"{name} has {mounts}" for name, mounts in lists if mounts)
    ways = f"a bind mount ({mounts}) or a rebuild" if mounts else "a rebuild"
    return f"no service has watch rules: a save reaches a container only by {ways}"


def _without_data(service: Service) -> Service:
    return replace(service, volumes=tuple(mount for mount in service.volumes if not DATA.search(mount.target)))


Fault = tuple[str, str] | tuple[str, str, str] | tuple[str, str, str, bool]  # as in `RuleFault`


def _wrong(service: Service, rule: WatchRule) -> Iterator[Fault]:
    if rule.action.syncs:
        yield from _target(service, rule, rule.target or "")
    if rule.action is Action.SYNC_EXEC and not (rule.exec and rule.exec.command):
        yield f"the `sync+exec` rule for {rule.path} has no command", "Add `exec:` with a `command:`."
    if rule.action is Action.REBUILD and service.build is None:
        yield (
            f"service `{service.name}` has nothing to rebuild: it has no `build` section",
            "Give the service a `build:` section, or use `action: restart`.",
        )
    for key, lines in (("ignore", rule.ignore), ("include", rule.include)):
        try:
            Patterns.parse(lines)
        except ValueError as error:
            yield f"`{key}`: {error}", BACKSLASH


def _target(service: Service, rule: WatchRule, target: str) -> Iterator[Fault]:
    if not target:
        yield (
            f"the `{rule.action}` rule for {rule.path} has no `target`",
            "Add `target:` with the absolute path in the container.",
        )
    elif not target.startswith("/"):
        yield f"the `target` {target} is not absolute", f"Write `target: /{target}`."
    elif is_within(normal(target), *SYSTEM):
        yield f"the `target` {target} belongs to the system: no file can be put there", "Name a folder of the image."
    elif (mount := mount_over(service, target)) and mount.type == "bind" and mount.source:
        yield from _on_the_host(service, rule, mount.source)
    else:
        yield from unwritable(service, target)


def _on_the_host(service: Service, rule: WatchRule, source: str) -> Iterator[Fault]:
    if not is_bind_mounted(service, rule):
        message = (
            f"the `target` {rule.target} is inside the bind mount of {source}: saves of {rule.path} would be written "
            "into that folder of this machine"
        )
        yield message, "Name another `target`, or remove the mount.", "refused"
    elif rule.action is Action.SYNC:
        target = f"the `target` {rule.target} is inside the bind mount of {source}"
        message = f"nothing is copied for {rule.path}: {target}"
        yield message, "", "warning", True


def unwritable(service: Service, target: str) -> Iterator[Fault]:
    """Why no file can be put at a path of the service's containers, and what to do."""
    mount = mount_over(service, target)
    if mount and mount.type == "tmpfs":
        yield (
            f"the `target` {target} is inside the tmpfs {mount.target}, where the engine can put no file",
            "Name another folder, or make it a volume.",
        )
    elif mount and mount.read_only:
        yield f"the `target` {target} is inside {mount.target}, which is mounted read-only", "Mount it writable."
    elif mount is None and service.read_only:
        yield (
            f"service `{service.name}` is `read_only`, and no volume is mounted over the `target` {target}",
            "Mount a volume there, or remove `read_only: true`.",
        )


def _far_away(project: Project, rule: WatchRule, home: str) -> Iterator[Fault]:
    path = posixpath.normpath(rule.path)
    if is_within(path, project.directory):
        return
    if is_within(home, path):
        yield f"the rule would watch all of {path}", "Name the folder of the project that it is for.", "refused"
    else:
        yield f"the rule watches {path}, which is outside the project", "", "warning"


def _twice(earlier: Iterable[WatchRule], rule: WatchRule) -> Iterator[Fault]:
    """Folders with the same target. Several single files may have the same target if it ends in `/`."""
    target = rule.target or ""
    if not rule.action.syncs or target.endswith("/"):
        return
    for other in earlier:
        same = other.action.syncs and normal(other.target or "") == normal(target)
        if same and not (other.target or "").endswith("/") and other.path != rule.path:
            message = f"two rules have the target {target}: a file of {rule.path} replaces one of {other.path}"
            yield message, "", "warning"
            return
