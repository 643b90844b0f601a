"""`devenv add rules`: watch rules proposed from what a Dockerfile copies, from bind mounts, and from the language."""

from __future__ import annotations

import glob
import json
import os
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from devenv.compose.outline import Selection
from devenv.compose.resolve import Loaded, load
from devenv.errors import ConfigError, UsageError
from devenv.model.project import Action, Build, Service
from devenv.paths import is_within, relative_to
from devenv.scaffold.add import proposal as proposals
from devenv.scaffold.add.copied_files import copying_stages
from devenv.scaffold.add.proposal import MainFile, Proposal, opened
from devenv.scaffold.add.yaml_places import flow
from devenv.sync.rules.lint import faults
from devenv.sync.rules.rules import is_bind_mounted, mount_over

MANIFESTS = re.compile(
    r"package(-lock)?\.json|npm-shrinkwrap\.json|(yarn|poetry|uv|Cargo|composer|Pipfile|Gemfile)\.lock|yarn\.lock|"
    r"pnpm-lock\.yaml|bun\.lockb?|requirements[\w.-]*\.(txt|in)|pyproject\.toml|setup\.(py|cfg)|Pipfile|Gemfile|"
    r"composer\.json|go\.(mod|sum)|Cargo\.toml|pom\.xml|build\.gradle(\.kts)?|\.npmrc|Dockerfile[\w.-]*|[\w.-]+\.csproj"
)
COMPILED = re.compile(r"go\.mod|Cargo\.toml|pom\.xml|build\.gradle(\.kts)?|[\w.-]+\.csproj")
INTERPRETED = re.compile(r"package\.json|requirements[\w.-]*\.txt|pyproject\.toml|Pipfile|Gemfile")
RELOADERS = re.compile(
    r"--reload|(?<!\bnode )(?<!\bnode\", \")--watch|nodemon|vite|tsx watch|--debug|runserver|webpack|\bdev\b|\bair\b"
)
BECAUSE = {Action.REBUILD: "; the language is compiled", Action.SYNC_RESTART: "; no reloader is in its command"}
SETTINGS = "/etc/"
CACHE = "__pycache__"
MADE = ("node_modules", CACHE, ".venv", "venv", "dist", "build", "target", ".next", ".pytest_cache")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and why it is proposed; the path is absolute."""

    path: str
    action: Action
    why: str
    target: str = ""
    ignore: tuple[str, ...] = ()

    def entry(self, folder: str) -> str:
        """The rule as block YAML, its path relative to the project's folder."""
        lines = [f"- path: {_scalar(shown(self.path, folder))}", f"action: {self.action}"]
        lines += [f"target: {_scalar(self.target)}"] if self.target else []
        lines += [f"ignore: {flow(list(self.ignore))}"] if self.ignore else []
        return "\n  ".join(lines)


def _scalar(text: str) -> str:
    return text if re.fullmatch(r"[./]?[\w./-]+", text, re.ASCII) else json.dumps(text)


async def rules(selection: Selection, name: str | None, *, from_mounts: bool = False) -> Proposal:
    """The edits that add watch rules to the service, or to all; checked and not written.

    With `from_mounts`, bind mounts of folders become rules. Raises as `load`; UsageError for an unknown service.
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
    for service in services.values():
        proposed = _proposed(file, service, loaded, from_mounts=from_mounts)
        if proposed:
            file.own(service.name, "develop")
            entries = "\n".join(rule.entry(folder) for rule in proposed)
            file.draft.insert(["services", service.name, "develop", "watch"], entries)
        file.notes += [f"{service.name}: {rule.action} {shown(rule.path, folder)}: {rule.why}" for rule in proposed]
    if not file.notes:
        nothing = "nothing to add: what is copied from this machine has rules already, or nothing is copied"
        return Proposal(folder, (), (nothing,))
    edit = file.edit()
    await proposals.check(selection, edit, ())
    return Proposal(folder, (edit,) if edit.after != edit.before else (), tuple(file.notes))


def _proposed(file: MainFile, service: Service, loaded: Loaded, *, from_mounts: bool) -> list[Rule]:
    """New rules for a service; those `from_mounts` take the mounts out of the draft."""
    mounted = list(_from_mounts(service, loaded.project.directory)) if from_mounts else []
    mounted = [rule for rule in mounted if _unmount(file, service.name, rule)]
    built = [rule for rule in _from_build(service, loaded) if not _covered(service, rule, mounted)]
    return [*mounted, *(_without(rule, mounted) for rule in built)]


def shown(path: str, folder: str) -> str:
    """A path as Compose files have it."""
    relative = relative_to(path, folder)
    return path if relative is None else f"./{relative}" if relative else "."


def _from_build(service: Service, loaded: Loaded) -> Iterator[Rule]:
    """Rules for what the build copies; an earlier one for a path comes first."""
    build = service.build
    if build is None or not os.path.isdir(build.context):
        return
    dockerfile = os.path.normpath(os.path.join(build.context, build.dockerfile))
    below, others = copying_stages(_text(build, dockerfile), dict(build.args), build.target)
    given = loaded.model["services"][service.name].get("command") or ""
    command = f"{given} {below[-1].command if below else ''}"
    rules: dict[str, Rule] = {}
    for stage in (*below, *others):
        for copy in stage.copies:
            source = f"{build.dockerfile}:{copy.line}"
            for rule in _copied(build.context, copy.sources, copy.target, source, command):
                if stage in others:
                    why = f"built in another stage ({source})"
                    rules.setdefault(rule.path, Rule(rule.path, Action.REBUILD, why, ignore=rule.ignore))
                elif not (rule.target and _in_mount(service, rule.target)):
                    rules.setdefault(rule.path, rule)
    if build.dockerfile_inline is None and rules and os.path.isfile(dockerfile):
        rules.setdefault(dockerfile, _rebuild(dockerfile))
    yield from rules.values()


def _text(build: Build, dockerfile: str) -> str:
    if build.dockerfile_inline is not None:
        return build.dockerfile_inline
    return (proposals.read(dockerfile) or b"").decode(errors="replace")


def _in_mount(service: Service, target: str) -> bool:
    mount = mount_over(service, target)
    return mount is not None and mount.type == "bind"


def _copied(context: str, sources: Sequence[str], target: str, origin: str, command: str) -> Iterator[Rule]:
    for source in sources:
        pattern = os.path.normpath(os.path.join(glob.escape(context), source.lstrip("/")))
        for path in sorted(glob.glob(pattern)):
            name = os.path.basename(path)
            if os.path.isdir(path):
                yield from _folder(path, target.rstrip("/") or "/", origin, command)
            elif MANIFESTS.fullmatch(name):
                yield _rebuild(path)
            else:
                place = posixpath.join(target, name) if target.endswith("/") else target
                action = _action(os.path.dirname(path), command, place)
                yield Rule(path, action, f"copied by {origin}{_because(action, place)}", place)


def _folder(path: str, target: str, origin: str, command: str) -> Iterator[Rule]:
    names = sorted(os.listdir(path))
    action, why = _action(path, command, target), f"copied by {origin}"
    manifests = [name for name in names if MANIFESTS.fullmatch(name) and action is not Action.REBUILD]
    ignore = (*_made(path), *(name for name in (".env",) if name in names), *manifests)
    yield Rule(path, action, why + _because(action, target), "" if action is Action.REBUILD else target, ignore)
    yield from (_rebuild(os.path.join(path, name)) for name in manifests)


def _made(path: str) -> Iterator[str]:
    """Patterns for the folders that tools create in the folder; Python has one in each of its folders."""
    names = os.listdir(path)
    for name in MADE:
        if name == CACHE and (name in names or _is_python(path)):
            yield f"**/{name}/"
        elif name in names:
            yield f"{name}/"


def _rebuild(path: str) -> Rule:
    names = not MANIFESTS.fullmatch(name := os.path.basename(path)) or name.startswith("Dockerfile")
    why = "the image is built by it" if names else "what it names is installed while the image is built"
    return Rule(path, Action.REBUILD, why)


def _is_python(path: str) -> bool:
    for _, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name not in MADE and not name.startswith(".")]
        if any(name.endswith(".py") for name in files):
            return True
    return False


def _because(action: Action, target: str) -> str:
    if target.startswith(SETTINGS):
        return "; settings are read at the start"
    return BECAUSE.get(action, "")


def _action(path: str, command: str, target: str) -> Action:
    """The action for a change of sources; manifests beside or above them tell the language."""
    if target.startswith(SETTINGS):
        return Action.SYNC_RESTART
    names = {name for folder in (path, os.path.dirname(path)) if os.path.isdir(folder) for name in os.listdir(folder)}
    if any(COMPILED.fullmatch(name) for name in names):
        return Action.REBUILD
    interpreted = any(INTERPRETED.fullmatch(name) for name in names)
    return Action.SYNC_RESTART if interpreted and not RELOADERS.search(command) else Action.SYNC


def _covered(service: Service, rule: Rule, mounted: Sequence[Rule]) -> bool:
    """Whether a rule of the service, or one that is proposed already, is for the path."""
    watched = [(watch.path, watch.action) for watch in service.watch if not is_bind_mounted(service, watch)]
    for path, action in (*watched, *((other.path, other.action) for other in mounted)):
        suits = rule.action is not Action.REBUILD or action is Action.REBUILD or path == rule.path
        if suits and is_within(rule.path, os.path.normpath(path)):
            return True
    return False


def _without(rule: Rule, mounted: Sequence[Rule]) -> Rule:
    """The rule without the folders that have a rule of their own."""
    inside = (relative_to(other.path, rule.path) for other in mounted)
    return replace(rule, ignore=(*rule.ignore, *(f"{path}/" for path in inside if path)))


def _from_mounts(service: Service, folder: str) -> Iterator[Rule]:
    for mount in service.volumes:
        source = os.path.normpath(mount.source or "")
        if mount.type == "bind" and is_within(source, folder) and os.path.isdir(source):
            why = "was a bind mount; what the container writes there stays in it from now on"
            yield Rule(source, Action.SYNC, why, mount.target, tuple(_made(source)))


def _unmount(file: MainFile, name: str, rule: Rule) -> bool:
    """Remove the bind mount from the draft. Return whether it was an entry of this file that can be removed."""
    entries = file.service(name).get("volumes")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        parts = str(entry).split(":")
        target = entry.get("target") if isinstance(entry, dict) else parts[1] if len(parts) > 1 else ""
        if str(target).rstrip("/") == rule.target.rstrip("/"):
            try:
                file.draft.cut(["services", name, "volumes", index])
            except ConfigError as error:
                file.notes.append(f"{name}: the mount of {rule.target} stays: {error.message}")
                return False
            return True
    return False
